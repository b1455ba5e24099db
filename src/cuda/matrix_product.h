// The product of plain matrices, shared by matmul, linear layers and 1x1 convolutions. Its kernels are
// compiled once, in matmul.cu.
#pragma once

#include "cuda/product_operands.h"

namespace fer::FER_DEVICE_NAMESPACE {

/// An operand stored as outer x k, or (k_first) as k x outer. The matrices of a batch are consecutive.
template <typename T>
struct PlainOperand {
  const T* data;
  bool k_first = false;
};

/// product() (product.h) of plain operands: y(m, n) = sum over k of A(m, k) B(k, n) for all batches, m and n.
/// T and S are float, float; double, double; bf16, float; or bf16, bf16.
template <typename T, typename S>
void matrix_product(Backend& owner, gpu::Stream stream, index_t m, index_t n, index_t k, index_t batches,
                    PlainOperand<T> a, PlainOperand<T> b, const MatrixStore<S>& store);

}  // namespace fer::FER_DEVICE_NAMESPACE
