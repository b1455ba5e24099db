// PreparedConv2d: a convolution made ready for inference, with what surrounds it done in the same pass:
//
//   y = prelu(conv2d(x, weight) + bias, slope) + residual
//
// What depends on the weight alone (packing, Winograd's transform) is computed once. A linear layer is the
// 1x1 convolution; see rows(). No gradient flows through it.
#pragma once

#include <memory>
#include <string>

#include "fer/autograd/variable.h"
#include "fer/tensor/backend.h"

namespace fer {

class PreparedConv2d {
 public:
  struct Parts {
    std::string name{};      ///< of the module it stands for, for profiles and errors
    Tensor weight{};         ///< O x kh x kw x I/groups
    Tensor bias{}, slope{};  ///< O; undefined: none
    Tensor border{};         ///< I: what lies around x instead of zeros; undefined: zeros
    Conv2dOptions options{};
  };

  PreparedConv2d() = default;
  explicit PreparedConv2d(Parts parts);

  /// x: N x H x W x I; residual: of y's shape, or undefined. AutogradError where a gradient would be wanted
  /// of it.
  Variable operator()(const Variable& x, const Variable& residual = {}) const;
  /// The 1x1 convolution of any rows x I: a linear layer.
  Variable rows(const Variable& x) const;

  std::int64_t outputs() const { return parts_.weight.dim(0); }

 private:
  Tensor run(const Tensor& x, const Tensor& residual, const Shape& y) const;
  void check_no_gradient(const Variable& x) const;

  Parts parts_;
  std::shared_ptr<PackedConv2d> packed_;
};

}  // namespace fer
