// FER_CUDA_KERNEL_LOG=<file>: which kernels a GPU has run, how often and how long. When the process ends, one
// line per kernel is appended to the file: name, launches, total milliseconds and shortest milliseconds,
// separated by tabs. For scripts/gpu-check. The log waits for every launch, so measure nothing else
// meanwhile.
#include "cuda/gpu.h"
#include "cuda/take_device.h"

#if !FER_GPU_SIMT
#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

namespace fer::cuda {
namespace gpu {
LaunchLog* launch_log = nullptr;
}

namespace {

class FileLog final : public gpu::LaunchLog {
 public:
  explicit FileLog(std::string file)
      : file_(std::move(file)), start_(gpu::event_create()), stop_(gpu::event_create()) {}

  void begin(gpu::Stream stream) override {
    if (!is_captured(stream)) gpu::event_record(start_, stream);
  }

  void end(const void* kernel, gpu::Stream stream) override {
    if (is_captured(stream)) return;  // a captured kernel has not run yet
    gpu::event_record(stop_, stream);
    gpu::event_synchronize(stop_);
    const double ms = gpu::event_elapsed_ms(start_, stop_);
    const std::lock_guard lock(mutex_);
    Entry& entry = entries_[kernel];
    entry.least = entry.launches == 0 ? ms : std::min(entry.least, ms);
    entry.total += ms;
    ++entry.launches;
  }

  void write() const {
    std::ofstream out(file_, std::ios::app);
    for (const auto& [kernel, entry] : entries_) {
      out << name_of(kernel) << "\t" << entry.launches << "\t" << entry.total << "\t" << entry.least << "\n";
    }
  }

 private:
  struct Entry {
    std::int64_t launches = 0;
    double total = 0, least = 0;
  };

  static bool is_captured(gpu::Stream stream) {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    gpu::check(cudaStreamIsCapturing(stream, &status), "cudaStreamIsCapturing");
    return status != cudaStreamCaptureStatusNone;
  }

  static std::string name_of([[maybe_unused]] const void* kernel) {
    const char* mangled = nullptr;
#if CUDART_VERSION >= 12030  // earlier runtimes have no such function
    (void)cudaFuncGetName(&mangled, kernel);
#endif
    if (mangled == nullptr) return "unknown";
    int status = 0;
    const std::unique_ptr<char, void (*)(void*)> name(abi::__cxa_demangle(mangled, nullptr, nullptr, &status),
                                                      std::free);
    return status == 0 ? name.get() : mangled;
  }

  std::string file_;
  gpu::Event start_, stop_;
  std::mutex mutex_;
  std::map<const void*, Entry> entries_;
};

}  // namespace

void keep_launch_log(const std::string& file) {
  static FileLog* log = new FileLog(file);  // never destroyed: launches may come until the very end
  gpu::launch_log = log;
  std::atexit([] { log->write(); });
}

}  // namespace fer::cuda
#endif
