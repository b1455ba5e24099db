// Matrix products and the linear layer: y = x W^T + b, dx = dy W, dW = dy^T x, db = column sums of dy. The
// extra operations of the fused form are separate passes here, over data that is still in the caches.
#include "cpu/cpu_backend.h"
#include "cpu/gemm.h"
#include "tensor/operand_checks.h"

namespace fer {
namespace {

using detail::matrix;
using detail::MatrixRef;

}  // namespace

void CpuBackend::matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Tensor& y) {
  check_matmul(a, transpose_a, b, transpose_b, y);
  if (y.numel() == 0) return;
  const std::int64_t m = y.shape()[-2], n = y.shape()[-1], k = a.shape()[transpose_a ? -2 : -1];
  dispatch_floating(y.dtype(), "matmul", [&]<typename T>() {
    const MatrixRef<T> left =
        transpose_a ? matrix(a.data<T>(), k, m).transposed() : matrix(a.data<T>(), m, k);
    const MatrixRef<T> right =
        transpose_b ? matrix(b.data<T>(), n, k).transposed() : matrix(b.data<T>(), k, n);
    detail::gemm_batched(y.numel() / (m * n), left, m * k, right, k * n, y.mutable_data<T>(), n, m * n);
  });
}

void CpuBackend::linear_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y) {
  check_linear("linear", x, weight, y);
  require<ShapeError>(!bias.defined() || bias.numel() == weight.dim(0), "[linear] bias ", bias.shape(),
                      " for weight ", weight.shape());
  const std::int64_t rows = x.shape().rows(), inputs = weight.dim(1), outputs = weight.dim(0);
  dispatch_floating(y.dtype(), "linear", [&]<typename T>() {
    detail::gemm(matrix(x.data<T>(), rows, inputs), matrix(weight.data<T>(), outputs, inputs).transposed(),
                 y.mutable_data<T>(), outputs, bias.defined() ? bias.data<T>() : nullptr);
  });
}

void CpuBackend::linear_fused_forward(const Tensor& x, const Tensor& weight, LinearEpilogue& epilogue,
                                      Tensor& y) {
  Tensor sum = y;
  if (epilogue.gelu) sum = epilogue.before_gelu.defined() ? epilogue.before_gelu : Tensor::empty_like(y);
  linear_forward(x, weight, epilogue.bias, sum);
  if (epilogue.gelu) activation_forward(UnaryOp::gelu, sum, y);
  if (epilogue.residual.defined()) accumulate(epilogue.residual, 1.0, y);
}

void CpuBackend::linear_backward_input(const Tensor& dy, const Tensor& weight, Tensor& dx) {
  check_linear("linear_backward_input", dx, weight, dy);
  const std::int64_t rows = dx.shape().rows(), inputs = weight.dim(1), outputs = weight.dim(0);
  dispatch_floating(dx.dtype(), "linear_backward_input", [&]<typename T>() {
    detail::gemm(matrix(dy.data<T>(), rows, outputs), matrix(weight.data<T>(), outputs, inputs),
                 dx.mutable_data<T>(), inputs);
  });
}

void CpuBackend::linear_backward_weight(const Tensor& x, const Tensor& dy, Tensor& dweight, Tensor& dbias) {
  check_linear("linear_backward_weight", x, dweight, dy);
  require<ShapeError>(!dbias.defined() || dbias.numel() == dweight.dim(0), "[linear_backward_weight] dbias ",
                      dbias.shape(), " for dweight ", dweight.shape());
  const std::int64_t rows = x.shape().rows(), inputs = dweight.dim(1), outputs = dweight.dim(0);
  dispatch_floating(dweight.dtype(), "linear_backward_weight", [&]<typename T>() {
    detail::product_over_rows(matrix(dy.data<T>(), rows, outputs), matrix(x.data<T>(), rows, inputs),
                              dweight.mutable_data<T>(), inputs);
    if (dbias.defined()) detail::column_sums(dy.data<T>(), rows, outputs, dbias.mutable_data<T>());
  });
}

}  // namespace fer
