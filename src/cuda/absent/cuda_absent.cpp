// Stand-in for the CUDA backend in a build without it.
#include "fer/tensor/backend.h"
#include "fer/tensor/device_runtime.h"

namespace fer {

namespace {

constexpr const char* no_cuda =
    "device cuda: this build has no CUDA backend, because no CUDA compiler was found or FER_CUDA was OFF; "
    "install the CUDA Toolkit and configure with -DFER_CUDA=ON (--device simt runs the same kernels on the "
    "CPU)";

}  // namespace

std::unique_ptr<Backend> make_cuda_backend() {
  throw DeviceError(no_cuda);
}

std::vector<std::string> gpu_names() {
  throw DeviceError(no_cuda);
}

bool has_math_library(std::string* reason) {
  if (reason) *reason = "this build has no device cuda";
  return false;
}

}  // namespace fer
