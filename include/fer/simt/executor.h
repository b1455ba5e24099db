// The executor's options and its error, for tests, tools and debugging kernels on the CPU.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fer/error.h"

namespace fer::simt {

/// A mistake in a kernel or its launch, found by the executor. The message names kernel, block, thread and,
/// if known, the source location, and says what to do. launch() throws it on the calling thread.
struct CheckError : Error {
  using Error::Error;
};

/// The order in which runnable lanes (and blocks) run. It makes no difference to a correct kernel.
enum class LaneOrder { forward, reverse, shuffled };

/// When cp.async copies.
/// - early: when it is issued.
/// - late: when a wait requires it. Until then the destination holds NaN, so a wait that is off by one shows.
enum class AsyncCopy { early, late };

struct Options {
  LaneOrder order = LaneOrder::forward;
  std::uint64_t seed = 1;  ///< of LaneOrder::shuffled
  AsyncCopy async_copy = AsyncCopy::late;
  int threads = 0;                        ///< OS threads that run blocks; 0: as many as OpenMP has
  std::size_t shared_limit = 227 * 1024;  ///< bytes of shared memory per block; the default is an sm_90's
  std::size_t memory_limit = 0;           ///< bytes of device memory; 0: as much as the machine has
  /// Seconds of processor time that a block may take, so that an endless loop ends with an error; 0: no
  /// limit.
  double time_limit = 60;
};

/// The defaults, overridden by environment variables:
/// - FER_SIMT_ORDER: forward, reverse, shuffled or shuffled:<seed>
/// - FER_SIMT_ASYNC_COPY: early, late
/// - FER_SIMT_THREADS: a number
/// - FER_SIMT_SHARED_LIMIT: KiB
/// - FER_SIMT_TIME_LIMIT: seconds
/// ConfigError if one is malformed.
Options options_from_environment();
/// The current options; initially options_from_environment().
Options options();
/// Applies to the whole process. Must not be called while a kernel runs.
void set_options(const Options& options);

/// Sets options for a scope (a test).
class OptionsScope {
 public:
  explicit OptionsScope(const Options& scoped) : saved_(options()) { set_options(scoped); }
  ~OptionsScope() { set_options(saved_); }
  OptionsScope(const OptionsScope&) = delete;
  OptionsScope& operator=(const OptionsScope&) = delete;

 private:
  Options saved_;
};

/// Bytes of device memory: allocated now, the peak since the last reset, and the limit.
struct DeviceMemory {
  std::size_t live = 0, peak = 0, limit = 0;
};
DeviceMemory device_memory();
void reset_peak_device_memory();

/// The most dynamic shared memory, in bytes, that any launch has requested since the last reset.
std::size_t peak_dynamic_shared();
void reset_peak_dynamic_shared();

/// Whether `data` lies in memory from gpu::malloc.
bool is_device_pointer(const void* data);

/// The current options, for display: "forward lane order, late cp.async, 2 threads".
std::string description();

}  // namespace fer::simt
