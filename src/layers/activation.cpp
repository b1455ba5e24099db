#include "fer/layers/activation.h"

namespace fer {

PReLU::PReLU(std::int64_t channels)
    : weight(register_parameter("weight", {channels}, Init::prelu)), channels_(channels) {}

std::string PReLU::describe() const {
  return concat("PReLU(", channels_, ")");
}

Variable PReLU::forward(const Variable& x) {
  return prelu(x, weight);
}

}  // namespace fer
