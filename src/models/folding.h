// Weights in float64, in which the prepared nets fold norms into convolutions.
#pragma once

#include <vector>

#include "fer/tensor/tensor.h"

namespace fer {

inline std::vector<double> values_of(const Tensor& tensor) {
  return tensor.to(Device::cpu).to(DType::float64).to_vector<double>();
}

}  // namespace fer
