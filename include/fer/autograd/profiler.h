// Profiler: where the time of a step goes, by operation and by module, forward and backward.
//
//   fer::Profiler profiler;                 // records this thread's operations until destroyed or stopped
//   loss = model(x); loss.backward();
//   std::cout << profiler.table();
//
// Forward: an operation's time starts where the previous operation was recorded, so the time between two
// operations (allocation, checks) counts toward the second. Backward: the time of its backward function. The
// profiler synchronises an asynchronous device (pass it to the constructor) at each mark, which itself costs
// time.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "fer/tensor/device.h"

namespace fer {

class Profiler {
 public:
  enum class Phase : std::uint8_t { forward, backward, other };
  struct Event {
    std::string op, module;
    Phase phase = Phase::other;
    double start = 0, seconds = 0;  ///< start: since the profiler began
  };

  explicit Profiler(Device device = Device::cpu);
  ~Profiler();
  Profiler(const Profiler&) = delete;
  Profiler& operator=(const Profiler&) = delete;

  /// Stops recording; recorded events stay.
  void stop();
  /// Attributes the time since the last mark to `op`.
  void mark(std::string op, std::string module, Phase phase);
  /// Discards the time since the last mark.
  void skip();
  /// Discards all events after the first `count`, and the time since the last mark.
  void rewind(std::size_t count);

  const std::vector<Event>& events() const { return events_; }
  /// Two text tables, by operation and by module (paths cut to `module_depth` names): calls, milliseconds,
  /// share.
  std::string table(int module_depth = 2) const;
  /// The events in the format of chrome://tracing and Perfetto.
  std::string chrome_trace() const;

  /// The profiler of this thread; null if there is none.
  static Profiler* current();

 private:
  using Clock = std::chrono::steady_clock;
  Device device_;
  Clock::time_point begin_, last_;
  std::vector<Event> events_;
  Profiler* outer_;
  bool running_ = true;
};

}  // namespace fer
