// What the program writes to a terminal: progress, notes and epochs of a run. On a terminal a bar is redrawn
// in place; elsewhere (a file, a pipe) plain lines come at a calm rate.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "fer/autograd/profiler.h"
#include "fer/training/loop.h"

namespace fer::app {

/// "1 h 02 min", "3 min 20 s", "12 s".
std::string duration_text(double seconds);
/// "93.1 %"; "-" where the figure is not defined.
std::string percent_text(double share);
std::string megabytes_text(std::size_t bytes);

class ConsoleObserver : public TrainingObserver {
 public:
  /// `quiet` leaves the steps out.
  explicit ConsoleObserver(bool quiet);
  /// From the third step of the expressions' stage on, notes where the time of `steps` steps goes; then
  /// prints the tables and writes a trace for chrome://tracing to `trace`. IoError if it cannot be written.
  void profile(int steps, std::string trace, Device device);
  /// The training is over: shows the profile of the steps there were, if they were fewer.
  void end_profile();
  void on_note(const std::string& note) override;
  void on_step(const StepReport& report) override;
  void on_epoch(const EpochReport& report) override;
  /// Ctrl-C, where an InterruptCatcher notes it.
  bool wants_stop() override;

 private:
  void clear_bar();
  void on_profiled_step();
  void show_profile(int steps);

  bool quiet_, terminal_, bar_shown_ = false;
  std::chrono::steady_clock::time_point last_shown_{};
  int steps_seen_ = 0, profile_steps_ = 0;
  std::size_t events_of_steps_ = 0;  ///< those after them are of an evaluation
  std::string trace_;
  Device device_ = Device::cpu;
  std::unique_ptr<Profiler> profiler_;
};

}  // namespace fer::app
