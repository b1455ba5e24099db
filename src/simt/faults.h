// Turns a crash inside a kernel (a wild pointer, a stack overflow, a division by zero) into an error, as a
// GPU reports an illegal address. In a sanitizer build, the sanitizer handles crashes.
#pragma once

namespace fer::simt::detail {

struct Block;

/// The code address that a signal has interrupted, from the handler's third argument; null if unknown.
void* code_of(void* context);
/// Makes the interrupted code continue in `landing`, on the block's stack for faults, once the handler
/// returns. block.fault_code is the interrupted address. Does nothing if that address is unknown.
void divert(Block& block, void* context, void (*landing)());

/// While an object exists, signals from kernels are caught. Other signals go to their previous handler.
class FaultGuard {
 public:
  FaultGuard();
  ~FaultGuard();
  FaultGuard(const FaultGuard&) = delete;
  FaultGuard& operator=(const FaultGuard&) = delete;
};

/// The same for this OS thread: sets the stack on which its signals are handled, because the kernel's stack
/// may be full.
class FaultStack {
 public:
  FaultStack();
  ~FaultStack();
  FaultStack(const FaultStack&) = delete;
  FaultStack& operator=(const FaultStack&) = delete;

 private:
  struct Saved;
  Saved* saved_ = nullptr;
};

}  // namespace fer::simt::detail
