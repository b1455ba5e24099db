// How a file's kernels are compiled once per instruction set and chosen at run time: Highway includes the
// file again for each set, inside pragmas that let the compiler use that set. If compilers reliably vectorise
// a loop (sums and products of arrays), the kernel is a plain loop, for float and double alike. Otherwise
// (selections, exponentials) it uses Highway's vectors.
//
//   #undef HWY_TARGET_INCLUDE
//   #define HWY_TARGET_INCLUDE "cpu/prelu.cpp"    // the file itself
//   #include "cpu/simd.h"
//
//   HWY_BEFORE_NAMESPACE();
//   namespace fer::HWY_NAMESPACE {                // N_AVX2, ...: one per set
//   namespace {
//   template <typename T> void forward(...) {...}
//   PReluKernels<float> kernels_f32() { return {forward<float>}; }
//   PReluKernels<double> kernels_f64() { return {forward<double>}; }
//   }}
//   HWY_AFTER_NAMESPACE();
//
//   #if HWY_ONCE                                  // the drivers: shapes, threads
//   namespace fer {
//   FER_SIMD_EXPORT(PReluKernels)                 // kernels<T>(): the kernels of this machine's best set
//   }
//   #endif
//
// No include guard: Highway's headers guard themselves, once per instruction set.

// Headers that must not be included for the first time inside the pragmas.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "cpu/highway_targets.h"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#ifndef FER_SIMD_EXPORT
#define FER_SIMD_EXPORT(Table)                    \
  namespace {                                     \
  HWY_EXPORT(kernels_f32);                        \
  HWY_EXPORT(kernels_f64);                        \
  template <typename T>                           \
  Table<T> kernels() {                            \
    if constexpr (std::is_same_v<T, float>) {     \
      return HWY_DYNAMIC_DISPATCH(kernels_f32)(); \
    } else {                                      \
      return HWY_DYNAMIC_DISPATCH(kernels_f64)(); \
    }                                             \
  }                                               \
  }  // namespace
#endif

// The helpers below belong to an instruction set and are compiled once for each.
#if defined(FER_CPU_SIMD_TARGET) == defined(HWY_TARGET_TOGGLE)
#ifdef FER_CPU_SIMD_TARGET
#undef FER_CPU_SIMD_TARGET
#else
#define FER_CPU_SIMD_TARGET
#endif

HWY_BEFORE_NAMESPACE();
namespace fer::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

/// Calls body(d, i) for i = 0, lanes, 2 lanes, ... while a whole vector of type d fits below n. Then calls it
/// with a one-lane d for each remaining i.
template <typename T, typename Body>
HWY_INLINE HWY_MAYBE_UNUSED void for_vectors(std::int64_t n, const Body& body) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) body(d, i);
  for (; i < n; ++i) body(hn::CappedTag<T, 1>(), i);
}

/// sums[lane] += v[lane], in double; v has lanes of float or double.
template <typename D, typename V>
HWY_INLINE HWY_MAYBE_UNUSED void add_to(D d, V v, double* sums) {
  if constexpr (hn::MaxLanes(D()) == 1) {
    *sums += static_cast<double>(hn::GetLane(v));
  } else if constexpr (std::is_same_v<hn::TFromD<D>, double>) {
    hn::StoreU(hn::Add(hn::LoadU(d, sums), v), d, sums);
  } else {
#if HWY_TARGET != HWY_SCALAR  // scalar vectors have one lane and no halves
    const hn::Half<D> half;
    const hn::Repartition<double, D> wide;
    double* upper = sums + hn::Lanes(wide);
    hn::StoreU(hn::Add(hn::LoadU(wide, sums), hn::PromoteTo(wide, hn::LowerHalf(half, v))), wide, sums);
    hn::StoreU(hn::Add(hn::LoadU(wide, upper), hn::PromoteTo(wide, hn::UpperHalf(half, v))), wide, upper);
#endif
  }
}

/// sums[s] (columns) += sums over rows, for several sums in one pass. body(d, i, c, add) calls add(s, v) for
/// each sum s, where v is its terms for row i and the vector of columns that begins at c. Rows are read one
/// after the other, because prefetchers handle several at once badly. Groups of eight rows are added up in T,
/// in scratch (count x columns), and the group sums in double. So the rounding error is that of a handful of
/// additions.
template <int count, typename T, typename Body>
HWY_INLINE HWY_MAYBE_UNUSED void add_rows(std::int64_t rows, std::int64_t columns, T* scratch,
                                          double* const (&sums)[count], const Body& body) {
  constexpr std::int64_t group = 8;
  for (std::int64_t i = 0; i < rows; i += group) {
    std::fill(scratch, scratch + count * columns, T(0));
    for (std::int64_t k = i; k < std::min(i + group, rows); ++k) {
      for_vectors<T>(columns, [=, &body](auto d, std::int64_t c) HWY_ATTR {
        body(d, k, c, [=](int s, auto v) HWY_ATTR {
          T* partial = scratch + s * columns + c;
          hn::StoreU(hn::Add(hn::LoadU(d, partial), v), d, partial);
        });
      });
    }
    for (int s = 0; s < count; ++s) {
      for_vectors<T>(columns, [=, &sums](auto d, std::int64_t c) HWY_ATTR {
        add_to(d, hn::LoadU(d, scratch + s * columns + c), sums[s] + c);
      });
    }
  }
}

/// Calls body(stream) with a constant: whether stores to y bypass the cache (`row`: elements between rows).
/// They do if `wanted` and if all rows begin on vector boundaries.
template <typename T, typename Body>
HWY_INLINE HWY_MAYBE_UNUSED void with_stores(bool wanted, const T* y, std::int64_t rows, std::int64_t row,
                                             const Body& body) {
  const std::size_t vector = hn::Lanes(hn::ScalableTag<T>()) * sizeof(T);
  const std::size_t row_bytes = rows > 1 ? static_cast<std::size_t>(row) * sizeof(T) : 0;
  if (wanted && (reinterpret_cast<std::uintptr_t>(y) | row_bytes) % vector == 0) {
    body(std::true_type());
    hwy::FlushStream();  // other threads may read y after this call
  } else {
    body(std::false_type());
  }
}

/// The store for use in with_stores.
template <typename D, typename V, bool stream>
HWY_INLINE HWY_MAYBE_UNUSED void store(std::bool_constant<stream>, V v, D d, hn::TFromD<D>* p) {
  if constexpr (stream && hn::MaxLanes(D()) > 1) {
    hn::Stream(v, d, p);
  } else {
    hn::StoreU(v, d, p);
  }
}

}  // namespace
}  // namespace fer::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
