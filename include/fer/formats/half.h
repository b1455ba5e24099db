// float16 and bfloat16 are storage types: files hold them, arithmetic happens in float32. The conversions,
// exact when widening and rounded to nearest even when narrowing, as IEEE 754 and PyTorch do.
#pragma once

#include <cstdint>

#include "fer/tensor/tensor.h"

namespace fer {

float float16_to_float(std::uint16_t bits);
float bfloat16_to_float(std::uint16_t bits);
std::uint16_t float_to_float16(float value);
std::uint16_t float_to_bfloat16(float value);

/// `tensor` (any device) in another floating type, on the CPU; itself if it has that type. float64 goes to a
/// half by way of float32. TypeError if either type is no floating type.
Tensor convert_floating(const Tensor& tensor, DType dtype);

}  // namespace fer
