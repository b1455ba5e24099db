// Which of Backend's functions call a library, and how. src/autograd has already checked the shapes.
#include "cuda/library/library_backend.h"

#include "cuda/conv_shape.h"
#include "cuda/op_support.h"
#include "cuda/product_operands.h"
#include "fer/tensor/precision.h"

namespace fer {

std::unique_ptr<Backend> make_cuda_backend() {
  return std::make_unique<cuda::LibraryBackend>();
}

bool has_math_library(std::string* reason) {
  try {
    cuda::Cublas::check_installed();
    cuda::Cudnn::check_installed();
    return true;
  } catch (const DeviceError& error) {
    if (reason) *reason = error.what();
    return false;
  }
}

namespace cuda {

LibraryBackend::LibraryBackend() {
  runtime_.offer_library([this] {
    if (!cublas_) cublas_ = std::make_unique<Cublas>(stream_, *this);
    if (!cudnn_) cudnn_ = std::make_unique<Cudnn>(stream_, *this);
  });
}

void LibraryBackend::product(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
                             std::int64_t m, std::int64_t n, std::int64_t k, std::int64_t batch, Tensor& y) {
  require_size("matmul", "a", a, batch * m * k);
  require_size("matmul", "b", b, batch * k * n);
  require_size("matmul", "y", y, batch * m * n);
  if (y.numel() == 0) return;
  if (k == 0) return fill(y, 0);
  const Precision wanted = precision(device());
  const bool halves = multiplies_bf16(*this, y.dtype(), a, b);
  const auto operand = [&](const Tensor& t) { return halves ? t.to(DType::bfloat16) : t; };
  cublas_->product(transpose_a, transpose_b, m, n, k, batch, operand(a), operand(b), wanted, y);
}

bool LibraryBackend::convolves(const Tensor& image, const Tensor& result) const {
  return library_mode() && image.dtype() == DType::float32 && result.dtype() == DType::float32 &&
         precision(device()) != Precision::bf16;
}

void LibraryBackend::add_bias(const Tensor& bias, Tensor& y) {
  if (bias.defined()) binary(BinaryOp::add, y, bias.to(y.dtype()), y);
}

void LibraryBackend::sum_columns(const Tensor& dy, Tensor& dbias) {
  if (!dbias.defined()) return;
  Tensor row = dbias.reshape({1, dbias.numel()});
  sum_to(dy.reshape({dy.shape().rows(), dbias.numel()}), row);
}

void LibraryBackend::matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Tensor& y) {
  if (!library_mode()) return DeviceBackend::matmul(a, transpose_a, b, transpose_b, y);
  const int rank = y.rank();
  const std::int64_t m = y.dim(rank - 2), n = y.dim(rank - 1), k = a.dim(transpose_a ? rank - 2 : rank - 1);
  product(a, transpose_a, b, transpose_b, m, n, k, m * n == 0 ? 0 : y.numel() / (m * n), y);
}

void LibraryBackend::linear_fused_forward(const Tensor& x, const Tensor& weight, LinearEpilogue& epilogue,
                                          Tensor& y) {
  if (!library_mode()) return DeviceBackend::linear_fused_forward(x, weight, epilogue, y);
  Tensor sum = y;
  if (epilogue.gelu) sum = epilogue.before_gelu.defined() ? epilogue.before_gelu : Tensor::empty_like(y);
  product(x, false, weight, true, x.shape().rows(), weight.dim(0), weight.dim(1), 1, sum);
  add_bias(epilogue.bias, sum);
  if (epilogue.gelu) activation_forward(UnaryOp::gelu, sum, y);
  if (epilogue.residual.defined()) accumulate(epilogue.residual, 1.0, y);
}

void LibraryBackend::linear_backward_input(const Tensor& dy, const Tensor& weight, Tensor& dx) {
  if (!library_mode()) return DeviceBackend::linear_backward_input(dy, weight, dx);
  product(dy, false, weight, false, dx.shape().rows(), weight.dim(1), weight.dim(0), 1, dx);
}

void LibraryBackend::linear_backward_weight(const Tensor& x, const Tensor& dy, Tensor& dweight,
                                            Tensor& dbias) {
  if (!library_mode()) return DeviceBackend::linear_backward_weight(x, dy, dweight, dbias);
  product(dy, true, x, false, dweight.dim(0), dweight.dim(1), x.shape().rows(), 1, dweight);
  sum_columns(dy, dbias);
}

void LibraryBackend::conv2d_forward(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                    const Conv2dOptions& options, Tensor& y) {
  if (!convolves(x, y)) return DeviceBackend::conv2d_forward(x, weight, bias, options, y);
  if (y.numel() == 0) return;
  cudnn_->forward(x, weight, options, y);
  add_bias(bias, y);
}

void LibraryBackend::conv2d_backward_input(const Tensor& dy, const Tensor& weight,
                                           const Conv2dOptions& options, Tensor& dx) {
  if (!convolves(dy, dx) || dy.numel() == 0)
    return DeviceBackend::conv2d_backward_input(dy, weight, options, dx);
  cudnn_->backward_input(dy, weight, options, dx);
}

void LibraryBackend::conv2d_backward_weight(const Tensor& x, const Tensor& dy, const Conv2dOptions& options,
                                            Tensor& dweight, Tensor& dbias) {
  if (!convolves(x, dweight) || dy.numel() == 0)
    return DeviceBackend::conv2d_backward_weight(x, dy, options, dweight, dbias);
  cudnn_->backward_weight(x, dy, options, dweight);
  sum_columns(dy, dbias);
}

void LibraryBackend::depthwise_conv2d_forward(const Tensor& x, const Tensor& weight,
                                              const Conv2dOptions& options, Tensor& y) {
  if (!convolves(x, y) || y.numel() == 0)
    return DeviceBackend::depthwise_conv2d_forward(x, weight, options, y);
  cudnn_->forward(x, weight, options, y);
}

void LibraryBackend::depthwise_conv2d_backward_input(const Tensor& dy, const Tensor& weight,
                                                     const Conv2dOptions& options, Tensor& dx) {
  if (!convolves(dy, dx) || dy.numel() == 0)
    return DeviceBackend::depthwise_conv2d_backward_input(dy, weight, options, dx);
  cudnn_->backward_input(dy, weight, options, dx);
}

void LibraryBackend::depthwise_conv2d_backward_weight(const Tensor& x, const Tensor& dy,
                                                      const Conv2dOptions& options, Tensor& dweight) {
  if (!convolves(x, dweight) || dy.numel() == 0)
    return DeviceBackend::depthwise_conv2d_backward_weight(x, dy, options, dweight);
  cudnn_->backward_weight(x, dy, options, dweight);
}

/// A convolution with border b around x is a convolution of x - b with zero padding, plus the convolution of
/// a window that is b everywhere. The latter is the same at every pixel.
void LibraryBackend::conv2d_fused_forward(const Tensor& x, PackedConv2d& packed, const Tensor& border,
                                          const Conv2dEpilogue& epilogue, Tensor& y) {
  if (!convolves(x, y) || y.numel() == 0)
    return DeviceBackend::conv2d_fused_forward(x, packed, border, epilogue, y);
  conv2d_fused_shape(x, packed, border, epilogue, y);
  const Tensor& weight = packed.weight;
  if (border.defined() && packed.options.padding > 0) {
    Tensor inner = Tensor::empty_like(x), share = Tensor::empty_like(y, {1, 1, 1, y.dim(3)});
    Tensor window = Tensor::zeros({1, weight.dim(1), weight.dim(2), x.dim(3)}, x.dtype(), x.device());
    binary(BinaryOp::sub, x, border, inner);
    binary(BinaryOp::add, window, border, window);
    cudnn_->forward(inner, weight, packed.options, y);
    cudnn_->forward(window, weight, {}, share);
    add_bias(share, y);
  } else {
    cudnn_->forward(x, weight, packed.options, y);
  }
  add_bias(epilogue.bias, y);
  if (epilogue.slope.defined()) prelu_forward(y, epilogue.slope, y);
  if (epilogue.residual.defined()) accumulate(epilogue.residual, 1.0, y);
}

}  // namespace cuda
}  // namespace fer
