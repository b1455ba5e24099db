#include "fer/formats/half.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "fer/tensor/backend.h"

namespace fer {
namespace {

/// y[i] = f(x[i]) from one element type to another.
template <typename From, typename To, typename F>
Tensor map_elements(const Tensor& x, DType dtype, F f) {
  Tensor y = Tensor::empty(x.shape(), dtype);
  if (x.numel() == 0) return y;
  const From* from = static_cast<const From*>(x.raw());
  To* to = static_cast<To*>(y.mutable_raw());
  for (std::int64_t i = 0; i < x.numel(); ++i) to[i] = f(from[i]);
  return y;
}

Tensor widen(const Tensor& x) {
  switch (x.dtype()) {
    case DType::float16:
      return map_elements<std::uint16_t, float>(x, DType::float32, float16_to_float);
    case DType::bfloat16:
      return map_elements<std::uint16_t, float>(x, DType::float32, bfloat16_to_float);
    case DType::float64:
      return map_elements<double, float>(x, DType::float32, [](double v) { return static_cast<float>(v); });
    default:
      return x;
  }
}

}  // namespace

float float16_to_float(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1Fu, fraction = bits & 0x3FFu;
  if (exponent == 0x1F) return std::bit_cast<float>(sign | 0x7F800000u | fraction << 13);  // infinity, NaN
  if (exponent == 0) {                                                                     // zero, subnormal
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
}

float bfloat16_to_float(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

std::uint16_t float_to_float16(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint16_t sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return sign | 0x7E00u;   // NaN
  if (magnitude >= 0x477FF000u) return sign | 0x7C00u;  // 65520 and above round to infinity
  if (magnitude < 0x38800000u) {                        // below 2^-14: subnormal, in steps of 2^-24
    const float steps = std::nearbyint(std::bit_cast<float>(magnitude) * 0x1p24f);
    return sign | static_cast<std::uint16_t>(steps);
  }
  const std::uint32_t odd = (magnitude >> 13) & 1u;
  const std::uint32_t rounded = magnitude + 0xFFFu + odd;
  return sign | static_cast<std::uint16_t>((rounded >> 13) - (112u << 10));
}

std::uint16_t float_to_bfloat16(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);
  const std::uint32_t odd = (bits >> 16) & 1u;
  return static_cast<std::uint16_t>((bits + 0x7FFFu + odd) >> 16);
}

Tensor convert_floating(const Tensor& tensor, DType dtype) {
  require<TypeError>(is_floating(tensor.dtype()) && is_floating(dtype), "convert_floating converts between ",
                     "floating-point types, not from ", tensor.dtype(), " to ", dtype);
  Tensor x = tensor.to(Device::cpu);
  if (x.dtype() == dtype) return x;
  Tensor single = widen(x);
  switch (dtype) {
    case DType::float16:
      return map_elements<float, std::uint16_t>(single, dtype, float_to_float16);
    case DType::bfloat16:
      return map_elements<float, std::uint16_t>(single, dtype, float_to_bfloat16);
    case DType::float64:
      return map_elements<float, double>(single, dtype, [](float v) { return static_cast<double>(v); });
    default:
      return single;
  }
}

}  // namespace fer
