#include "comm/operands.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

namespace fer {

std::string_view name_of(Reduction reduction) {
  constexpr std::string_view names[]{"sum", "min", "max", "bit_or"};
  return names[static_cast<int>(reduction)];
}

}  // namespace fer

namespace fer::comm {
namespace {

bool takes(Reduction reduction, DType dtype) {
  switch (dtype) {
    case DType::float32:
    case DType::float64:
      return reduction != Reduction::bit_or;
    case DType::int64:
      return true;
    case DType::uint8:  // whose sum would overflow unseen
      return reduction != Reduction::sum;
    case DType::bfloat16:
      return reduction == Reduction::sum;
    default:
      return false;
  }
}

/// A bfloat16 is the upper half of a float.
struct BFloat16 {
  std::uint16_t bits;

  BFloat16() = default;
  /// Rounded to the nearest, ties to even.
  explicit BFloat16(float x) {
    const auto all = std::bit_cast<std::uint32_t>(x);
    bits = static_cast<std::uint16_t>((std::isnan(x) ? all | 0x400000u : all + 0x7FFFu + (all >> 16 & 1u)) >>
                                      16);
  }
  explicit operator float() const { return std::bit_cast<float>(std::uint32_t{bits} << 16); }
};

/// Arithmetic is in Wide. `op` gets two Wides.
template <typename T, typename Wide, typename Op>
void reduce_with(const Op& op, std::size_t count, const std::vector<const void*>& values, void* result) {
  constexpr std::size_t block = 1024;
  Wide sums[block];
  for (std::size_t start = 0; start < count; start += block) {
    const std::size_t n = std::min(block, count - start);
    const T* first = static_cast<const T*>(values[0]) + start;
    for (std::size_t i = 0; i < n; ++i) sums[i] = static_cast<Wide>(first[i]);
    for (std::size_t rank = 1; rank < values.size(); ++rank) {
      const T* other = static_cast<const T*>(values[rank]) + start;
      for (std::size_t i = 0; i < n; ++i) sums[i] = op(sums[i], static_cast<Wide>(other[i]));
    }
    T* out = static_cast<T*>(result) + start;
    for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<T>(sums[i]);
  }
}

template <typename T, typename Wide = T>
void reduce_elements(Reduction reduction, std::size_t count, const std::vector<const void*>& values,
                     void* result) {
  const auto with = [&](auto op) { reduce_with<T, Wide>(op, count, values, result); };
  switch (reduction) {
    case Reduction::sum:
      return with([](Wide a, Wide b) { return static_cast<Wide>(a + b); });
    case Reduction::min:
      return with([](Wide a, Wide b) { return std::min(a, b); });
    case Reduction::max:
      return with([](Wide a, Wide b) { return std::max(a, b); });
    case Reduction::bit_or:
      if constexpr (std::is_integral_v<Wide>) with([](Wide a, Wide b) { return static_cast<Wide>(a | b); });
  }
}

}  // namespace

void check_reduction(const Tensor& x, Reduction reduction) {
  require<ShapeError>(x.defined(), "[all_reduce] of an undefined tensor");
  require<TypeError>(takes(reduction, x.dtype()), "[all_reduce] ", name_of(reduction), " does not take ",
                     x.dtype());
}

void check_rows(const Tensor& x) {
  require<ShapeError>(x.defined() && x.rank() > 0, "[all_gather] needs a tensor with rows");
}

void check_rank(int rank, int size) {
  require<ConfigError>(rank >= 0 && rank < size, "rank ", rank, " of ", size, " does not exist");
}

void reduce(Reduction reduction, DType dtype, std::size_t count, const std::vector<const void*>& values,
            void* result) {
  switch (dtype) {
    case DType::float32:
      return reduce_elements<float>(reduction, count, values, result);
    case DType::float64:
      return reduce_elements<double>(reduction, count, values, result);
    case DType::bfloat16:
      return reduce_elements<BFloat16, float>(reduction, count, values, result);
    case DType::int64:
      return reduce_elements<std::int64_t>(reduction, count, values, result);
    default:
      return reduce_elements<std::uint8_t>(reduction, count, values, result);
  }
}

}  // namespace fer::comm
