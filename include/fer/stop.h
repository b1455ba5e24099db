// A request to stop, as Ctrl-C makes it: heard by whatever waits for bytes that may never come.
#pragma once

namespace fer {

/// Asks this process's reads of pipes to end. May be called by a signal handler; `signal` is not 0.
void request_stop(int signal) noexcept;
/// The signal of the first request; 0: none has been made.
int stop_requested() noexcept;

}  // namespace fer
