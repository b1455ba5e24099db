// Linear: y = x W^T + b on the rows of x. PyTorch's names and shapes: weight O x I, bias O.
//
//   fer::Linear layer(3, 5);
//   layer.initialise(/*seed=*/1);
//   fer::Variable y = layer(x);  // rows x 3 -> rows x 5
#pragma once

#include "fer/layers/module.h"

namespace fer {

class Linear : public Layer {
 public:
  /// `init` of the weight; a bias starts at zero, or with Init::uniform as the weight does.
  Linear(std::int64_t in, std::int64_t out, bool bias = true, Init init = Init::xavier);

  std::string describe() const override;
  /// x: any shape with last extent `in`; the result has last extent `out`.
  Variable forward(const Variable& x) override;
  /// gelu() is the layer followed by GELU, plus() the layer plus a residual of the result's shape; each takes
  /// one pass over the result if the device has such a kernel.
  Variable gelu(const Variable& x);
  Variable plus(const Variable& x, const Variable& residual);

  std::int64_t in() const { return in_; }
  std::int64_t out() const { return out_; }

  Variable weight;  ///< O x I
  Variable bias;    ///< O; undefined without bias

 private:
  std::int64_t in_, out_;
};

}  // namespace fer
