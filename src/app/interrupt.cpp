#include "app/interrupt.h"

#include <unistd.h>

#include <string_view>

namespace fer::app {
namespace {

volatile std::sig_atomic_t first = 0;

void note(int signal) {
  first = signal;
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  constexpr std::string_view message = "\nstopping in order; another one stops at once\n";
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
