#include "app/interrupt.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <ctime>

#include "fer/stop.h"

namespace fer::app {
namespace {

// The handler may run in any thread, and in two at once. It may use only lock-free atomics.
std::atomic<std::int64_t> first_at{0};  // nanoseconds of a clock that started before the program
std::atomic<bool> silent{false};
static_assert(std::atomic<std::int64_t>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

/// Calls only async-signal-safe functions.
void note(int signal) {
  const int error = errno;
  timespec clock{};
  ::clock_gettime(CLOCK_MONOTONIC, &clock);
  constexpr std::int64_t second = 1'000'000'000;
  const std::int64_t now = clock.tv_sec * second + clock.tv_nsec;
  std::int64_t first = 0;
  if (first_at.compare_exchange_strong(first, now)) {
    request_stop(signal);
    if (!silent) {
      [[maybe_unused]] const auto written =
          ::write(STDERR_FILENO, stopping_message.data(), stopping_message.size());
    }
  } else if (now - first >= second) {
    std::signal(signal, SIG_DFL);
    ::raise(signal);  // delivered as soon as this function returns
  }
  errno = error;
}

}  // namespace

InterruptCatcher::InterruptCatcher() {
  for (std::size_t i = 0; i < signals.size(); ++i) {
    before_[i] = std::signal(signals[i], note);
    // A shell without job control makes its background processes ignore Ctrl-C; keep that.
    if (before_[i] == SIG_IGN) std::signal(signals[i], SIG_IGN);
  }
}

InterruptCatcher::~InterruptCatcher() {
  for (std::size_t i = 0; i < signals.size(); ++i) std::signal(signals[i], before_[i]);
}

void silence_interrupts() {
  silent = true;
}

int interrupted() {
  return stop_requested();
}

}  // namespace fer::app
