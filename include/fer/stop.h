// A request to stop, such as Ctrl-C makes. Code that waits for input which may never arrive checks it.
#pragma once

namespace fer {

/// Asks this process's reads from pipes to end. Safe in a signal handler; `signal` must not be 0.
void request_stop(int signal) noexcept;
/// The signal of the first request; 0 if there was none.
int stop_requested() noexcept;

}  // namespace fer
