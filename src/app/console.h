// Terminal output of a run: progress, notes and epochs. On a terminal, a bar is redrawn in place; in a file
// or pipe, plain lines appear at a slow rate.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "fer/autograd/profiler.h"
#include "fer/training/loop.h"

namespace fer::app {

/// "1 h 02 min", "3 min 20 s", "12 s".
std::string duration_text(double seconds);
/// "93.1 %"; "-" if the share is undefined.
std::string percent_text(double share);
std::string megabytes_text(std::size_t bytes);

class ConsoleObserver : public TrainingObserver {
 public:
  /// `quiet` omits the steps.
  explicit ConsoleObserver(bool quiet);
  /// Profiles `steps` steps, beginning with the third step of the main stage. Then prints the tables
  /// and writes a trace for chrome://tracing to `trace`. IoError if it cannot be written.
  void profile(int steps, std::string trace, Device device);
  /// Call when the training is over: prints the profile even if there were fewer steps.
  void end_profile();
  void on_note(const std::string& note) override;
  void on_step(const StepReport& report) override;
  void on_epoch(const EpochReport& report) override;
  /// True after Ctrl-C, if an InterruptCatcher is alive.
  bool wants_stop() override;

 private:
  void clear_bar();
  void on_profiled_step();
  void show_profile(int steps);

  bool quiet_, terminal_, bar_shown_ = false;
  std::chrono::steady_clock::time_point last_shown_{};
  int steps_seen_ = 0, profile_steps_ = 0;
  std::size_t events_of_steps_ = 0;  ///< later events belong to an evaluation
  std::string trace_;
  Device device_ = Device::cpu;
  std::unique_ptr<Profiler> profiler_;
};

}  // namespace fer::app
