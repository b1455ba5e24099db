// Stand-in for the executor in a build without it.
#include "fer/tensor/backend.h"

namespace fer {

std::unique_ptr<Backend> make_simt_backend() {
  throw DeviceError("device simt: this build has no executor for CUDA kernels; configure with -DFER_SIMT=ON");
}

}  // namespace fer
