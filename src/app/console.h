// What the program writes to a terminal: progress, notes and epochs of a run. On a terminal a bar is redrawn
// in place; elsewhere (a file, a pipe) plain lines come at a calm rate.
#pragma once

#include <chrono>
#include <string>

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
  void on_note(const std::string& note) override;
  void on_step(const StepReport& report) override;
  void on_epoch(const EpochReport& report) override;

 private:
  void clear_bar();

  bool quiet_, terminal_, bar_shown_ = false;
  std::chrono::steady_clock::time_point last_shown_{};
};

}  // namespace fer::app
