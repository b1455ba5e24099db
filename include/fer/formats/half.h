// Conversions of float16 and bfloat16, which are storage types: files hold them, and arithmetic happens in
// float32. Widening is exact; narrowing rounds to nearest even, as IEEE 754 and PyTorch do.
#pragma once

#include <cstdint>

#include "fer/tensor/tensor.h"

namespace fer {

float float16_to_float(std::uint16_t bits);
float bfloat16_to_float(std::uint16_t bits);
std::uint16_t float_to_float16(float value);
std::uint16_t float_to_bfloat16(float value);

/// `tensor` (on any device) converted to another floating-point type, on the CPU; `tensor` itself if it
/// already has that type. float64 is first rounded to float32 on its way to a half. TypeError if either type
/// is not floating-point.
Tensor convert_floating(const Tensor& tensor, DType dtype);

}  // namespace fer
