#include "fer/layers/conv2d.h"

#include "fer/autograd/ops.h"

namespace fer {

Conv2d::Conv2d(std::int64_t in, std::int64_t out, const Conv2dConfig& config)
    : in_(in), out_(out), config_(config) {
  require<ConfigError>(in >= 1 && out >= 1 && config.kernel >= 1 && config.groups >= 1, "Conv2d(", in, ", ",
                       out, ", kernel ", config.kernel, ", groups ", config.groups, "): all start at 1");
  require<ConfigError>(in % config.groups == 0 && out % config.groups == 0, "Conv2d(", in, ", ", out,
                       "): ", config.groups, " groups do not divide both channel counts");
  weight = add_parameter("weight", {out, config.kernel, config.kernel, in / config.groups}, Init::kaiming);
  if (config.bias) bias = add_parameter("bias", {out}, Init::zeros);
}

std::string Conv2d::describe() const {
  std::ostringstream text;
  text << "Conv2d(" << in_ << ", " << out_ << ", kernel " << config_.kernel;
  if (config_.stride != 1) text << ", stride " << config_.stride;
  if (config_.groups == in_ && in_ == out_) {
    text << ", depthwise";
  } else if (config_.groups != 1) {
    text << ", groups " << config_.groups;
  }
  if (config_.bias) text << ", bias";
  text << ")";
  return text.str();
}

Variable Conv2d::forward(const Variable& x) {
  return conv2d(x, weight, bias, options());
}

}  // namespace fer
