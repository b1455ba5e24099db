// Fibers: suspend one stack and continue on another. On x86-64 and aarch64 the switch is in assembly (2 to 17
// ns: it saves only the registers that a call must preserve). Elsewhere it uses ucontext (about 200 ns,
// because of its system call for the signal mask). FER_SIMT_UCONTEXT forces ucontext.
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

// Deliberately out of line: as inline assembly its pushes would overwrite the caller's red zone.
/// Saves in *save where this stack can be resumed, and resumes `load`. Returns when *save is resumed.
extern "C" void fer_simt_switch(void** save, void* load);

/// Prepares a fresh stack that ends at `top`. Resuming the result with fer_simt_switch runs entry(), which
/// must not return.
void* prepare_context(void* top, void (*entry)());

/// Stacks with a guard page below each, allocated on first use and kept. Not thread-safe: each worker has its
/// own pool.
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

  /// The number of a free stack. Throws DeviceError if the system gives no more memory.
  int take();
  void give_back(int stack) {
    free_.push_back(stack);
  }
  /// Marks all stacks as free (abandoned fibers do not give theirs back).
  void reset();

  char* bottom(int stack) const {
    return stacks_[static_cast<std::size_t>(stack)];
  }
  /// Spreads the tops over the sets of the L1 cache. At equal offsets in their pages, the hot lines of 256
  /// stacks would compete for one set of eight ways.
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
