// Transposes a matrix in square blocks with the side of one 128-bit vector, compiled once per instruction set
// through Highway.

#if defined(FER_CPU_TRANSPOSE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef FER_CPU_TRANSPOSE_INL_H
#undef FER_CPU_TRANSPOSE_INL_H
#else
#define FER_CPU_TRANSPOSE_INL_H
#endif

#include <algorithm>
#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace fer::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <typename T>
HWY_INLINE void transpose_block(const T* source, [[maybe_unused]] std::int64_t lds, T* target,
                                [[maybe_unused]] std::int64_t ldt) {
#if HWY_TARGET == HWY_SCALAR
  target[0] = source[0];
#else
  const hn::CappedTag<T, 16 / sizeof(T)> d;
  if constexpr (hn::MaxLanes(d) == 4) {
    const auto a = hn::LoadU(d, source), b = hn::LoadU(d, source + lds);
    const auto c = hn::LoadU(d, source + 2 * lds), e = hn::LoadU(d, source + 3 * lds);
    const auto ab_low = hn::InterleaveLower(d, a, b), ab_high = hn::InterleaveUpper(d, a, b);
    const auto ce_low = hn::InterleaveLower(d, c, e), ce_high = hn::InterleaveUpper(d, c, e);
    hn::StoreU(hn::ConcatLowerLower(d, ce_low, ab_low), d, target);
    hn::StoreU(hn::ConcatUpperUpper(d, ce_low, ab_low), d, target + ldt);
    hn::StoreU(hn::ConcatLowerLower(d, ce_high, ab_high), d, target + 2 * ldt);
    hn::StoreU(hn::ConcatUpperUpper(d, ce_high, ab_high), d, target + 3 * ldt);
  } else {
    const auto a = hn::LoadU(d, source), b = hn::LoadU(d, source + lds);
    hn::StoreU(hn::InterleaveLower(d, a, b), d, target);
    hn::StoreU(hn::InterleaveUpper(d, a, b), d, target + ldt);
  }
#endif
}

/// target[c * ldt + r] = source[r * lds + c] for rows x columns of source.
template <typename T>
void transpose(const T* HWY_RESTRICT source, std::int64_t lds, std::int64_t rows, std::int64_t columns,
               T* HWY_RESTRICT target, std::int64_t ldt) {
  constexpr std::int64_t side = hn::MaxLanes(hn::CappedTag<T, 16 / sizeof(T)>());
  constexpr std::int64_t strip = 64;  // columns, so that their part of target stays in the first-level cache
  const std::int64_t whole_rows = rows / side * side, whole_columns = columns / side * side;
  for (std::int64_t c0 = 0; c0 < whole_columns; c0 += strip) {
    const std::int64_t end = std::min(whole_columns, c0 + strip);
    for (std::int64_t r = 0; r < whole_rows; r += side)
      for (std::int64_t c = c0; c < end; c += side)
        transpose_block<T>(source + r * lds + c, lds, target + c * ldt + r, ldt);
  }
  for (std::int64_t c = whole_columns; c < columns; ++c)
    for (std::int64_t r = 0; r < whole_rows; ++r) target[c * ldt + r] = source[r * lds + c];
  for (std::int64_t r = whole_rows; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c) target[c * ldt + r] = source[r * lds + c];
}

}  // namespace fer::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
