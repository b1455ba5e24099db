// Ctrl-C and SIGTERM: the first one asks a command to come to an end in order, one that comes a second later
// or more ends the program. What comes sooner is the same request: timeout(1) sends its signal twice, to the
// program and to its group.
#pragma once

#include <array>
#include <csignal>

namespace fer::app {

/// While one is alive, signals that end a program are noted.
class InterruptCatcher {
 public:
  InterruptCatcher();
  ~InterruptCatcher();
  InterruptCatcher(const InterruptCatcher&) = delete;
  InterruptCatcher& operator=(const InterruptCatcher&) = delete;

 private:
  static constexpr std::array signals{SIGINT, SIGTERM};
  std::array<void (*)(int), signals.size()> before_;  ///< what was done with each before
};

/// The signal that came first; 0 if none has.
int interrupted();

/// The exit code that a shell gives to a program which a signal has ended.
constexpr int exit_code_of(int signal) {
  return 128 + signal;
}

}  // namespace fer::app
