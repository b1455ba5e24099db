// Reads and makes constants of a graph as numbers, for the passes.
#pragma once

#include <vector>

#include "fer/tensor/tensor.h"

namespace fer {

inline std::vector<double> doubles_of(const Tensor& tensor) {
  return tensor.to(Device::cpu).to(DType::float64).to_vector<double>();
}

/// A tensor of the type and on the device of `like`.
inline Tensor tensor_of(const Shape& shape, const std::vector<double>& values, const Tensor& like) {
  return Tensor::from<double>(shape, values).to(like.dtype()).to(like.device());
}

}  // namespace fer
