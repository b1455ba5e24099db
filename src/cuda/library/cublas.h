// Matrix products by cuBLAS.
#pragma once

#include <cstdint>

#include "cuda/gpu.h"
#include "cuda/library/shared_library.h"

typedef struct cublasContext* cublasHandle_t;

namespace fer::cuda {

class Cublas {
 public:
  /// Opens the library; DeviceError if it is not installed, or there is no GPU.
  explicit Cublas(gpu::Stream stream);
  ~Cublas();
  Cublas(const Cublas&) = delete;
  Cublas& operator=(const Cublas&) = delete;

  /// `batch` row-major products, one behind another: y (m x n) = op(a) (m x k) op(b) (k x n), where op
  /// transposes what is stored as k x m, or n x k.
  template <typename T>
  void product(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k,
               std::int64_t batch, const T* a, const T* b, T* y) const;

  /// Opens the library and looks up all functions that this class uses, without a GPU.
  static void check_installed();

 private:
  cublasHandle_t handle_ = nullptr;
};

}  // namespace fer::cuda
