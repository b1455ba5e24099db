// What a kernel sees on the executor: built-in variables, shared memory, barriers, warp collectives,
// tensor-core and asynchronous copy instructions. Names and semantics are CUDA's. Every call also records its
// source location, so that a report can say at which line a thread waits.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fer/simt/types.h"

#define FER_WHERE_PARAM , ::fer::simt::Where where = ::fer::simt::Where::current()
#define FER_WHERE_PASS , where
#define FER_WHERE_OF(grid) , grid.where
#define FER_SYNCTHREADS_AT __syncthreads(where)
// Only nvcc unrolls. On the executor, unrolled kernels are no faster and take four times as long to compile.
#define FER_UNROLL

/// FER_SHARED(type, name, extents): a static shared array, 16-byte aligned; extents may be empty.
#define FER_SHARED(type, name, ...)                                          \
  using fer_shared_type_##name = type __VA_ARGS__;                           \
  static constexpr ::fer::simt::detail::SharedArray fer_shared_array_##name{ \
      #name, sizeof(fer_shared_type_##name), __FILE__, __LINE__};            \
  fer_shared_type_##name& name =                                             \
      *static_cast<fer_shared_type_##name*>(::fer::simt::detail::static_shared(fer_shared_array_##name))
/// FER_DYNAMIC_SHARED(type, name): `type* name`, the block's dynamic shared memory, 16-byte aligned.
#define FER_DYNAMIC_SHARED(type, name) \
  type* const name = static_cast<type*>(::fer::simt::detail::dynamic_shared())

namespace fer::simt {

/// A source location; as a default argument, that of the call. Replaces std::source_location, which clang 14
/// lacks.
struct Where {
  const char* file;
  int line;
  static constexpr Where current(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
};

// The executor rewrites these whenever it switches to another lane. With initial-exec, an access is one
// instruction even in position-independent code.
#define FER_SIMT_TLS inline constinit thread_local __attribute__((tls_model("initial-exec")))
FER_SIMT_TLS uint3 threadIdx{0, 0, 0};
FER_SIMT_TLS uint3 blockIdx{0, 0, 0};
FER_SIMT_TLS dim3 blockDim{1, 1, 1};
FER_SIMT_TLS dim3 gridDim{1, 1, 1};
inline constexpr int warpSize = 32;

namespace detail {

/// One FER_SHARED declaration; its address is its identity.
struct SharedArray {
  const char* name;
  std::size_t bytes;
  const char* file;
  int line;
};

void* static_shared(const SharedArray& array);
void* dynamic_shared();

void block_barrier(Where where);
/// A barrier that also sums `value` over the block (for __syncthreads_count, _and and _or).
int block_barrier_count(int value, Where where);
void warp_barrier(unsigned mask, Where where);

enum class Shuffle { index, up, down, exclusive_or };
/// Replaces the `bytes` bytes (at most 16) at `value` by those of the source lane.
void shuffle(Shuffle kind, unsigned mask, void* value, std::size_t bytes, int operand, int width,
             Where where);

enum class Vote { ballot, any, all };
unsigned vote(Vote kind, unsigned mask, bool predicate, Where where);

void mma_tf32(float* d, const std::uint32_t* a, const std::uint32_t* b, const float* c, Where where);
void mma_bf16(float* d, const std::uint32_t* a, const std::uint32_t* b, const float* c, Where where);
void load_matrix(std::uint32_t* r, int matrices, bool transpose, const void* row, Where where);

void async_copy(void* shared, const void* global, int bytes, int source_bytes, Where where);
void async_commit(Where where);
void async_wait(int pending, Where where);

/// Reports an access to `data` by this lane to the checker. An `atomic` access conflicts only with plain
/// ones.
void note_access(const void* data, std::size_t bytes, bool write, bool atomic, const void* pc);
/// __threadfence: orders this lane's earlier writes before its later atomics.
void fence();
/// Stops the kernel, like a trap.
[[noreturn]] void trap(const char* what, Where where);

}  // namespace detail

// --- barriers --------------------------------------------------------------------------------------------
inline void __syncthreads(Where where = Where::current()) {
  detail::block_barrier(where);
}
inline int __syncthreads_count(int predicate, Where where = Where::current()) {
  return detail::block_barrier_count(predicate != 0, where);
}
inline int __syncthreads_or(int predicate, Where where = Where::current()) {
  return detail::block_barrier_count(predicate != 0, where) != 0;
}
inline int __syncthreads_and(int predicate, Where where = Where::current()) {
  return detail::block_barrier_count(predicate == 0, where) == 0;
}
inline void __syncwarp(unsigned mask = 0xffffffffu, Where where = Where::current()) {
  detail::warp_barrier(mask, where);
}
inline void __threadfence() {
  detail::fence();
}
inline void __threadfence_block() {}

// --- shuffles and votes -----------------------------------------------------------------------------------
template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, Where where = Where::current()) {
  static_assert(sizeof(T) <= 16 && std::is_trivially_copyable_v<T>);
  detail::shuffle(detail::Shuffle::index, mask, &value, sizeof(T), source, width, where);
  return value;
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, Where where = Where::current()) {
  static_assert(sizeof(T) <= 16 && std::is_trivially_copyable_v<T>);
  detail::shuffle(detail::Shuffle::up, mask, &value, sizeof(T), static_cast<int>(delta), width, where);
  return value;
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, Where where = Where::current()) {
  static_assert(sizeof(T) <= 16 && std::is_trivially_copyable_v<T>);
  detail::shuffle(detail::Shuffle::down, mask, &value, sizeof(T), static_cast<int>(delta), width, where);
  return value;
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, Where where = Where::current()) {
  static_assert(sizeof(T) <= 16 && std::is_trivially_copyable_v<T>);
  detail::shuffle(detail::Shuffle::exclusive_or, mask, &value, sizeof(T), lanes, width, where);
  return value;
}
inline unsigned __ballot_sync(unsigned mask, int predicate, Where where = Where::current()) {
  return detail::vote(detail::Vote::ballot, mask, predicate != 0, where);
}
inline int __any_sync(unsigned mask, int predicate, Where where = Where::current()) {
  return static_cast<int>(detail::vote(detail::Vote::any, mask, predicate != 0, where));
}
inline int __all_sync(unsigned mask, int predicate, Where where = Where::current()) {
  return static_cast<int>(detail::vote(detail::Vote::all, mask, predicate != 0, where));
}

// --- tensor cores and matrix loads (contracts in gpu_cuda.h) ----------------------------------------------
inline void mma_m16n8k8_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                             const float (&c)[4], Where where = Where::current()) {
  detail::mma_tf32(d, a, b, c, where);
}
inline void mma_m16n8k16_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                              const float (&c)[4], Where where = Where::current()) {
  detail::mma_bf16(d, a, b, c, where);
}
inline void ldmatrix_x1(std::uint32_t (&r)[1], const void* row, Where where = Where::current()) {
  detail::load_matrix(r, 1, false, row, where);
}
inline void ldmatrix_x1_trans(std::uint32_t (&r)[1], const void* row, Where where = Where::current()) {
  detail::load_matrix(r, 1, true, row, where);
}
inline void ldmatrix_x2(std::uint32_t (&r)[2], const void* row, Where where = Where::current()) {
  detail::load_matrix(r, 2, false, row, where);
}
inline void ldmatrix_x2_trans(std::uint32_t (&r)[2], const void* row, Where where = Where::current()) {
  detail::load_matrix(r, 2, true, row, where);
}
inline void ldmatrix_x4(std::uint32_t (&r)[4], const void* row, Where where = Where::current()) {
  detail::load_matrix(r, 4, false, row, where);
}
inline void ldmatrix_x4_trans(std::uint32_t (&r)[4], const void* row, Where where = Where::current()) {
  detail::load_matrix(r, 4, true, row, where);
}

template <int bytes>
inline void cp_async(void* shared, const void* global, int source_bytes = bytes,
                     Where where = Where::current()) {
  static_assert(bytes == 4 || bytes == 8 || bytes == 16, "cp.async copies 4, 8 or 16 bytes");
  detail::async_copy(shared, global, bytes, source_bytes, where);
}
inline void cp_async_commit(Where where = Where::current()) {
  detail::async_commit(where);
}
template <int pending>
inline void cp_async_wait(Where where = Where::current()) {
  detail::async_wait(pending, where);
}

}  // namespace fer::simt
