// The device as a whole: found, described, its memory and the copies between it and the host. On a GPU,
// released memory is kept for reuse, as cudaMalloc waits for all work to end; one stream orders all uses of a
// block. The executor keeps nothing: so its red zones begin where a tensor ends, and a new tensor is NaN.
#include "cuda/device_backend.h"

#include <algorithm>

namespace fer::FER_DEVICE_NAMESPACE {
namespace {

void* raw_allocate(std::size_t bytes) {
  try {
    return gpu::malloc(bytes);
  } catch (const DeviceError&) {
    // No room, which the allocator may help, or an earlier kernel's failure, which this call reports.
    std::size_t free_bytes = 0, total = 0;
    gpu::memory_info(free_bytes, total);
    return nullptr;
  }
}

std::string describe_device() {
#if FER_GPU_SIMT
  return concat("simt (", simt::description(), ")");
#else
  require<DeviceError>(gpu::device_count() > 0,
                       "device cuda: no GPU was found, or its driver is missing or too old for this build; "
                       "nvidia-smi tells which (--device simt runs the same kernels on the CPU)");
  gpu::set_device(0);
  const gpu::DeviceInfo info = gpu::device_info(0);
  return concat("cuda (", info.name, ", sm_", info.major, info.minor, ", ", info.multiprocessors,
                " multiprocessors, ", info.memory >> 30, " GiB)");
#endif
}

}  // namespace

DeviceBackend::DeviceBackend()
    : description_(describe_device()),
      allocator_(FER_GPU_SIMT ? "simt" : "cuda", raw_allocate,
                 [](void* data, std::size_t) { gpu::free(data); }),
      stream_(gpu::stream_create()) {}

DeviceBackend::~DeviceBackend() {
  gpu::stream_destroy(stream_);
}

std::string DeviceBackend::description() const {
  return description_;
}

void* DeviceBackend::allocate(std::size_t bytes) {
#if FER_GPU_SIMT
  return gpu::malloc(std::max<std::size_t>(bytes, 1));
#else
  return allocator_.allocate(bytes);
#endif
}

void DeviceBackend::release(void* data, [[maybe_unused]] std::size_t bytes) noexcept {
#if FER_GPU_SIMT
  gpu::free(data);
#else
  allocator_.release(data, bytes);
#endif
}

void DeviceBackend::copy_from_host(void* device_data, const void* host_data, std::size_t bytes) {
  gpu::memcpy_async(device_data, host_data, bytes, gpu::CopyKind::host_to_device, stream_);
  gpu::stream_synchronize(stream_);  // the caller may change or free its memory when this returns
}

void DeviceBackend::copy_to_host(void* host_data, const void* device_data, std::size_t bytes) {
  gpu::memcpy_async(host_data, device_data, bytes, gpu::CopyKind::device_to_host, stream_);
  gpu::stream_synchronize(stream_);
}

void DeviceBackend::synchronize() {
  gpu::stream_synchronize(stream_);
}

MemoryStats DeviceBackend::memory_stats() const {
#if FER_GPU_SIMT
  const DeviceMemory memory = device_memory();
  return {memory.live, memory.peak, memory.live, memory.limit};
#else
  return allocator_.stats();
#endif
}

void DeviceBackend::reset_peak_memory() {
#if FER_GPU_SIMT
  reset_peak_device_memory();
#else
  allocator_.reset_peak();
#endif
}

}  // namespace fer::FER_DEVICE_NAMESPACE

namespace fer {

#if FER_GPU_SIMT
std::unique_ptr<Backend> make_simt_backend() {
  return std::make_unique<simt::DeviceBackend>();
}
#else
std::unique_ptr<Backend> make_cuda_backend() {
  return std::make_unique<cuda::DeviceBackend>();
}
#endif

}  // namespace fer
