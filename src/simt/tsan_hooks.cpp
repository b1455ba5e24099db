// The functions called by code compiled with -fsanitize=thread. They call this checker instead of libtsan,
// which knows threads, but no blocks, lanes or barriers. Outside of kernels they do nothing.
#include <cstdint>
#include <cstring>

#include "simt/shadow.h"

namespace {
using fer::simt::detail::Access;

inline void hook(const void* data, std::size_t bytes, Access kind, const void* place) {
  fer::simt::detail::Block* block = fer::simt::detail::current_block;
  if (block != nullptr && block->instrumented)
    fer::simt::detail::check_access(*block, data, bytes, kind, place);
}
}  // namespace

#define FER_HERE __builtin_return_address(0)
#define FER_HOOKS(bytes)                                 \
  void __tsan_read##bytes(void* p) {                     \
    hook(p, bytes, Access::read, FER_HERE);              \
  }                                                      \
  void __tsan_write##bytes(void* p) {                    \
    hook(p, bytes, Access::write, FER_HERE);             \
  }                                                      \
  void __tsan_unaligned_read##bytes(void* p) {           \
    hook(p, bytes, Access::read, FER_HERE);              \
  }                                                      \
  void __tsan_unaligned_write##bytes(void* p) {          \
    hook(p, bytes, Access::write, FER_HERE);             \
  }                                                      \
  void __tsan_volatile_read##bytes(void* p) {            \
    hook(p, bytes, Access::read, FER_HERE);              \
  }                                                      \
  void __tsan_volatile_write##bytes(void* p) {           \
    hook(p, bytes, Access::write, FER_HERE);             \
  }                                                      \
  void __tsan_unaligned_volatile_read##bytes(void* p) {  \
    hook(p, bytes, Access::read, FER_HERE);              \
  }                                                      \
  void __tsan_unaligned_volatile_write##bytes(void* p) { \
    hook(p, bytes, Access::write, FER_HERE);             \
  }                                                      \
  void __tsan_read_write##bytes(void* p) {               \
    hook(p, bytes, Access::read, FER_HERE);              \
    hook(p, bytes, Access::write, FER_HERE);             \
  }                                                      \
  void __tsan_unaligned_read_write##bytes(void* p) {     \
    hook(p, bytes, Access::read, FER_HERE);              \
    hook(p, bytes, Access::write, FER_HERE);             \
  }

// Atomic operations of host code in the same files (for example, reference counts). The kernels' own atomics
// report themselves (intrinsics.h).
#define FER_ATOMICS(bits, T)                                                                \
  T __tsan_atomic##bits##_load(const volatile T* p, int) {                                  \
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                            \
  }                                                                                         \
  void __tsan_atomic##bits##_store(volatile T* p, T v, int) {                               \
    __atomic_store_n(p, v, __ATOMIC_SEQ_CST);                                               \
  }                                                                                         \
  T __tsan_atomic##bits##_exchange(volatile T* p, T v, int) {                               \
    return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST);                                     \
  }                                                                                         \
  T __tsan_atomic##bits##_fetch_add(volatile T* p, T v, int) {                              \
    return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST);                                      \
  }                                                                                         \
  T __tsan_atomic##bits##_fetch_sub(volatile T* p, T v, int) {                              \
    return __atomic_fetch_sub(p, v, __ATOMIC_SEQ_CST);                                      \
  }                                                                                         \
  T __tsan_atomic##bits##_fetch_and(volatile T* p, T v, int) {                              \
    return __atomic_fetch_and(p, v, __ATOMIC_SEQ_CST);                                      \
  }                                                                                         \
  T __tsan_atomic##bits##_fetch_or(volatile T* p, T v, int) {                               \
    return __atomic_fetch_or(p, v, __ATOMIC_SEQ_CST);                                       \
  }                                                                                         \
  T __tsan_atomic##bits##_fetch_xor(volatile T* p, T v, int) {                              \
    return __atomic_fetch_xor(p, v, __ATOMIC_SEQ_CST);                                      \
  }                                                                                         \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile T* p, T* e, T v, int, int) {   \
    return __atomic_compare_exchange_n(p, e, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
  }                                                                                         \
  int __tsan_atomic##bits##_compare_exchange_weak(volatile T* p, T* e, T v, int, int) {     \
    return __atomic_compare_exchange_n(p, e, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
  }                                                                                         \
  T __tsan_atomic##bits##_compare_exchange_val(volatile T* p, T e, T v, int, int) {         \
    __atomic_compare_exchange_n(p, &e, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);       \
    return e;                                                                               \
  }

extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_read(void**) {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_atomic_thread_fence(int) {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
void __tsan_atomic_signal_fence(int) {}

FER_HOOKS(1)
FER_HOOKS(2)
FER_HOOKS(4)
FER_HOOKS(8)
FER_HOOKS(16)
void __tsan_read_range(void* p, std::size_t bytes) {
  hook(p, bytes, Access::read, FER_HERE);
}
void __tsan_write_range(void* p, std::size_t bytes) {
  hook(p, bytes, Access::write, FER_HERE);
}
void* __tsan_memcpy(void* to, const void* from, std::size_t bytes) {
  hook(from, bytes, Access::read, FER_HERE);
  hook(to, bytes, Access::write, FER_HERE);
  return std::memcpy(to, from, bytes);
}
void* __tsan_memmove(void* to, const void* from, std::size_t bytes) {
  hook(from, bytes, Access::read, FER_HERE);
  hook(to, bytes, Access::write, FER_HERE);
  return std::memmove(to, from, bytes);
}
void* __tsan_memset(void* to, int value, std::size_t bytes) {
  hook(to, bytes, Access::write, FER_HERE);
  return std::memset(to, value, bytes);
}

FER_ATOMICS(8, std::uint8_t)
FER_ATOMICS(16, std::uint16_t)
FER_ATOMICS(32, std::uint32_t)
FER_ATOMICS(64, std::uint64_t)
}
