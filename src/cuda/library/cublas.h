// Matrix products by cuBLAS.
#pragma once

#include <cstdint>

#include "cuda/gpu.h"
#include "cuda/library/shared_library.h"
#include "cuda/op_support.h"
#include "fer/tensor/precision.h"
#include "fer/tensor/tensor.h"

typedef struct cublasContext* cublasHandle_t;

namespace fer::cuda {

class Cublas {
 public:
  /// Opens the library. Throws DeviceError if it is not installed or there is no GPU. `memory` allocates its
  /// workspace.
  Cublas(gpu::Stream stream, Backend& memory);
  ~Cublas();
  Cublas(const Cublas&) = delete;
  Cublas& operator=(const Cublas&) = delete;

  /// `batch` consecutive row-major products: y (m x n) = op(a) (m x k) op(b) (k x n), where op transposes an
  /// operand stored as k x m, or n x k. a and b have the same type: float32, float64, or bfloat16 (y is then
  /// float32 or bfloat16, and sums are in float32). If `rounded` is tf32, float32 operands are multiplied in
  /// tf32.
  void product(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k,
               std::int64_t batch, const Tensor& a, const Tensor& b, Precision rounded, Tensor& y) const;

  /// Opens the library and looks up all functions that this class uses, without a GPU.
  static void check_installed();

 private:
  cublasHandle_t handle_ = nullptr;
  DeviceArray<char> workspace_;
};

}  // namespace fer::cuda
