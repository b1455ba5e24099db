// Device cuda in a build without cuBLAS and cuDNN: only fer's own kernels.
#include "cuda/device_backend.h"

namespace fer {

std::unique_ptr<Backend> make_cuda_backend() {
  return std::make_unique<cuda::DeviceBackend>();
}

bool has_math_library(std::string* reason) {
  if (reason) *reason = "cublas_v2.h or cudnn.h was not found when this build was configured";
  return false;
}

}  // namespace fer
