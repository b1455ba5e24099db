// BatchNorm: normalises each channel over all rows. Since all data is rows x C, it covers both of PyTorch's
// BatchNorm1d and BatchNorm2d.
//
// Training uses the statistics of the batch and updates running_mean and running_var with `momentum` (the
// variance unbiased). Evaluation uses the running statistics. PyTorch's counter num_batches_tracked matters
// only for momentum = None and is not kept; PyTorch loads a state without it.
#pragma once

#include "fer/layers/module.h"

namespace fer {

class BatchNorm : public Layer {
 public:
  explicit BatchNorm(std::int64_t channels, double eps = 1e-5, double momentum = 0.1);

  std::string describe() const override;
  /// x: rows x C.
  Variable forward(const Variable& x) override;
  /// Batch norm, then prelu() with `slope` (C, optional), then plus `residual` (x's shape, optional). In
  /// training all of it takes one pass over memory.
  Variable forward(const Variable& x, const Variable& slope, const Variable& residual);
  Variable operator()(const Variable& x, const Variable& slope, const Variable& residual) {
    ModuleScope scope(name());
    return forward(x, slope, residual);
  }
  using Layer::operator();

  std::int64_t channels() const { return channels_; }
  double eps() const { return eps_; }

  Variable weight, bias;               ///< C
  Tensor &running_mean, &running_var;  ///< C

 private:
  std::int64_t channels_;
  double eps_, momentum_;
};

}  // namespace fer
