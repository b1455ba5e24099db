// The portable kernels as nvcc makes them: a test of compilation alone, for the header serves both worlds.
#include "tests/simt/portable_kernels.h"

namespace fer::cuda {

template void launch_portable_softmax(const float*, float*, int, int, gpu::Stream);
template void launch_portable_softmax(const double*, double*, int, int, gpu::Stream);

void launch_all(const float* x, float* y, const bf16* a, const bf16* b, const unsigned char* bytes,
                int* counts, gpu::Stream stream) {
  launch_portable_matmul(a, b, y, 64, 64, 64, stream);
  launch_portable_transpose(x, y, 64, 64, stream);
  launch_portable_histogram(bytes, counts, 64, stream);
  launch_portable_axpy(2.0f, x, y, 64, stream);
  gpu::device_synchronize();
}

}  // namespace fer::cuda
