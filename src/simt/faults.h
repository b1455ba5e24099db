// Turns a crash inside a kernel (a wild pointer, a stack overflow, a division by zero) into an error, as a
// GPU reports an illegal address. Left to the sanitizer where there is one.
#pragma once

namespace fer::simt::detail {

struct Block;

/// The code that a signal has interrupted, by the handler's third argument; null where that is not known.
void* code_of(void* context);
/// Lets the interrupted code go on in `landing`, on the block's stack for that, once the handler returns;
/// block.fault_code is where it was. Does nothing where that is not known.
void divert(Block& block, void* context, void (*landing)());

/// While one exists, signals of kernels are caught; others go to whoever handled them before.
class FaultGuard {
 public:
  FaultGuard();
  ~FaultGuard();
  FaultGuard(const FaultGuard&) = delete;
  FaultGuard& operator=(const FaultGuard&) = delete;
};

/// The same for this OS thread: the stack on which its signals are handled, for the kernel's may be full.
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
