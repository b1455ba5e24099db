// The extents of a tensor: up to six dimensions, row-major, stored inline.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <span>
#include <string>

namespace fer {

class Shape {
 public:
  static constexpr int max_rank = 6;

  Shape() = default;  ///< rank 0: a scalar, one element
  Shape(std::initializer_list<std::int64_t> dims);
  explicit Shape(std::span<const std::int64_t> dims);

  int rank() const { return rank_; }
  /// Extent of dimension i; negative i counts from the end.
  std::int64_t operator[](int i) const;
  void set(int i, std::int64_t extent);
  /// Product of all extents; 1 for a scalar.
  std::int64_t numel() const;
  /// Product of all extents but the last: the number of rows in the rows x channels view.
  std::int64_t rows() const;
  /// The last extent (channels); 1 for a scalar.
  std::int64_t channels() const;

  std::span<const std::int64_t> dims() const { return {dims_.data(), static_cast<std::size_t>(rank_)}; }
  const std::int64_t* begin() const { return dims_.data(); }
  const std::int64_t* end() const { return dims_.data() + rank_; }
  /// "(2, 3, 4)"
  std::string str() const;

  bool operator==(const Shape& other) const;

 private:
  std::array<std::int64_t, max_rank> dims_{};
  int rank_ = 0;
};

/// NumPy's rule: trailing dimensions are equal or 1. Otherwise ShapeError, naming `op` and both shapes.
Shape broadcast_shapes(const Shape& a, const Shape& b, std::string_view op);

std::ostream& operator<<(std::ostream& out, const Shape& shape);

}  // namespace fer
