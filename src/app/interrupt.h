// Ctrl-C, SIGTERM, and SIGUSR1, which launchers pass on to all processes. The first signal asks a command to
// finish in order; a second one, at least a second later, ends the program. An earlier one counts as the same
// request: timeout(1) sends its signal twice, to the program and to its group.
#pragma once

#include <array>
#include <csignal>
#include <string_view>

namespace fer::app {

/// While one is alive, signals that would end the program are recorded.
class InterruptCatcher {
 public:
  InterruptCatcher();
  ~InterruptCatcher();
  InterruptCatcher(const InterruptCatcher&) = delete;
  InterruptCatcher& operator=(const InterruptCatcher&) = delete;

 private:
  static constexpr std::array signals{SIGINT, SIGTERM, SIGUSR1};
  std::array<void (*)(int), signals.size()> before_;  ///< the previous handler of each signal
};

/// What a process says when it is asked to stop.
inline constexpr std::string_view stopping_message =
    "\nstopping cleanly; another signal, a second later, stops at once\n";
/// Of several processes, one says so.
void silence_interrupts();

/// The first signal received; 0 if none.
int interrupted();

/// The exit code that a shell reports for a program ended by this signal.
constexpr int exit_code_of(int signal) {
  return 128 + signal;
}

}  // namespace fer::app
