// Matrix products and the linear layer: y = x W^T + b, dx = dy W, dW = dy^T x, db = column sums of dy.
// All use product.h, which explains blocks, threads and the floor. A transposed operand is contiguous along
// its other dimension. k is cut most in dW, where it runs over the rows of x.
// Bias, GELU and residual are applied to the sums before these are written. The product for dW also computes
// db, because the blocks of its first columns have dy in shared memory anyway. Only if dy was rounded to bf16
// for the product, db takes a separate pass over the unrounded dy.
#include "cuda/column_reduce.h"
#include "cuda/device_backend.h"
#include "cuda/gelu.h"
#include "cuda/matrix_product.h"
#include "cuda/product.h"
#include "tensor/operand_checks.h"

namespace fer::FER_DEVICE_NAMESPACE {
namespace {

/// An operand stored as outer x k, or (k_first) as k x outer.
template <bool k_first, typename T>
MatrixLoader<T, !k_first> operand(const T* data, index_t outer, index_t k) {
  return {data, product_extent(outer), k_first ? 1 : k, k_first ? outer : 1, outer * k};
}

/// Calls body with the loader of x.
template <typename T, typename Body>
void with_loader(const PlainOperand<T>& x, index_t outer, index_t k, const Body& body) {
  if (x.k_first) {
    body(operand<true>(x.data, outer, k));
  } else {
    body(operand<false>(x.data, outer, k));
  }
}

/// y = f(sum + bias) + residual, where f is gelu or the identity. Stores sum + bias in before_gelu. All
/// pointers except y may be null.
template <typename S>
struct LinearStore : MatrixStore<S> {
  S* before_gelu;
  const S* residual;
  bool gelu;

  __device__ __forceinline__ void put(S* at, int, Wide<S> value) const {
    const index_t i = at - this->data;
    if (before_gelu != nullptr) before_gelu[i] = narrow<S>(value);
    if (gelu) value = Gelu{}(widen(narrow<S>(value)));  // of the rounded value, which backward reads
    if (residual != nullptr) value += widen(residual[i]);
    *at = narrow<S>(value);
  }
};

/// Stores dW and db, the sums of its A = dy^T over k.
template <typename T>
struct WeightGradientStore : MatrixStore<T> {
  static constexpr bool sums_a = true;
  T* sums;  ///< may be null
};

template <typename S>
struct ColumnTerm {
  const S* x;
  index_t columns;
  __device__ __forceinline__ void operator()(index_t, index_t row, int column, double (&sums)[1]) const {
    sums[0] += widen_to_double(x[row * columns + column]);
  }
};

}  // namespace

template <typename T, typename S>
void matrix_product(Backend& owner, gpu::Stream stream, index_t m, index_t n, index_t k, index_t batches,
                    PlainOperand<T> a, PlainOperand<T> b, const MatrixStore<S>& store) {
  with_loader(a, m, k, [&](auto rows) {
    with_loader(b, n, k,
                [&](auto columns) { product(owner, stream, m, n, k, batches, rows, columns, store); });
  });
}
#define FER_MATRIX_PRODUCT(T, S)                                                                           \
  template void matrix_product(Backend&, gpu::Stream, index_t, index_t, index_t, index_t, PlainOperand<T>, \
                               PlainOperand<T>, const MatrixStore<S>&)
FER_MATRIX_PRODUCT(float, float);
FER_MATRIX_PRODUCT(double, double);
FER_MATRIX_PRODUCT(bf16, float);
FER_MATRIX_PRODUCT(bf16, bf16);
#undef FER_MATRIX_PRODUCT

void DeviceBackend::matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Tensor& y) {
  check_matmul(a, transpose_a, b, transpose_b, y);
  if (y.numel() == 0) return;
  const index_t m = y.shape()[-2], n = y.shape()[-1], k = a.shape()[transpose_a ? -2 : -1];
  dispatch_product(
      *this, "matmul", y.dtype(), a, b, [&]<typename S, typename T>(const T* left, const T* right) {
        matrix_product<T, S>(*this, stream_, m, n, k, y.numel() / (m * n), {left, transpose_a},
                             {right, !transpose_b}, {mutable_stored<S>(y), n, m * n, nullptr, 0});
      });
}

void DeviceBackend::linear_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y) {
  LinearEpilogue epilogue{.bias = bias};
  linear_fused_forward(x, weight, epilogue, y);
}

void DeviceBackend::linear_fused_forward(const Tensor& x, const Tensor& weight, LinearEpilogue& epilogue,
                                         Tensor& y) {
  check_linear("linear", x, weight, y);
  const Tensor &bias = epilogue.bias, &residual = epilogue.residual;
  require<ShapeError>(!bias.defined() || bias.numel() == weight.dim(0), "[linear] bias ", bias.shape(),
                      " for weight ", weight.shape());
  if (epilogue.before_gelu.defined())
    require_size("linear", "the value before gelu", epilogue.before_gelu, y.numel());
  if (residual.defined()) require_size("linear", "residual", residual, y.numel());
  const index_t rows = x.shape().rows(), inputs = weight.dim(1), outputs = weight.dim(0);
  dispatch_product(*this, "linear", y.dtype(), x, weight, [&]<typename S>(auto* from, auto* by) {
    const LinearStore<S> store{{mutable_stored<S>(y), outputs, 0, data_or_null<Wide<S>>(bias), 0},
                               mutable_stored_or_null<S>(epilogue.before_gelu),
                               stored_or_null<S>(residual),
                               epilogue.gelu};
    product(*this, stream_, rows, outputs, inputs, 1, operand<false>(from, rows, inputs),
            operand<false>(by, outputs, inputs), store);
  });
}

void DeviceBackend::linear_backward_input(const Tensor& dy, const Tensor& weight, Tensor& dx) {
  check_linear("linear_backward_input", dx, weight, dy);
  const index_t rows = dx.shape().rows(), inputs = weight.dim(1), outputs = weight.dim(0);
  dispatch_product(*this, "linear_backward_input", dx.dtype(), dy, weight,
                   [&]<typename S, typename T>(const T* from, const T* by) {
                     matrix_product<T, S>(*this, stream_, rows, inputs, outputs, 1, {from}, {by, true},
                                          {mutable_stored<S>(dx), inputs, 0, nullptr, 0});
                   });
}

void DeviceBackend::linear_backward_weight(const Tensor& x, const Tensor& dy, Tensor& dweight,
                                           Tensor& dbias) {
  check_linear("linear_backward_weight", x, dweight, dy);
  require<ShapeError>(!dbias.defined() || dbias.numel() == dweight.dim(0), "[linear_backward_weight] dbias ",
                      dbias.shape(), " for dweight ", dweight.shape());
  const index_t rows = x.shape().rows(), inputs = dweight.dim(1), outputs = dweight.dim(0);
  bool summed = !dbias.defined() || dbias.numel() == 0;
  dispatch_gradient_product(
      *this, "linear_backward_weight", dweight.dtype(), dy, x, [&]<typename T>(auto* gradients, auto* from) {
        constexpr bool halves = std::is_same_v<decltype(gradients), const bf16*>;
        const bool as_it_is = !halves || dy.dtype() == DType::bfloat16;
        T* sums = nullptr;
        if (!summed && inputs > 0 && as_it_is) {
          sums = dbias.mutable_data<T>();
          summed = true;
        }
        product(*this, stream_, outputs, inputs, rows, 1, operand<true>(gradients, outputs, rows),
                operand<true>(from, inputs, rows),
                WeightGradientStore<T>{{dweight.mutable_data<T>(), inputs, 0, nullptr, 0}, sums});
      });
  if (summed) return;
  dispatch_stored(dy.dtype(), "linear_backward_weight", [&]<typename S>() {
    using T = Wide<S>;
    column_reduce<1>(*this, stream_, 1, rows, outputs, ColumnTerm<S>{stored<S>(dy), outputs},
                     StoreSum<T>{dbias.mutable_data<T>(), outputs});
  });
}

}  // namespace fer::FER_DEVICE_NAMESPACE
