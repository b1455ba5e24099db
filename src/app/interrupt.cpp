#include "app/interrupt.h"

#include <unistd.h>

#include <csignal>
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
  std::signal(SIGINT, note);
  std::signal(SIGTERM, note);
}

InterruptCatcher::~InterruptCatcher() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

int interrupted() {
  return first;
}

}  // namespace fer::app
