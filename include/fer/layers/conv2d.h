// Conv2d: two-dimensional convolution of N x H x W x I images; weight O x kh x kw x I/groups, bias O.
#pragma once

#include "fer/layers/module.h"
#include "fer/tensor/backend.h"

namespace fer {

struct Conv2dConfig {
  int kernel = 3;
  int stride = 1;
  int padding = 0;
  int groups = 1;
  bool bias = false;  ///< the convolutions of the model stand in front of a norm and have none
};

class Conv2d : public Layer {
 public:
  /// ConfigError unless groups divides both channel counts.
  Conv2d(std::int64_t in, std::int64_t out, const Conv2dConfig& config);

  std::string describe() const override;
  /// x: N x H x W x I; y: N x H' x W' x O with H' = (H + 2 padding - kernel) / stride + 1.
  Variable forward(const Variable& x) override;

  std::int64_t in() const { return in_; }
  std::int64_t out() const { return out_; }
  const Conv2dConfig& config() const { return config_; }
  Conv2dOptions options() const { return {config_.stride, config_.padding, config_.groups}; }

  Variable weight;  ///< O x kh x kw x I/groups
  Variable bias;    ///< O; undefined without bias

 private:
  std::int64_t in_, out_;
  Conv2dConfig config_;
};

}  // namespace fer
