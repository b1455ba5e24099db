#include "fer/layers/conv2d.h"

#include "fer/autograd/ops.h"

namespace fer {

Conv2d::Conv2d(std::int64_t in, std::int64_t out, int kernel, const Conv2dOptions& options, bool with_bias)
    : in_(in), out_(out), kernel_(kernel), options_(options) {
  const int groups = options.groups;
  require<ConfigError>(in >= 1 && out >= 1 && kernel >= 1 && groups >= 1, "Conv2d(", in, ", ", out,
                       ", kernel ", kernel, ", groups ", groups, "): all start at 1");
  require<ConfigError>(in % groups == 0 && out % groups == 0, "Conv2d(", in, ", ", out, "): ", groups,
                       " groups do not divide both channel counts");
  weight = register_parameter("weight", {out, kernel, kernel, in / groups}, Init::kaiming);
  if (with_bias) bias = register_parameter("bias", {out}, Init::zeros);
}

std::string Conv2d::describe() const {
  std::ostringstream text;
  text << "Conv2d(" << in_ << ", " << out_ << ", kernel " << kernel_;
  if (options_.stride != 1) text << ", stride " << options_.stride;
  if (options_.groups == in_ && in_ == out_) {
    text << ", depthwise";
  } else if (options_.groups != 1) {
    text << ", groups " << options_.groups;
  }
  if (bias.defined()) text << ", bias";
  text << ")";
  return text.str();
}

Variable Conv2d::forward(const Variable& x) {
  return conv2d(x, weight, bias, options_);
}

}  // namespace fer
