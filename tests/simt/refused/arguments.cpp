// A launch that must not compile: 4090 bytes of arguments, which take 4097 with alignment padding.
#include "fer/simt/gpu.h"

namespace fer::FER_DEVICE_NAMESPACE {

struct Most {
  double values[511];
};
__global__ void too_many_arguments(char, Most, char) {}

void launch() {
  gpu::launch(too_many_arguments, 1, 32, 0, nullptr, char{}, Most{}, char{});
}

}  // namespace fer::FER_DEVICE_NAMESPACE
