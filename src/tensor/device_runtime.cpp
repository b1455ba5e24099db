#include "fer/tensor/device_runtime.h"

#include <charconv>
#include <cstdlib>
#include <mutex>

#include "fer/nearest.h"
#include "fer/tensor/backend.h"
#include "fer/tensor/current_op.h"

namespace fer {
namespace {

DeviceRuntime* runtime_of(Device device) {
  return backend(device).runtime();
}

/// The selected GPU, and whether it has been taken.
struct GpuChoice {
  std::mutex mutex;
  int index = -1;
  bool taken = false;
};
GpuChoice& gpu_choice() {
  static GpuChoice choice;
  return choice;
}

int gpu_of_environment() {
  const char* text = std::getenv("FER_CUDA_DEVICE");
  if (text == nullptr) return 0;
  const std::string_view value = text;
  int index = -1;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), index);
  require<ConfigError>(error == std::errc() && end == value.data() + value.size() && index >= 0,
                       "FER_CUDA_DEVICE is '", value, "'; it must be the number of a GPU, 0 or more");
  return index;
}

std::string& op_of_thread() {
  thread_local std::string op;
  return op;
}

}  // namespace

std::unique_ptr<DeviceGraph> capture_graph(Device device, const std::function<void()>& work) {
  DeviceRuntime* runtime = runtime_of(device);
  require<CaptureError>(runtime != nullptr, "device ", device,
                        " computes at once and has no queue to capture; graphs are for cuda, and for simt in "
                        "its place");
  runtime->begin_capture();
  try {
    work();
  } catch (...) {
    runtime->abandon_capture();
    throw;
  }
  return runtime->end_capture();
}

bool is_capturing(Device device) {
  DeviceRuntime* runtime = runtime_of(device);
  return runtime != nullptr && runtime->is_capturing();
}

std::string_view name_of(MathMode mode) {
  return mode == MathMode::native ? "native" : "library";
}

MathMode parse_math_mode(std::string_view text) {
  for (const MathMode mode : {MathMode::native, MathMode::library}) {
    if (text == name_of(mode)) return mode;
  }
  throw ConfigError(unknown_name("math mode", text, {"native", "library"}));
}

std::ostream& operator<<(std::ostream& out, MathMode mode) {
  return out << name_of(mode);
}

void set_math_mode(Device device, MathMode mode) {
  if (DeviceRuntime* runtime = runtime_of(device)) {
    runtime->set_math_mode(mode);
  } else {
    require<DeviceError>(mode == MathMode::native, "device ", device,
                         " multiplies by itself (--math native); cuBLAS and cuDNN belong to device cuda");
  }
}

MathMode math_mode(Device device) {
  DeviceRuntime* runtime = runtime_of(device);
  return runtime != nullptr ? runtime->math_mode() : MathMode::native;
}

void select_gpu(int index) {
  require<ConfigError>(index >= 0, "GPUs are counted from 0, got ", index);
  GpuChoice& choice = gpu_choice();
  const std::lock_guard lock(choice.mutex);
  require<ConfigError>(!choice.taken || choice.index == index, "GPU ", index,
                       " was asked for, but this process uses GPU ", choice.index,
                       " already; a process has one");
  choice.index = index;
}

Device select_device(const std::string& text) {
  const std::size_t colon = text.find(':');
  const Device device = parse_device(text.substr(0, colon));
  if (colon == std::string::npos) return device;
  const std::string number = text.substr(colon + 1);
  const bool valid = device == Device::cuda && !number.empty() && number.size() < 5 &&
                     number.find_first_not_of("0123456789") == std::string::npos;
  require<ConfigError>(valid, "unknown device '", text, "'; only cuda may have a number: cuda:1");
  select_gpu(std::stoi(number));
  return device;
}

int take_selected_gpu() {
  GpuChoice& choice = gpu_choice();
  const std::lock_guard lock(choice.mutex);
  if (choice.index < 0) choice.index = gpu_of_environment();
  choice.taken = true;
  return choice.index;
}

void set_current_op(std::string_view op, bool backward) {
  std::string& name = op_of_thread();
  name = op;
  if (backward) name += " backward";
}

const std::string& current_op() {
  return op_of_thread();
}

}  // namespace fer
