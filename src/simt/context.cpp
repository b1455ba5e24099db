// The stack switch in assembly for x86-64 and aarch64, over ucontext elsewhere, and the pool of stacks.
#include "simt/context.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>

#include "fer/error.h"

#if !defined(FER_SIMT_UCONTEXT) && !defined(__x86_64__) && !defined(__aarch64__)
#define FER_SIMT_UCONTEXT 1
#endif

#ifdef FER_SIMT_UCONTEXT
#include <ucontext.h>
#elif defined(__x86_64__)
// Resumes by pop and jmp, not ret: the processor predicts a jmp from its history, but a ret from the matching
// call, and that prediction is always wrong on another stack.
asm(R"(
.text
.p2align 4
.globl fer_simt_switch
.type fer_simt_switch, @function
fer_simt_switch:
  endbr64
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  popq %rcx
  jmp *%rcx
.size fer_simt_switch, .-fer_simt_switch
)");
#else
asm(R"(
.text
.p2align 4
.globl fer_simt_switch
.type fer_simt_switch, %function
fer_simt_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size fer_simt_switch, .-fer_simt_switch
)");
#endif

namespace fer::simt::detail {

#ifdef FER_SIMT_UCONTEXT

extern "C" void fer_simt_switch(void** save, void* load) {
  ucontext_t here;  // lives on the suspended stack for as long as it is needed
  *save = &here;
  swapcontext(&here, static_cast<ucontext_t*>(load));
}

void* prepare_context(void* top, void (*entry)()) {
  const auto end = (reinterpret_cast<std::uintptr_t>(top) - sizeof(ucontext_t)) & ~std::uintptr_t{63};
  auto* context = reinterpret_cast<ucontext_t*>(end);
  getcontext(context);
  const std::uintptr_t page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  // top() shifts a stack's top by less than a page, so this many bytes below it surely belong to the stack.
  const std::size_t bytes = StackPool::stack_bytes - 2 * page;
  context->uc_stack.ss_sp = reinterpret_cast<void*>(end - bytes);
  context->uc_stack.ss_size = bytes;
  context->uc_link = nullptr;
  makecontext(context, entry, 0);
  return context;
}

#elif defined(__x86_64__)

void* prepare_context(void* top, void (*entry)()) {
  auto* frame =
      reinterpret_cast<std::uintptr_t*>(reinterpret_cast<std::uintptr_t>(top) & ~std::uintptr_t{63});
  // After the jump to entry the stack must look as after a call: the return address lies at an address that
  // is 8 modulo 16. A null return address ends debuggers' backtraces.
  *--frame = 0;
  *--frame = reinterpret_cast<std::uintptr_t>(entry);
  for (int i = 0; i < 6; ++i) *--frame = 0;  // rbp, rbx, r12 to r15
  return frame;
}

#else

void* prepare_context(void* top, void (*entry)()) {
  auto* frame =
      reinterpret_cast<std::uintptr_t*>(reinterpret_cast<std::uintptr_t>(top) & ~std::uintptr_t{63});
  frame -= 20;
  std::memset(frame, 0, 160);
  frame[11] = reinterpret_cast<std::uintptr_t>(entry);  // x30
  return frame;
}

#endif

namespace {
constexpr int stacks_per_chunk = 32;
std::size_t page_bytes() {
  static const std::size_t bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}
std::size_t slot_bytes() {
  return StackPool::stack_bytes + page_bytes();
}
}  // namespace

StackPool::~StackPool() {
  for (void* chunk : chunks_) munmap(chunk, stacks_per_chunk * slot_bytes());
}

void StackPool::grow() {
  void* chunk = mmap(nullptr, stacks_per_chunk * slot_bytes(), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  require<DeviceError>(chunk != MAP_FAILED, "[simt] no memory for the stacks of a kernel's threads (",
                       stacks_per_chunk * slot_bytes(), " bytes of address space); lower FER_SIMT_THREADS");
  chunks_.push_back(chunk);
  for (int i = 0; i < stacks_per_chunk; ++i) {
    char* slot = static_cast<char*>(chunk) + static_cast<std::size_t>(i) * slot_bytes();
    // If the kernel refuses a guard (too many mappings), an overflow goes unnoticed but nothing else changes.
    (void)mprotect(slot, page_bytes(), PROT_NONE);
    stacks_.push_back(slot + page_bytes());
  }
  // The lowest number is taken first, so stacks are taken in memory order.
  const int first = static_cast<int>(stacks_.size()) - stacks_per_chunk;
  for (int i = stacks_per_chunk - 1; i >= 0; --i) free_.push_back(first + i);
}

int StackPool::take() {
  if (free_.empty()) grow();
  const int stack = free_.back();
  free_.pop_back();
  return stack;
}

void StackPool::reset() {
  free_.clear();
  for (int i = static_cast<int>(stacks_.size()) - 1; i >= 0; --i) {
    free_.push_back(i);
#if FER_SIMT_ASAN
    __asan_unpoison_memory_region(bottom(i), stack_bytes);
#endif
  }
}

}  // namespace fer::simt::detail
