// The Backend of a GPU and of the simt executor, which runs the same kernels on the CPU: one class, compiled
// by nvcc in fer::cuda and by the host compiler in fer::simt. Each operation is implemented in the .cu file
// of its name in this folder. fer/tensor/backend.h declares and documents the operations.
#pragma once

#include <cstddef>
#include <string>

#include "cuda/gpu.h"
#include "cuda/runtime.h"
#include "fer/tensor/backend.h"
#include "tensor/caching_allocator.h"

namespace fer::FER_DEVICE_NAMESPACE {

class DeviceBackend : public Backend {
 public:
  /// Throws DeviceError, which says what to do, if there is no device.
  DeviceBackend();
  ~DeviceBackend() override;

  DeviceRuntime* runtime() override { return &runtime_; }
  void* stream() const override { return stream_; }
#include "backend_overrides.inc"  // from backend.h, by cmake/FerBackend.cmake

 private:
  void* allocate_block(std::size_t bytes);
  void release_block(void* data, std::size_t bytes) noexcept;

  std::string description_;
  CachingAllocator allocator_;

 protected:
  gpu::Stream stream_;  ///< runs all kernels, in order
  Runtime runtime_;     ///< graphs, events and copies around that stream
};

}  // namespace fer::FER_DEVICE_NAMESPACE
