// Fibers: suspending one stack and going on with another. On x86-64 and aarch64 the switch is written by hand
// (2 to 17 ns: it saves only the registers that a call must preserve); elsewhere it is ucontext (some 200 ns,
// because of its system call for the signal mask). FER_SIMT_UCONTEXT forces the latter.
#pragma once

#include <cstddef>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define FER_SIMT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FER_SIMT_ASAN 1
#endif
#endif
#ifndef FER_SIMT_ASAN
#define FER_SIMT_ASAN 0
#endif

#if FER_SIMT_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace fer::simt::detail {

// Out of line on purpose: as inline assembly its pushes would run over the caller's red zone.
/// Stores where this stack can be resumed in *save and resumes `load`; returns when someone resumes *save.
extern "C" void fer_simt_switch(void** save, void* load);

/// What fer_simt_switch resumes to run entry() on a fresh stack that ends at `top`. entry must not return.
void* prepare_context(void* top, void (*entry)());

/// Stacks with a guard page below each, made when first needed and kept. Not thread safe: one a worker.
class StackPool {
 public:
#if FER_SIMT_ASAN
  static constexpr std::size_t stack_bytes = 256 * 1024;  // instrumented frames are several times larger
#else
  static constexpr std::size_t stack_bytes = 64 * 1024;
#endif

  StackPool() = default;
  ~StackPool();
  StackPool(const StackPool&) = delete;
  StackPool& operator=(const StackPool&) = delete;

  /// Number of a free stack. DeviceError if the system gives no more memory.
  int take();
  void give_back(int stack) {
    free_.push_back(stack);
  }
  /// All stacks are free again (fibers that were abandoned do not give theirs back).
  void reset();

  char* bottom(int stack) const {
    return stacks_[static_cast<std::size_t>(stack)];
  }
  /// Tops are spread over the sets of the L1 cache: at equal offsets in their pages the hot lines of 256
  /// stacks would all fight for one set of eight ways.
  char* top(int stack) const {
    return bottom(stack) + stack_bytes - (stack * 5 % 64) * 64;
  }

 private:
  void grow();

  std::vector<char*> stacks_;
  std::vector<void*> chunks_;
  std::vector<int> free_;
};

}  // namespace fer::simt::detail
