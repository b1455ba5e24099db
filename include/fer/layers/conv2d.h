// Conv2d: two-dimensional convolution of N x H x W x I images; weight O x kh x kw x I/groups, bias O.
#pragma once

#include "fer/layers/module.h"
#include "fer/tensor/backend.h"

namespace fer {

class Conv2d : public Layer {
 public:
  /// Kernels are `kernel` x `kernel`. There is no bias by default, because a bias before a norm has no
  /// effect. ConfigError unless groups divides both channel counts.
  Conv2d(std::int64_t in, std::int64_t out, int kernel, const Conv2dOptions& options = {}, bool bias = false);

  std::string describe() const override;
  /// x: N x H x W x I; y: N x H' x W' x O with H' = (H + 2 padding - kernel) / stride + 1.
  Variable forward(const Variable& x) override;

  std::int64_t in() const { return in_; }
  std::int64_t out() const { return out_; }
  int kernel() const { return kernel_; }
  const Conv2dOptions& options() const { return options_; }

  Variable weight;  ///< O x kh x kw x I/groups
  Variable bias;    ///< O; undefined without bias

 private:
  std::int64_t in_, out_;
  int kernel_;
  Conv2dOptions options_;
};

}  // namespace fer
