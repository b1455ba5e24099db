#include "fer/layers/prepared_conv2d.h"

#include "fer/layers/mac_counter.h"

namespace fer {

PreparedConv2d::PreparedConv2d(Parts parts)
    : parts_(std::move(parts)),
      packed_(backend_of(parts_.weight).pack_conv2d(parts_.weight, parts_.options)) {}

void PreparedConv2d::check_no_gradient(const Variable& x) const {
  require<AutogradError>(packed_ != nullptr, "PreparedConv2d: nothing was prepared");
  require<AutogradError>(
      !grad_enabled() || !x.requires_grad(), "[", parts_.name,
      "] is prepared for inference and has no gradient; put it under NoGrad, or run the layer itself");
}

Tensor PreparedConv2d::run(const Tensor& x, const Tensor& residual, const Shape& shape) const {
  Tensor y = Tensor::empty_like(x, shape);
  backend_of(x).conv2d_fused_forward(x, *packed_, parts_.border, {parts_.bias, parts_.slope, residual}, y);
  MacCounter::add(y.numel() * parts_.weight.numel() / parts_.weight.dim(0));
  return y;
}

Variable PreparedConv2d::operator()(const Variable& x, const Variable& residual) const {
  ModuleScope scope(parts_.name);
  check_no_gradient(x);
  require<ShapeError>(x.rank() == 4, "[", parts_.name, "] needs x N x H x W x I, got ", x.shape());
  const auto extent = [&](int dim) {
    return (x.dim(dim) + 2 * parts_.options.padding - parts_.weight.dim(dim)) / parts_.options.stride + 1;
  };
  Tensor y = run(x.value(), residual.defined() ? residual.value() : Tensor(),
                 {x.dim(0), extent(1), extent(2), outputs()});
  return record("conv2d", std::move(y), {}, {});
}

Variable PreparedConv2d::rows(const Variable& x) const {
  check_no_gradient(x);
  Shape shape = x.shape();
  shape.set(-1, outputs());
  const std::int64_t count = x.shape().rows(), channels = x.shape().channels();
  Tensor y = run(x.value().reshape({1, 1, count, channels}), Tensor(), {1, 1, count, outputs()});
  return record("linear", y.reshape(shape), {}, {});
}

}  // namespace fer
