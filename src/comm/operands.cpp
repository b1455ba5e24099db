#include "comm/operands.h"

#include <algorithm>
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
    default:
      return false;
  }
}

template <typename T>
void reduce_elements(Reduction reduction, std::size_t count, const T* value, T* sum) {
  const auto each = [&](auto op) {
    for (std::size_t i = 0; i < count; ++i) sum[i] = op(sum[i], value[i]);
  };
  switch (reduction) {
    case Reduction::sum:
      return each([](T a, T b) { return static_cast<T>(a + b); });
    case Reduction::min:
      return each([](T a, T b) { return std::min(a, b); });
    case Reduction::max:
      return each([](T a, T b) { return std::max(a, b); });
    case Reduction::bit_or:
      if constexpr (std::is_integral_v<T>) each([](T a, T b) { return static_cast<T>(a | b); });
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

void reduce(Reduction reduction, DType dtype, std::size_t count, const void* value, void* sum) {
  const auto as = [&]<typename T>(T) {
    reduce_elements(reduction, count, static_cast<const T*>(value), static_cast<T*>(sum));
  };
  switch (dtype) {
    case DType::float32:
      return as(float{});
    case DType::float64:
      return as(double{});
    case DType::int64:
      return as(std::int64_t{});
    default:
      return as(std::uint8_t{});
  }
}

}  // namespace fer::comm
