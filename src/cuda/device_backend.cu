// The device as a whole: its choice and description, its memory, and copies between it and the host. On a
// GPU, released memory is kept for reuse, because cudaMalloc waits for all work to end; one stream orders all
// uses of a block. The simt executor keeps no released memory, so that its red zones begin where a tensor
// ends, and a new tensor is filled with NaN.
#include "cuda/device_backend.h"

#include <algorithm>
#include <utility>

#include "cuda/take_device.h"
#include "tensor/out_of_memory.h"

namespace fer::FER_DEVICE_NAMESPACE {
namespace {

void* raw_allocate(std::size_t bytes) {
  try {
    return gpu::malloc(bytes);
  } catch (const DeviceError&) {
    // Either there is too little memory, which the allocator handles, or an earlier kernel failed, and then
    // this call throws.
    std::size_t free_bytes = 0, total = 0;
    gpu::memory_info(free_bytes, total);
    return nullptr;
  }
}

std::pair<std::size_t, std::size_t> free_memory() {
  std::size_t free_bytes = 0, total = 0;
  gpu::memory_info(free_bytes, total);
  return {free_bytes, total};
}

}  // namespace

DeviceBackend::DeviceBackend()
    : description_(take_device()),
      allocator_(
          FER_GPU_SIMT ? "simt" : "cuda", raw_allocate, [](void* data, std::size_t) { gpu::free(data); },
          free_memory),
      stream_(gpu::stream_create()),
      runtime_(stream_, {[this](std::size_t bytes) { return allocate_block(bytes); },
                         [this](void* data, std::size_t bytes) { release_block(data, bytes); }}) {
#if !FER_GPU_SIMT
  allocator_.set_limit(memory_limit());
#endif
}

DeviceBackend::~DeviceBackend() {
  gpu::stream_destroy(stream_);
}

Device DeviceBackend::device() const {
  return FER_GPU_SIMT ? Device::simt : Device::cuda;
}

std::string DeviceBackend::description() const {
  return description_;
}

void* DeviceBackend::allocate_block(std::size_t bytes) {
#if FER_GPU_SIMT
  try {
    return gpu::malloc(std::max<std::size_t>(bytes, 1));
  } catch (const DeviceError&) {
    const DeviceMemory memory = device_memory();
    const auto [free_bytes, total] = free_memory();
    throw_out_of_memory({"simt", bytes, memory.live, 0, memory.limit, free_bytes, total});
  }
#else
  return allocator_.allocate(bytes);
#endif
}

void DeviceBackend::release_block(void* data, [[maybe_unused]] std::size_t bytes) noexcept {
#if FER_GPU_SIMT
  gpu::free(data);
#else
  allocator_.release(data, bytes);
#endif
}

void* DeviceBackend::allocate(std::size_t bytes) {
  void* data = runtime_.allocate_captured(bytes);
  return data != nullptr ? data : allocate_block(bytes);
}

void DeviceBackend::release(void* data, std::size_t bytes) noexcept {
  if (!runtime_.release_captured(data, bytes)) release_block(data, bytes);
}

void DeviceBackend::copy_from_host(void* device_data, const void* host_data, std::size_t bytes) {
  runtime_.require_no_capture("a copy of ", bytes, " bytes from the host");
  gpu::memcpy_async(device_data, host_data, bytes, gpu::CopyKind::host_to_device, stream_);
  gpu::stream_synchronize(stream_);  // the caller may change or free its memory when this returns
}

void DeviceBackend::copy_to_host(void* host_data, const void* device_data, std::size_t bytes) {
  runtime_.require_no_capture("a copy of ", bytes, " bytes to the host");
  gpu::memcpy_async(host_data, device_data, bytes, gpu::CopyKind::device_to_host, stream_);
  gpu::stream_synchronize(stream_);
}

void DeviceBackend::synchronize() {
  runtime_.require_no_capture("all work to end");
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

#if FER_GPU_SIMT
namespace fer {

std::unique_ptr<Backend> make_simt_backend() {
  return std::make_unique<simt::DeviceBackend>();
}

}  // namespace fer
#else
namespace fer {

std::vector<std::string> gpu_names() {
  cuda::require_gpu();
  std::vector<std::string> names(static_cast<std::size_t>(cuda::gpu::device_count()));
  for (std::size_t i = 0; i < names.size(); ++i) {
    cudaDeviceProp properties;
    cuda::gpu::check(cudaGetDeviceProperties(&properties, static_cast<int>(i)), "cudaGetDeviceProperties");
    for (const char byte : properties.uuid.bytes) {  // which also tells the parts of a GPU apart
      constexpr const char* digits = "0123456789abcdef";
      names[i] += {digits[byte >> 4 & 15], digits[byte & 15]};
    }
  }
  return names;
}

}  // namespace fer
#endif
