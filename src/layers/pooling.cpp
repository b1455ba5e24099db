#include "fer/layers/pooling.h"

#include "fer/autograd/ops.h"

namespace fer {

MaxPool2d::MaxPool2d(int kernel, int stride, int padding)
    : kernel_(kernel), stride_(stride), padding_(padding) {
  require<ConfigError>(kernel >= 1 && stride >= 1, "MaxPool2d(", kernel, ", ", stride, "): both start at 1");
  require<ConfigError>(padding >= 0 && padding <= kernel / 2, "MaxPool2d(", kernel, ", ", stride, ", ",
                       padding, "): the padding is outside of 0 .. ", kernel / 2, ", half of the kernel");
}

std::string MaxPool2d::describe() const {
  return concat("MaxPool2d(kernel ", kernel_, ", stride ", stride_,
                padding_ > 0 ? concat(", padding ", padding_) : "", ")");
}

Variable MaxPool2d::forward(const Variable& x) {
  return kernel_ == 1 && stride_ == 1 ? x : max_pool2d(x, kernel_, stride_, padding_);
}

Variable GlobalAvgPool2d::forward(const Variable& x) {
  return global_avg_pool2d(x);
}

}  // namespace fer
