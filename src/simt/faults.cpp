// The signal handler only records the fault and changes the interrupted context so that it continues in
// fault_landing, on a stack reserved for that. The report is made there, outside of the signal handler.
#include "simt/faults.h"

#include <signal.h>
#include <ucontext.h>

#include <array>
#include <memory>
#include <mutex>
#include <sstream>

#include "simt/block.h"

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))
#define FER_SIMT_DIVERT 1
#else
#define FER_SIMT_DIVERT 0
#endif
#define FER_SIMT_CATCH_FAULTS (FER_SIMT_DIVERT && !FER_SIMT_ASAN)

namespace fer::simt::detail {

#if FER_SIMT_DIVERT

void* code_of(void* context) {
  const auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
  return reinterpret_cast<void*>(registers.gregs[REG_RIP]);
#else
  return reinterpret_cast<void*>(registers.pc);
#endif
}

void divert(Block& block, void* context, void (*landing)()) {
  auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext;
  block.fault_code = code_of(context);
  const auto top =
      reinterpret_cast<std::uintptr_t>(block.stacks.top(block.fault_stack)) & ~std::uintptr_t{63};
#if defined(__x86_64__)
  registers.gregs[REG_RIP] = reinterpret_cast<greg_t>(landing);
  registers.gregs[REG_RSP] = static_cast<greg_t>(top - 8);  // as if called
  registers.gregs[REG_EFL] &= ~greg_t{0x400};               // direction flag: code expects it clear
#else
  registers.pc = reinterpret_cast<std::uintptr_t>(landing);
  registers.sp = top;
#endif
}

#else

void* code_of(void*) {
  return nullptr;
}
void divert(Block&, void*, void (*)()) {}

#endif

#if FER_SIMT_CATCH_FAULTS

namespace {

constexpr std::array<int, 3> signals{SIGSEGV, SIGBUS, SIGFPE};
std::mutex guard_mutex;
int guards = 0;
std::array<struct sigaction, 3> previous;

void fault_landing() {
  Block& block = *current_block;
  const auto address = reinterpret_cast<std::uintptr_t>(block.fault_address);
  const auto bottom = reinterpret_cast<std::uintptr_t>(block.stacks.bottom(block.lane().stack));
  block.failure.place[0] = static_cast<const char*>(block.fault_code) + 1;  // not a return address
  if (block.fault_signal == SIGFPE) {
    block.raise(block.thread_name(block.now), " divides an integer by zero (@1)");
  } else if (block.fault_misaligned) {
    block.raise(
        block.thread_name(block.now),
        " accesses memory at an address that is misaligned for its type, or impossible (@1); vector types "
        "need their own size as alignment");
  } else if (address < bottom && address >= bottom - 65536) {
    block.raise(block.thread_name(block.now), " overflows its stack of ", StackPool::stack_bytes,
                " bytes (@1); keep arrays small, a GPU holds them in registers");
  } else {
    block.raise(block.thread_name(block.now), " accesses memory at ", block.fault_address,
                address < 4096 ? ", a null pointer" : ", which is not mapped",
                " (@1); check the pointer and its index");
  }
  block.leave();
}

void on_signal(int signal, siginfo_t* info, void* context) {
  Block* block = current_block;
  if (block == nullptr || block->fault_signal != 0) {  // not from a kernel: restore the previous handler
    for (std::size_t i = 0; i < signals.size(); ++i) {
      if (signals[i] == signal) sigaction(signal, &previous[i], nullptr);
    }
    return;
  }
  block->fault_signal = signal;
  block->fault_address = info->si_addr;
  block->fault_misaligned = info->si_code == SI_KERNEL || (signal == SIGBUS && info->si_code == BUS_ADRALN);
  divert(*block, context, &fault_landing);
}

}  // namespace

FaultGuard::FaultGuard() {
  const std::lock_guard lock(guard_mutex);
  if (guards++ > 0) return;
  struct sigaction action {};
  action.sa_sigaction = &on_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  for (std::size_t i = 0; i < signals.size(); ++i) sigaction(signals[i], &action, &previous[i]);
}

FaultGuard::~FaultGuard() {
  const std::lock_guard lock(guard_mutex);
  if (--guards > 0) return;
  for (std::size_t i = 0; i < signals.size(); ++i) sigaction(signals[i], &previous[i], nullptr);
}

struct FaultStack::Saved {
  stack_t old;
};

FaultStack::FaultStack() {
  static constexpr std::size_t bytes = 64 * 1024;
  static thread_local const std::unique_ptr<char[]> stack(new char[bytes]);
  stack_t mine{};
  mine.ss_sp = stack.get();
  mine.ss_size = bytes;
  saved_ = new Saved{};
  if (sigaltstack(&mine, &saved_->old) != 0) saved_->old.ss_flags = SS_ONSTACK;  // nothing to restore
}

FaultStack::~FaultStack() {
  if (saved_->old.ss_flags != SS_ONSTACK) sigaltstack(&saved_->old, nullptr);
  delete saved_;
}

#else

FaultGuard::FaultGuard() = default;
FaultGuard::~FaultGuard() = default;
struct FaultStack::Saved {};
FaultStack::FaultStack() = default;
FaultStack::~FaultStack() = default;

#endif

}  // namespace fer::simt::detail
