#include "fer/layers/pooling.h"

#include "fer/autograd/ops.h"

namespace fer {

MaxPool2d::MaxPool2d(int kernel, int stride) : kernel_(kernel), stride_(stride) {
  require<ConfigError>(kernel >= 1 && stride >= 1, "MaxPool2d(", kernel, ", ", stride, "): both start at 1");
}

std::string MaxPool2d::describe() const {
  return concat("MaxPool2d(kernel ", kernel_, ", stride ", stride_, ")");
}

Variable MaxPool2d::forward(const Variable& x) {
  return kernel_ == 1 && stride_ == 1 ? x : max_pool2d(x, kernel_, stride_);
}

Variable GlobalAvgPool2d::forward(const Variable& x) {
  return global_avg_pool2d(x);
}

}  // namespace fer
