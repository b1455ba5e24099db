// Chooses, checks and describes the device that the backend runs on. Used by device_backend.cu.
#pragma once

#include <charconv>
#include <cstdlib>
#include <string>
#include <string_view>

#include "cuda/gpu.h"
#include "fer/error.h"
#include "fer/tensor/device_runtime.h"

namespace fer::FER_DEVICE_NAMESPACE {

#if FER_GPU_SIMT
inline std::string take_device() {
  return concat("simt (", simt::description(), ")");
}
#else

/// "CUDA 12.4" for 12040.
inline std::string version_text(int version) {
  return concat("CUDA ", version / 1000, ".", version % 1000 / 10);
}

/// Why no GPU can be used, and what to do about it; "" if there is a usable GPU.
inline std::string missing_gpu() {
  int driver = 0, runtime = 0, count = 0;
  (void)cudaDriverGetVersion(&driver);
  (void)cudaRuntimeGetVersion(&runtime);
  if (driver == 0) {
    return "this machine has no NVIDIA driver (libcuda.so.1 was not found); install it, or start the "
           "container "
           "with its GPUs (docker run --gpus all)";
  }
  const cudaError_t status = cudaGetDeviceCount(&count);
  (void)cudaGetLastError();
  if (status == cudaErrorInsufficientDriver) {
    return concat("the NVIDIA driver is for ", version_text(driver), ", this build needs one for ",
                  version_text(runtime), "; update the driver, or build with an older CUDA Toolkit");
  }
  if (status == cudaErrorNoDevice || (status == cudaSuccess && count == 0)) {
    const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
    return concat("the NVIDIA driver sees no GPU",
                  visible != nullptr ? concat(" (CUDA_VISIBLE_DEVICES is '", visible, "')") : std::string(),
                  "; nvidia-smi lists those of this machine");
  }
  if (status != cudaSuccess) {
    return concat("the CUDA runtime cannot start: ", cudaGetErrorString(status), " (",
                  cudaGetErrorName(status), ")");
  }
  return {};
}

template <int>
__global__ void any_kernel() {}

/// From now on, counts, times and waits for every launch. Appends one line per kernel to `file` when the
/// process ends.
void keep_launch_log(const std::string& file);

constexpr const char* simt_advice = " (--device simt runs the same kernels on the CPU)";

inline void require_gpu() {
  const std::string missing = missing_gpu();
  require<DeviceError>(missing.empty(), "device cuda: ", missing, simt_advice);
}

/// Makes the chosen GPU current and describes it. Throws DeviceError, saying what to do, if that fails.
inline std::string take_device() {
  require_gpu();
  const int index = take_selected_gpu(), count = gpu::device_count();
  std::string list;
  for (int i = 0; i < count; ++i) list += concat(i > 0 ? ", " : "", i, " ", gpu::device_info(i).name);
  require<DeviceError>(index < count, "device cuda: GPU ", index, " was asked for; there ",
                       count == 1 ? "is" : "are", " ", list);
  gpu::set_device(index);
  const gpu::DeviceInfo info = gpu::device_info(index);
  cudaFuncAttributes attributes;
  const cudaError_t status = cudaFuncGetAttributes(&attributes, any_kernel<0>);
  (void)cudaGetLastError();
  require<DeviceError>(status != cudaErrorNoKernelImageForDevice, "device cuda: ", info.name, " is sm_",
                       info.major, info.minor,
                       ", for which this build has no kernels; configure with "
                       "-DCMAKE_CUDA_ARCHITECTURES=",
                       info.major, info.minor, simt_advice);
  gpu::check(status, "cudaFuncGetAttributes");
  if (const char* log = std::getenv("FER_CUDA_KERNEL_LOG")) keep_launch_log(log);
  return concat("cuda (", index, ": ", info.name, ", sm_", info.major, info.minor, ", ", info.multiprocessors,
                " multiprocessors, ", info.memory >> 30, " GiB)");
}

/// Bytes of FER_CUDA_MEMORY_LIMIT, which is in MiB; 0: no limit.
inline std::size_t memory_limit() {
  const char* text = std::getenv("FER_CUDA_MEMORY_LIMIT");
  if (text == nullptr) return 0;
  const std::string_view value = text;
  std::size_t mebibytes = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), mebibytes);
  require<ConfigError>(error == std::errc() && end == value.data() + value.size(),
                       "FER_CUDA_MEMORY_LIMIT is '", value, "'; it must be a number of MiB");
  return mebibytes << 20;
}
#endif

}  // namespace fer::FER_DEVICE_NAMESPACE
