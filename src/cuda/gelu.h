// The exact GELU, y = x Phi(x), dy/dx = Phi(x) + x phi(x), where Phi is the normal distribution and phi its
// density. Used by activation.cu and by products that end in a GELU (matmul.cu). Phi is computed from erfc,
// which keeps its relative accuracy in the tail.
#pragma once

#include "cuda/gpu.h"

namespace fer::FER_DEVICE_NAMESPACE {

__device__ __forceinline__ float erfc_of(float x) {
  return ::erfcf(x);
}
__device__ __forceinline__ double erfc_of(double x) {
  return ::erfc(x);
}
template <typename T>
__device__ __forceinline__ T normal_cdf(T x) {
  return T(0.5) * erfc_of(x * T(-0.70710678118654752440));
}
template <typename T>
__device__ __forceinline__ T normal_density(T x) {
  return gpu::exp(T(-0.5) * x * x) * T(0.39894228040143267794);
}

struct Gelu {
  template <typename T>
  __device__ __forceinline__ T operator()(T x) const {
    return x * normal_cdf(x);
  }
};
struct GeluBackward {
  template <typename T>
  __device__ __forceinline__ T operator()(T x, T dy) const {
    return dy * (normal_cdf(x) + x * normal_density(x));
  }
};

}  // namespace fer::FER_DEVICE_NAMESPACE
