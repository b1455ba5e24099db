// cuBLAS is column-major, and the columns of y^T are the rows of y. So cuBLAS computes y^T = op(b)^T op(a)^T:
// the operands are swapped.
#include "cuda/library/cublas.h"

#include <cublas_v2.h>

#include "fer/error.h"

namespace fer::cuda {
namespace {

#define FER_CUBLAS(F)      \
  F(cublasCreate_v2)       \
  F(cublasDestroy_v2)      \
  F(cublasSetStream_v2)    \
  F(cublasSetWorkspace_v2) \
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

cudaDataType type_of(const Tensor& t) {
  switch (t.dtype()) {
    case DType::float32:
      return CUDA_R_32F;
    case DType::float64:
      return CUDA_R_64F;
    case DType::bfloat16:
      return CUDA_R_16BF;
    default:
      throw TypeError(concat("[cublas] does not multiply ", t.dtype()));
  }
}

/// NVIDIA's recommendation for Hopper; earlier GPUs need less.
constexpr index_t workspace_bytes = 32 << 20;

}  // namespace

Cublas::Cublas(gpu::Stream stream, Backend& memory) : workspace_(memory, workspace_bytes) {
  check(functions().cublasCreate_v2(&handle_), "cublasCreate");
  check(functions().cublasSetStream_v2(handle_, stream), "cublasSetStream");
  // One workspace for all products: cuBLAS would allocate its own anew in each captured graph. Set it after
  // the stream, because setting the stream resets it.
  check(functions().cublasSetWorkspace_v2(handle_, workspace_.data(), workspace_bytes), "cublasSetWorkspace");
}

Cublas::~Cublas() {
  (void)functions().cublasDestroy_v2(handle_);
}

void Cublas::check_installed() {
  (void)functions();
}

void Cublas::product(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k,
                     std::int64_t batch, const Tensor& a, const Tensor& b, Precision rounded,
                     Tensor& y) const {
  require<TypeError>(a.dtype() == b.dtype(), "[cublas] operands are ", a.dtype(), " and ", b.dtype());
  const bool wide = y.dtype() == DType::float64;
  const cublasComputeType_t arithmetic = wide                         ? CUBLAS_COMPUTE_64F
                                         : rounded == Precision::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                                      : CUBLAS_COMPUTE_32F;
  const float one = 1, zero = 0;
  const double wide_one = 1, wide_zero = 0;
  const auto scalar = [&](const float& single, const double& twice) -> const void* {
    return wide ? static_cast<const void*>(&twice) : &single;
  };
  const auto operation = [](bool transpose) { return transpose ? CUBLAS_OP_T : CUBLAS_OP_N; };
  check(functions().cublasGemmStridedBatchedEx_64(
            handle_, operation(transpose_b), operation(transpose_a), n, m, k, scalar(one, wide_one), b.raw(),
            type_of(b), transpose_b ? k : n, n * k, a.raw(), type_of(a), transpose_a ? m : k, m * k,
            scalar(zero, wide_zero), y.mutable_raw(), type_of(y), n, m * n, batch, arithmetic,
            CUBLAS_GEMM_DEFAULT),
        "cublasGemmStridedBatchedEx");
}

}  // namespace fer::cuda
