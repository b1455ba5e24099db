// cuBLAS counts columns first. What it takes for the columns of y^T are the rows of y, so the product that it
// is asked for is y^T = op(b)^T op(a)^T, and the operands change places.
#include "cuda/library/cublas.h"

#include <cublas_v2.h>

#include "fer/error.h"

namespace fer::cuda {
namespace {

#define FER_CUBLAS(F)      \
  F(cublasCreate_v2)       \
  F(cublasDestroy_v2)      \
  F(cublasSetStream_v2)    \
  F(cublasGetStatusString) \
  F(cublasGemmStridedBatchedEx_64)
FER_LIBRARY_FUNCTIONS(Functions, FER_CUBLAS);

const Functions& functions() {
  static const Functions found(SharedLibrary(concat("libcublas.so.", CUBLAS_VER_MAJOR), "cuBLAS"));
  return found;
}

void check(cublasStatus_t status, const char* call) {
  require<DeviceError>(status == CUBLAS_STATUS_SUCCESS, "[cublas] ", call, ": ",
                       functions().cublasGetStatusString(status));
}

}  // namespace

Cublas::Cublas(gpu::Stream stream) {
  check(functions().cublasCreate_v2(&handle_), "cublasCreate");
  check(functions().cublasSetStream_v2(handle_, stream), "cublasSetStream");
}

Cublas::~Cublas() {
  (void)functions().cublasDestroy_v2(handle_);
}

void Cublas::check_installed() {
  (void)functions();
}

template <typename T>
void Cublas::product(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k,
                     std::int64_t batch, const T* a, const T* b, T* y) const {
  constexpr bool wide = sizeof(T) == 8;
  constexpr cudaDataType type = wide ? CUDA_R_64F : CUDA_R_32F;
  constexpr cublasComputeType_t arithmetic = wide ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F;
  const T one = 1, zero = 0;
  const auto operation = [](bool transpose) { return transpose ? CUBLAS_OP_T : CUBLAS_OP_N; };
  check(functions().cublasGemmStridedBatchedEx_64(handle_, operation(transpose_b), operation(transpose_a), n,
                                                  m, k, &one, b, type, transpose_b ? k : n, n * k, a, type,
                                                  transpose_a ? m : k, m * k, &zero, y, type, n, m * n, batch,
                                                  arithmetic, CUBLAS_GEMM_DEFAULT),
        "cublasGemmStridedBatchedEx");
}

template void Cublas::product<float>(bool, bool, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                                     const float*, const float*, float*) const;
template void Cublas::product<double>(bool, bool, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                                      const double*, const double*, double*) const;

}  // namespace fer::cuda
