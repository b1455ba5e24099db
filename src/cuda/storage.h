// A kernel's storage type and its arithmetic type may differ. float and double are both. bf16 is only a
// storage type, half as large as float; arithmetic on it is in float. A kernel over a storage type S loads by
// widen(), computes in Wide<S> and stores by narrow<S>(), which rounds once, to nearest even. Parameters,
// statistics and sums over many elements are also Wide<S> in memory.
#pragma once

#include <string_view>
#include <type_traits>

#include "cuda/gpu.h"
#include "fer/error.h"
#include "fer/tensor/tensor.h"

namespace fer::FER_DEVICE_NAMESPACE {

template <typename S>
using Wide = std::conditional_t<std::is_same_v<S, bf16>, float, S>;

__device__ __forceinline__ float widen(float x) {
  return x;
}
__device__ __forceinline__ double widen(double x) {
  return x;
}
__device__ __forceinline__ float widen(bf16 x) {
  return to_float(x);
}
/// For sums of many elements.
template <typename S>
__device__ __forceinline__ double widen_to_double(S x) {
  return static_cast<double>(widen(x));
}

template <typename S>
__device__ __forceinline__ S narrow(Wide<S> x) {
  if constexpr (std::is_same_v<S, bf16>) {
    return to_bf16(x);
  } else {
    return x;
  }
}

/// `count` elements that one instruction loads or stores.
template <typename T, int count>
struct alignas(sizeof(T) * count) Pack {
  T v[count];
};

/// The elements of a tensor of type S, as Tensor::data() gives them, and those of an optional one; nullptr
/// for none.
template <typename S>
const S* stored(const Tensor& tensor) {
  if constexpr (std::is_same_v<S, bf16>) {
    require<TypeError>(tensor.dtype() == DType::bfloat16, "a kernel reads bfloat16, the tensor is ",
                       tensor.dtype());
    return static_cast<const bf16*>(tensor.raw());
  } else {
    return tensor.data<S>();
  }
}
template <typename S>
S* mutable_stored(Tensor& tensor) {
  (void)stored<S>(tensor);
  return static_cast<S*>(tensor.mutable_raw());
}
template <typename S>
const S* stored_or_null(const Tensor& tensor) {
  return tensor.defined() ? stored<S>(tensor) : nullptr;
}
template <typename S>
S* mutable_stored_or_null(Tensor& tensor) {
  return tensor.defined() ? mutable_stored<S>(tensor) : nullptr;
}

/// Calls `body.operator()<S>()` for float, double or bf16; any other type is an error that names `op`.
template <typename Body>
void dispatch_stored(DType dtype, std::string_view op, const Body& body) {
  switch (dtype) {
    case DType::float32:
      return body.template operator()<float>();
    case DType::float64:
      return body.template operator()<double>();
    case DType::bfloat16:
      return body.template operator()<bf16>();
    default:
      throw TypeError(concat("[", op, "] needs float32, float64 or bfloat16, got ", dtype));
  }
}

}  // namespace fer::FER_DEVICE_NAMESPACE
