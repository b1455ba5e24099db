#include "fer/stop.h"

#include <atomic>

namespace fer {
namespace {

// Must be lock-free, because a signal handler writes it.
std::atomic<int> requested_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);

}  // namespace

void request_stop(int signal) noexcept {
  int none = 0;
  requested_signal.compare_exchange_strong(none, signal);
}

int stop_requested() noexcept {
  return requested_signal.load();
}

}  // namespace fer
