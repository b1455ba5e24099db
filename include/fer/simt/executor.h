// The executor's knobs and its error: for tests, tools and people who debug a kernel on the CPU.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fer/error.h"

namespace fer::simt {

/// A mistake in a kernel or its launch, found by the executor. The message names kernel, block and thread,
/// the place in the source where it is known, and what to do. Raised by launch() on the calling thread.
struct CheckError : Error {
  using Error::Error;
};

/// In which order runnable lanes (and blocks) are taken. A correct kernel does not notice.
enum class LaneOrder { forward, reverse, shuffled };

/// When cp.async copies. early: when issued. late: when a wait requires it, and NaN in its destination until
/// then; so a wait that is off by one shows.
enum class AsyncCopy { early, late };

struct Options {
  LaneOrder order = LaneOrder::forward;
  std::uint64_t seed = 1;  ///< of LaneOrder::shuffled
  AsyncCopy async_copy = AsyncCopy::late;
  int threads = 0;                        ///< OS threads that run blocks; 0: as many as OpenMP has
  std::size_t shared_limit = 227 * 1024;  ///< bytes of shared memory a block may have; of an sm_90
  std::size_t memory_limit = 0;           ///< bytes of device memory; 0: no limit but the machine's
  /// Seconds of processor time that a block may take, so that an endless loop ends with an error; 0: no
  /// limit.
  double time_limit = 60;
};

/// The defaults, changed by the environment: FER_SIMT_ORDER (forward, reverse, shuffled or shuffled:<seed>),
/// FER_SIMT_ASYNC_COPY (early, late), FER_SIMT_THREADS (a number), FER_SIMT_SHARED_LIMIT (KiB),
/// FER_SIMT_TIME_LIMIT (seconds). ConfigError if one is malformed.
Options options_from_environment();
/// The options in force; at first those of the environment.
Options options();
/// For the whole process; not while a kernel runs.
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

/// Bytes of device memory: given out now, and the most that ever was since the last reset.
struct DeviceMemory {
  std::size_t live = 0, peak = 0, limit = 0;
};
DeviceMemory device_memory();
void reset_peak_device_memory();

/// The most dynamic shared memory, in bytes, that a launch has asked for since the last reset.
std::size_t peak_dynamic_shared();
void reset_peak_dynamic_shared();

/// Whether `data` lies in memory from gpu::malloc.
bool is_device_pointer(const void* data);

/// What this executor is, for people: "forward lane order, late cp.async, 2 threads".
std::string description();

}  // namespace fer::simt
