#include "fer/tensor/shape.h"

#include <algorithm>
#include <limits>

#include "fer/error.h"

namespace fer {

Shape::Shape(std::initializer_list<std::int64_t> dims)
    : Shape(std::span<const std::int64_t>(dims.begin(), dims.size())) {}

Shape::Shape(std::span<const std::int64_t> dims) : rank_(static_cast<int>(dims.size())) {
  require<ShapeError>(dims.size() <= max_rank, "a shape has at most ", max_rank, " dimensions, got ",
                      dims.size());
  std::copy(dims.begin(), dims.end(), dims_.begin());
}

std::int64_t Shape::operator[](int i) const {
  const int index = i < 0 ? i + rank_ : i;
  require<ShapeError>(index >= 0 && index < rank_, "dimension ", i, " of shape ", *this, " does not exist");
  return dims_[index];
}

void Shape::set(int i, std::int64_t extent) {
  const int index = i < 0 ? i + rank_ : i;
  require<ShapeError>(index >= 0 && index < rank_, "dimension ", i, " of shape ", *this, " does not exist");
  dims_[index] = extent;
}

std::int64_t Shape::numel() const {
  std::int64_t n = 1;
  for (std::int64_t extent : *this) n *= extent;
  return n;
}

std::int64_t Shape::rows() const {
  std::int64_t n = 1;
  for (int i = 0; i + 1 < rank_; ++i) n *= dims_[i];
  return n;
}

std::int64_t Shape::channels() const {
  return rank_ == 0 ? 1 : dims_[rank_ - 1];
}

std::string Shape::str() const {
  std::string text = "(";
  for (int i = 0; i < rank_; ++i) text += (i ? ", " : "") + std::to_string(dims_[i]);
  return text + ")";
}

bool Shape::operator==(const Shape& other) const {
  return std::equal(begin(), end(), other.begin(), other.end());
}

Shape broadcast_shapes(const Shape& a, const Shape& b, std::string_view op) {
  const int rank = std::max(a.rank(), b.rank());
  std::array<std::int64_t, Shape::max_rank> dims{};
  for (int i = 1; i <= rank; ++i) {
    const std::int64_t da = i <= a.rank() ? a[-i] : 1, db = i <= b.rank() ? b[-i] : 1;
    require<ShapeError>(da == db || da == 1 || db == 1, "[", op, "] shapes ", a, " and ", b,
                        " do not broadcast");
    dims[rank - i] = da == 1 ? db : da;
  }
  return Shape(std::span<const std::int64_t>(dims.data(), rank));
}

std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  return out << shape.str();
}

}  // namespace fer
