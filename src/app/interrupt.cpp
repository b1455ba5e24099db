#include "app/interrupt.h"

#include <unistd.h>

#include <ctime>
#include <string_view>

namespace fer::app {
namespace {

volatile std::sig_atomic_t first = 0;
timespec first_at{};

/// Calls nothing that a signal handler must not.
void note(int signal) {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  if (first != 0) {
    const double apart = static_cast<double>(now.tv_sec - first_at.tv_sec) +
                         1e-9 * static_cast<double>(now.tv_nsec - first_at.tv_nsec);
    if (apart < 1) return;
    std::signal(signal, SIG_DFL);
    ::raise(signal);  // comes as soon as this function returns
    return;
  }
  first_at = now;
  first = signal;
  constexpr std::string_view message = "\nstopping in order; another one, a second later, stops at once\n";
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, message.data(), message.size());
}

}  // namespace

InterruptCatcher::InterruptCatcher() {
  for (std::size_t i = 0; i < signals.size(); ++i) {
    before_[i] = std::signal(signals[i], note);
    // A shell without job control lets those that it starts in the background ignore Ctrl-C.
    if (before_[i] == SIG_IGN) std::signal(signals[i], SIG_IGN);
  }
}

InterruptCatcher::~InterruptCatcher() {
  for (std::size_t i = 0; i < signals.size(); ++i) std::signal(signals[i], before_[i]);
}

int interrupted() {
  return first;
}

}  // namespace fer::app
