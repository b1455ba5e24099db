// Convolution (cross-correlation, as everywhere in this field), with o = (group, channel of the group):
//   y[n, i, j, o] = bias[o] + sum over p, q, c of x[n, i s + p - pad, j s + q - pad, c] weight[o, p, q, c]
//   dx: each dy spread back through the same weights;  dweight: dy correlated with x;  dbias: column sums.
// If groups == I == O, the depthwise kernels run. They take no bias, so it is added here.
#include "autograd/op_checks.h"
#include "fer/autograd/ops.h"
#include "fer/tensor/precision.h"

namespace fer {

using namespace detail;

namespace {

bool is_depthwise(const Shape& x, const Shape& weight, const Conv2dOptions& options) {
  return options.groups == x[3] && options.groups == weight[0];
}

/// Checks everything and returns N x H' x W' x O.
Shape output_shape(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dOptions& options) {
  check_operands("conv2d", {{"x", x}, {"weight", weight, parameter}}, {{"bias", bias, parameter}});
  check_rank("conv2d", {"x", x}, 4, "N x H x W x I");
  check_rank("conv2d", {"weight", weight}, 4, "O x kh x kw x I/groups");
  require<ConfigError>(options.stride >= 1 && options.padding >= 0 && options.groups >= 1, "[conv2d] stride ",
                       options.stride, ", padding ", options.padding, ", groups ", options.groups,
                       ": stride and groups start at 1, padding at 0");
  require<ShapeError>(x.dim(3) % options.groups == 0 && weight.dim(0) % options.groups == 0, "[conv2d] ",
                      options.groups, " groups do not divide the ", x.dim(3), " channels of x ", x.shape(),
                      " and the ", weight.dim(0), " of weight ", weight.shape());
  require<ShapeError>(weight.dim(3) == x.dim(3) / options.groups, "[conv2d] x of shape ", x.shape(), " has ",
                      x.dim(3) / options.groups, " channels in each of ", options.groups,
                      " groups, weight of shape ", weight.shape(), " takes ", weight.dim(3));
  if (bias.defined()) {
    check_shape("conv2d", {"bias", bias}, {weight.dim(0)}, "the outputs of weight ", weight.shape());
  }
  const std::int64_t height = x.dim(1) + 2 * options.padding, width = x.dim(2) + 2 * options.padding;
  require<ShapeError>(
      weight.dim(1) >= 1 && weight.dim(2) >= 1 && height >= weight.dim(1) && width >= weight.dim(2),
      "[conv2d] the kernel of weight ", weight.shape(), " does not fit into x ", x.shape(), " padded by ",
      options.padding);
  return {x.dim(0), (height - weight.dim(1)) / options.stride + 1,
          (width - weight.dim(2)) / options.stride + 1, weight.dim(0)};
}

}  // namespace

Variable conv2d(const Variable& x, const Variable& weight, const Variable& bias,
                const Conv2dOptions& options) {
  const Shape shape = output_shape(value_or_none(x), value_or_none(weight), value_or_none(bias), options);
  Tensor y = Tensor::empty_like(x.value(), shape);
  const bool depthwise = is_depthwise(x.shape(), weight.shape(), options);
  Backend& device = backend_of(y);
  const Tensor operand = depthwise ? x.value() : product_operand(x);
  if (depthwise) {
    device.depthwise_conv2d_forward(x.value(), weight.value(), options, y);
    if (bias.defined()) device.binary(BinaryOp::add, y, bias.value().to(y.dtype()), y);
  } else {
    device.conv2d_forward(operand, weight.value(), value_or_none(bias), options, y);
  }
  const bool needs_dx = needs_gradient(x), needs_dw = needs_gradient(weight), needs_db = needs_gradient(bias);
  return record(
      {"conv2d", {{"stride", options.stride}, {"padding", options.padding}, {"groups", options.groups}}},
      std::move(y), {x, weight, bias},
      [=, sx = x.shape(), sw = weight.shape(),
       x_saved = depthwise ? save_if(needs_dw, x, "conv2d", "x") : save_operand(needs_dw, x, "conv2d", "x"),
       weight_saved =
           save_if(needs_dx, weight.value(), "conv2d", "weight")](const Tensor& dy) -> std::vector<Tensor> {
        Tensor dx, dw = parameter_gradient_if(needs_dw, sw, dy), db;
        Backend& backend = backend_of(dy);
        const SharedOperand shared(dy);  // both products read it
        // dweight first: if x is recomputed for it, that x is freed before dx is allocated.
        if (needs_dw && depthwise) {
          backend.depthwise_conv2d_backward_weight(x_saved.get(), dy, options, dw);
        } else if (needs_dw) {
          db = parameter_gradient_if(needs_db, {sw[0]}, dy);
          backend.conv2d_backward_weight(x_saved.get(), dy, options, dw, db);
        }
        if (needs_db && !db.defined()) db = reduce_to_parameter(dy, {sw[0]});
        if (needs_dx) dx = Tensor::empty_like(dy, sx);
        if (needs_dx && depthwise) {
          backend.depthwise_conv2d_backward_input(dy, weight_saved.get(), options, dx);
        } else if (needs_dx) {
          backend.conv2d_backward_input(dy, weight_saved.get(), options, dx);
        }
        return {dx, dw, db};
      });
}

}  // namespace fer
