// CUDA's scalar intrinsics for the host compiler: loads, bit casts, fast maths, integer atomics; and the
// maths functions of gpu::, with one name for float and double.
#pragma once

#include "fer/simt/device.h"

namespace fer::simt {

using ::fmaf;
using ::fmaxf;
using ::fminf;

template <typename T>
__forceinline__ T __ldg(const T* p) {
  return *p;
}
template <typename T>
__forceinline__ T __ldcs(const T* p) {
  return *p;
}
template <typename T>
__forceinline__ void __stcs(T* p, T value) {
  *p = value;
}

inline int __float_as_int(float x) {
  return std::bit_cast<int>(x);
}
inline unsigned __float_as_uint(float x) {
  return std::bit_cast<unsigned>(x);
}
inline float __int_as_float(int x) {
  return std::bit_cast<float>(x);
}
inline float __uint_as_float(unsigned x) {
  return std::bit_cast<float>(x);
}
inline long long __double_as_longlong(double x) {
  return std::bit_cast<long long>(x);
}
inline double __longlong_as_double(long long x) {
  return std::bit_cast<double>(x);
}

inline int __popc(unsigned x) {
  return std::popcount(x);
}
inline int __clz(int x) {
  return std::countl_zero(static_cast<unsigned>(x));
}
inline int __ffs(int x) {
  return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1;
}
inline unsigned __brev(unsigned x) {
  unsigned y = 0;
  for (int i = 0; i < 32; ++i) y |= ((x >> i) & 1u) << (31 - i);
  return y;
}
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>((static_cast<std::uint64_t>(a) * b) >> 32);
}

inline float rsqrtf(float x) {
  return 1.0f / ::sqrtf(x);
}
inline double rsqrt(double x) {
  return 1.0 / ::sqrt(x);
}
inline float __expf(float x) {
  return ::expf(x);
}
inline float __logf(float x) {
  return ::logf(x);
}
inline float __fdividef(float a, float b) {
  return a / b;
}
inline float __frcp_rn(float x) {
  return 1.0f / x;
}
inline float __fsqrt_rn(float x) {
  return ::sqrtf(x);
}
inline float __fmaf_rn(float a, float b, float c) {
  return ::fmaf(a, b, c);
}
inline float __saturatef(float x) {
  return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f;
}

template <typename A, typename B>
__forceinline__ constexpr std::common_type_t<A, B> min(A a, B b) {
  using T = std::common_type_t<A, B>;
  return static_cast<T>(a) < static_cast<T>(b) ? static_cast<T>(a) : static_cast<T>(b);
}
template <typename A, typename B>
__forceinline__ constexpr std::common_type_t<A, B> max(A a, B b) {
  using T = std::common_type_t<A, B>;
  return static_cast<T>(a) > static_cast<T>(b) ? static_cast<T>(a) : static_cast<T>(b);
}

// Atomics exist for integers only: a floating-point sum in an arbitrary order would not be reproducible.
#define FER_SIMT_ATOMIC(name, builtin)                                                                  \
  template <typename T>                                                                                 \
  __attribute__((noinline)) T name(T* p, std::type_identity_t<T> value) {                               \
    static_assert(std::is_integral_v<T>, #name ": integers only; sum floating point in a fixed order"); \
    detail::note_access(p, sizeof(T), true, true, __builtin_return_address(0));                         \
    return builtin(p, value, __ATOMIC_RELAXED);                                                         \
  }
FER_SIMT_ATOMIC(atomicAdd, __atomic_fetch_add)
FER_SIMT_ATOMIC(atomicSub, __atomic_fetch_sub)
FER_SIMT_ATOMIC(atomicOr, __atomic_fetch_or)
FER_SIMT_ATOMIC(atomicAnd, __atomic_fetch_and)
FER_SIMT_ATOMIC(atomicXor, __atomic_fetch_xor)
FER_SIMT_ATOMIC(atomicExch, __atomic_exchange_n)
#undef FER_SIMT_ATOMIC

template <typename T>
__attribute__((noinline)) T atomicCAS(T* p, std::type_identity_t<T> expected,
                                      std::type_identity_t<T> desired) {
  static_assert(std::is_integral_v<T>, "atomicCAS: integers only");
  detail::note_access(p, sizeof(T), true, true, __builtin_return_address(0));
  __atomic_compare_exchange_n(p, &expected, desired, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}
template <typename T>
__attribute__((noinline)) T atomicMax(T* p, std::type_identity_t<T> value) {
  static_assert(std::is_integral_v<T>, "atomicMax: integers only");
  detail::note_access(p, sizeof(T), true, true, __builtin_return_address(0));
  T old = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (old < value &&
         !__atomic_compare_exchange_n(p, &old, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return old;
}
template <typename T>
__attribute__((noinline)) T atomicMin(T* p, std::type_identity_t<T> value) {
  static_assert(std::is_integral_v<T>, "atomicMin: integers only");
  detail::note_access(p, sizeof(T), true, true, __builtin_return_address(0));
  T old = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (value < old &&
         !__atomic_compare_exchange_n(p, &old, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return old;
}

inline void __trap(Where where = Where::current()) {
  detail::trap("__trap", where);
}

namespace gpu {

inline float exp(float x) {
  return ::expf(x);
}
inline double exp(double x) {
  return ::exp(x);
}
inline float exp2(float x) {
  return ::exp2f(x);
}
inline double exp2(double x) {
  return ::exp2(x);
}
inline float log(float x) {
  return ::logf(x);
}
inline double log(double x) {
  return ::log(x);
}
inline float sqrt(float x) {
  return ::sqrtf(x);
}
inline double sqrt(double x) {
  return ::sqrt(x);
}
inline float rsqrt(float x) {
  return 1.0f / ::sqrtf(x);
}
inline double rsqrt(double x) {
  return 1.0 / ::sqrt(x);
}
inline float tanh(float x) {
  return ::tanhf(x);
}
inline double tanh(double x) {
  return ::tanh(x);
}
inline float erf(float x) {
  return ::erff(x);
}
inline double erf(double x) {
  return ::erf(x);
}
inline float pow(float x, float y) {
  return ::powf(x, y);
}
inline double pow(double x, double y) {
  return ::pow(x, y);
}
inline float floor(float x) {
  return ::floorf(x);
}
inline double floor(double x) {
  return ::floor(x);
}
inline float abs(float x) {
  return ::fabsf(x);
}
inline double abs(double x) {
  return ::fabs(x);
}
// Written as x * y + z: this compiles to one instruction if the processor has it, and never to a slow library
// call.
inline float fma(float x, float y, float z) {
  return x * y + z;
}
inline double fma(double x, double y, double z) {
  return x * y + z;
}
// x * y, rounded. The asm keeps the compiler from fusing it into an fma.
inline float mul_rn(float x, float y) {
  float product = x * y;
  asm("" : "+m"(product));
  return product;
}
inline double mul_rn(double x, double y) {
  double product = x * y;
  asm("" : "+m"(product));
  return product;
}
template <typename T>
__forceinline__ T max(T a, T b) {
  return a > b ? a : b;
}
template <typename T>
__forceinline__ T min(T a, T b) {
  return a < b ? a : b;
}
template <typename T>
constexpr T infinity() {
  return static_cast<T>(__builtin_huge_val());
}
/// The identity of max(): minus infinity, or the smallest integer.
template <typename T>
constexpr T lowest() {
  if constexpr (std::is_floating_point_v<T>) {
    return -infinity<T>();
  } else {
    return std::numeric_limits<T>::min();
  }
}

}  // namespace gpu
}  // namespace fer::simt
