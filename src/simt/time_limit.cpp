// The handler runs on the thread whose block it checks, so the data it shares with the block needs no lock.
#include "simt/time_limit.h"

#include <dlfcn.h>

#include "simt/block.h"
#include "simt/faults.h"

#if defined(__linux__)
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>
#ifndef sigev_notify_thread_id  // glibc before 2.38
#define sigev_notify_thread_id _sigev_un._tid
#endif
#endif

namespace fer::simt::detail {

void Block::raise_time_limit(const std::string& place) {
  // Formatting may call std::string code from a file that reports its accesses and would come back here.
  out_of_time = false;
  raise(thread_name(now), " is still running after ", launch->options.time_limit, " s of processor time (",
        place,
        "): an endless loop, or one that waits for a thread which cannot run meanwhile; if the kernel is "
        "right and "
        "only slow, raise FER_SIMT_TIME_LIMIT, the seconds that a block may take (0: no limit)",
        waiting_threads(now));
}

#if defined(__linux__)

namespace {

constexpr int ticks_per_limit = 4;
constexpr double grace = 0.05;  ///< seconds until a block that is out of time is assumed to spin on its own
constexpr int most_tries = 16;

const char tag = 0;  ///< its address marks our timers
struct sigaction previous_action;

void set_interval(timer_t timer, double seconds) {
  itimerspec spec{};
  spec.it_value.tv_sec = static_cast<time_t>(seconds);
  spec.it_value.tv_nsec = static_cast<long>((seconds - static_cast<double>(spec.it_value.tv_sec)) * 1e9);
  if (seconds > 0 && spec.it_value.tv_sec == 0 && spec.it_value.tv_nsec == 0) spec.it_value.tv_nsec = 1;
  spec.it_interval = spec.it_value;
  timer_settime(timer, 0, &spec, nullptr);
}

double tick_seconds(const Block& block) {
  return block.launch->options.time_limit / ticks_per_limit;
}

void land() {
  Block& block = *current_block;
  block.failure.place[0] = static_cast<const char*>(block.fault_code) + 1;  // not a return address
  block.raise_time_limit("@1");
  block.leave();
}

/// Whether `code` lies in the kernel's program or library, and not in the mathematical functions that it
/// calls.
bool is_beside(const void* kernel, const void* code) {
  Dl_info of_kernel{}, of_code{};
  return dladdr(kernel, &of_kernel) != 0 && dladdr(code, &of_code) != 0 &&
         of_kernel.dli_fbase == of_code.dli_fbase;
}

void on_tick(Block& block, timer_t timer, void* context) {
  if (block.timed_run != block.runs) {
    block.timed_run = block.runs;
    block.ticks = 0;
    set_interval(timer, tick_seconds(block));
    return;
  }
  ++block.ticks;
  if (block.ticks < ticks_per_limit) return;
  if (!block.out_of_time) {
    block.out_of_time = true;
    set_interval(timer, grace);
    return;
  }
  // Executor code would have seen the flag by now. So the kernel's own code is spinning, and it holds none of
  // the executor's resources.
  const void* code = code_of(context);
  const bool last_try = block.ticks > ticks_per_limit + most_tries;
  if (last_try || is_beside(block.launch->request->kernel, code)) divert(block, context, &land);
}

void on_signal(int signal, siginfo_t* info, void* context) {
  const int error = errno;
  if (info->si_code == SI_TIMER && info->si_value.sival_ptr == &tag) {
    Block* block = current_block;
    if (block != nullptr) on_tick(*block, block->timer.handle(), context);
  } else if ((previous_action.sa_flags & SA_SIGINFO) != 0) {
    previous_action.sa_sigaction(signal, info, context);
  } else if (previous_action.sa_handler == SIG_DFL) {
    sigaction(signal, &previous_action, nullptr);  // ends the program, as if we were not here
    raise(signal);
  } else if (previous_action.sa_handler != SIG_IGN) {
    previous_action.sa_handler(signal);
  }
  errno = error;
}

/// Uses SIGVTALRM, because debuggers pass it on silently. The handler stays installed, because timers also
/// tick outside of kernels.
void catch_ticks() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action {};
    action.sa_sigaction = &on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaction(SIGVTALRM, &action, &previous_action);
  });
}

}  // namespace

BlockTimer::~BlockTimer() {
  if (made_) timer_delete(timer_);
}

void BlockTimer::set_limit(double seconds) {
  if (seconds == limit_) return;
  if (!made_) {
    catch_ticks();
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGVTALRM;
    event.sigev_value.sival_ptr = const_cast<char*>(&tag);
    event.sigev_notify_thread_id = gettid();
    require<DeviceError>(timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer_) == 0,
                         "[simt] no timer for the time limit of kernels (", std::strerror(errno),
                         "); FER_SIMT_TIME_LIMIT=0 runs without a limit");
    made_ = true;
  }
  limit_ = seconds;
  set_interval(timer_, seconds / ticks_per_limit);
}

#else

BlockTimer::~BlockTimer() = default;
void BlockTimer::set_limit(double) {}

#endif

}  // namespace fer::simt::detail
