// How a file's kernels are compiled once per instruction set and chosen when the program runs: Highway
// includes the file again for each set, inside pragmas that let the compiler use it. Most kernels are plain
// loops, which the compiler then vectorises for float and double alike; Highway's vectors are used where it
// cannot.
//
//   #undef HWY_TARGET_INCLUDE
//   #define HWY_TARGET_INCLUDE "cpu/prelu.cpp"    // the file itself
//   #include "cpu/simd.h"
//
//   HWY_BEFORE_NAMESPACE();
//   namespace fer::HWY_NAMESPACE {                // N_AVX2, ...: one a set
//   namespace {
//   template <typename T> void forward(...) {...}
//   PReluKernels<float> kernels_f32() { return {forward<float>}; }
//   PReluKernels<double> kernels_f64() { return {forward<double>}; }
//   }}
//   HWY_AFTER_NAMESPACE();
//
//   #if HWY_ONCE                                  // the drivers: shapes, threads
//   namespace fer {
//   FER_SIMD_EXPORT(PReluKernels)                 // kernels<T>(): those of the best set of this machine
//   }
//   #endif
//
// No include guard: Highway's headers guard themselves, once per instruction set.

// Headers that must not be seen for the first time inside the pragmas.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "cpu/highway_targets.h"
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
