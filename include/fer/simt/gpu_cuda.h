// The nvcc side of gpu.h: shared memory macros, tensor-core and asynchronous copy instructions as PTX, maths
// functions with one name for float and double, launch and runtime calls that throw DeviceError.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>

#include "fer/error.h"
#include "fer/simt/launch_limits.h"

/// FER_SHARED(type, name, extents): a static shared array, 16-byte aligned; extents may be empty.
#define FER_SHARED(type, name, ...) alignas(16) __shared__ type name __VA_ARGS__
/// FER_DYNAMIC_SHARED(type, name): `type* name`, the block's dynamic shared memory, 16-byte aligned.
#define FER_DYNAMIC_SHARED(type, name)                                \
  extern __shared__ __align__(16) unsigned char fer_dynamic_shared[]; \
  type* const name = reinterpret_cast<type*>(fer_dynamic_shared)
#define FER_UNROLL _Pragma("unroll")
// The source location of a helper's caller; used only on the executor.
#define FER_WHERE_PARAM
#define FER_WHERE_PASS
#define FER_WHERE_OF(grid)
#define FER_SYNCTHREADS_AT __syncthreads()
#define FER_SIMT_INSTRUMENTED 0  // nothing reports to the executor's checker

namespace fer::cuda {

using bf16 = __nv_bfloat16;
__host__ __device__ __forceinline__ float to_float(bf16 x) {
  return __bfloat162float(x);
}
__host__ __device__ __forceinline__ float to_float(float x) {
  return x;
}
/// Rounds to nearest even.
__host__ __device__ __forceinline__ bf16 to_bf16(float x) {
  return __float2bfloat16_rn(x);
}
/// Two bf16 in one register, `low` in the lower half: the order of columns in mma fragments.
__device__ __forceinline__ std::uint32_t pack_bf16(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const std::uint32_t*>(&pair);
}
/// float to tf32 (10 bits of mantissa), rounding to nearest.
__device__ __forceinline__ std::uint32_t to_tf32(float x) {
  std::uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits;
}

/// d = a b + c for one warp: a 16 x 8 (row), b 8 x 8 (column), c and d 16 x 8 floats; PTX fragment layout:
/// with g = lane / 4, t = lane % 4: a = (g,t) (g+8,t) (g,t+4) (g+8,t+4); b = (k=t,n=g) (k=t+4,n=g);
/// c, d = (g,2t) (g,2t+1) (g+8,2t) (g+8,2t+1). d may be c.
__device__ __forceinline__ void mma_m16n8k8_tf32(float (&d)[4], const std::uint32_t (&a)[4],
                                                 const std::uint32_t (&b)[2], const float (&c)[4]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%10,%11,%12,%13};"
      : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c[0]), "f"(c[1]), "f"(c[2]),
        "f"(c[3]));
}

/// The same with bf16 operands, two per register: a 16 x 16, b 16 x 8. With g and t as above: a = (g,2t..)
/// (g+8,2t..) (g,2t+8..) (g+8,2t+8..); b = (k=2t..,n=g) (k=2t+8..,n=g).
__device__ __forceinline__ void mma_m16n8k16_bf16(float (&d)[4], const std::uint32_t (&a)[4],
                                                  const std::uint32_t (&b)[2], const float (&c)[4]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%10,%11,%12,%13};"
      : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c[0]), "f"(c[1]), "f"(c[2]),
        "f"(c[3]));
}

/// ldmatrix: loads N matrices of 8 x 8 16-bit elements from shared memory. Lane 8 i + j passes the address of
/// row j of matrix i (16-byte aligned). Each lane receives in r[i], of matrix i, row lane / 4, columns
/// 2 (lane % 4) and 2 (lane % 4) + 1. The _trans forms deliver the transposed matrices.
__device__ __forceinline__ void ldmatrix_x1(std::uint32_t (&r)[1], const void* row) {
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];" : "=r"(r[0]) : "r"(address) : "memory");
}
__device__ __forceinline__ void ldmatrix_x1_trans(std::uint32_t (&r)[1], const void* row) {
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];"
               : "=r"(r[0])
               : "r"(address)
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x2(std::uint32_t (&r)[2], const void* row) {
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(address)
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x2_trans(std::uint32_t (&r)[2], const void* row) {
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(address)
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x4(std::uint32_t (&r)[4], const void* row) {
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x4_trans(std::uint32_t (&r)[4], const void* row) {
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

/// Starts copying `bytes` (4, 8 or 16; both addresses aligned to that) from global to shared memory. Only the
/// first `source_bytes` are read (0: none); the rest of the destination becomes zero.
template <int bytes>
__device__ __forceinline__ void cp_async(void* shared, const void* global, int source_bytes = bytes) {
  static_assert(bytes == 4 || bytes == 8 || bytes == 16, "cp.async copies 4, 8 or 16 bytes");
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
  if constexpr (bytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(global),
                 "r"(source_bytes)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(address), "l"(global), "n"(bytes),
                 "r"(source_bytes)
                 : "memory");
  }
}
/// Closes a group: the copies that this thread has started since its last commit.
__device__ __forceinline__ void cp_async_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
/// Waits until at most the latest `pending` groups of this thread are still in flight. Other threads' copies
/// become visible with a __syncthreads after their wait.
template <int pending>
__device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

namespace gpu {

// --- maths functions, one name for float and double --------------------------------------------------
__device__ __forceinline__ float exp(float x) {
  return ::expf(x);
}
__device__ __forceinline__ double exp(double x) {
  return ::exp(x);
}
__device__ __forceinline__ float exp2(float x) {
  return ::exp2f(x);
}
__device__ __forceinline__ double exp2(double x) {
  return ::exp2(x);
}
__device__ __forceinline__ float log(float x) {
  return ::logf(x);
}
__device__ __forceinline__ double log(double x) {
  return ::log(x);
}
__device__ __forceinline__ float sqrt(float x) {
  return ::sqrtf(x);
}
__device__ __forceinline__ double sqrt(double x) {
  return ::sqrt(x);
}
__device__ __forceinline__ float rsqrt(float x) {
  return 1.0f / ::sqrtf(x);
}  // rsqrtf is off by up to 2 ulp
__device__ __forceinline__ double rsqrt(double x) {
  return 1.0 / ::sqrt(x);
}
__device__ __forceinline__ float tanh(float x) {
  return ::tanhf(x);
}
__device__ __forceinline__ double tanh(double x) {
  return ::tanh(x);
}
__device__ __forceinline__ float erf(float x) {
  return ::erff(x);
}
__device__ __forceinline__ double erf(double x) {
  return ::erf(x);
}
__device__ __forceinline__ float pow(float x, float y) {
  return ::powf(x, y);
}
__device__ __forceinline__ double pow(double x, double y) {
  return ::pow(x, y);
}
__device__ __forceinline__ float floor(float x) {
  return ::floorf(x);
}
__device__ __forceinline__ double floor(double x) {
  return ::floor(x);
}
__device__ __forceinline__ float abs(float x) {
  return ::fabsf(x);
}
__device__ __forceinline__ double abs(double x) {
  return ::fabs(x);
}
__device__ __forceinline__ float fma(float x, float y, float z) {
  return ::fmaf(x, y, z);
}
__device__ __forceinline__ double fma(double x, double y, double z) {
  return ::fma(x, y, z);
}
__device__ __forceinline__ float mul_rn(float x, float y) {
  return __fmul_rn(x, y);
}
__device__ __forceinline__ double mul_rn(double x, double y) {
  return __dmul_rn(x, y);
}
template <typename T>
__host__ __device__ __forceinline__ T max(T a, T b) {
  return a > b ? a : b;
}
template <typename T>
__host__ __device__ __forceinline__ T min(T a, T b) {
  return a < b ? a : b;
}
template <typename T>
__host__ __device__ __forceinline__ constexpr T infinity() {
  return static_cast<T>(__builtin_huge_val());
}
/// The identity of max(): minus infinity, or the smallest integer.
template <typename T>
__host__ __device__ __forceinline__ constexpr T lowest() {
  if constexpr (std::is_floating_point_v<T>) {
    return -infinity<T>();
  } else if constexpr (std::is_signed_v<T>) {
    return static_cast<T>(T(1) << (sizeof(T) * 8 - 1));
  } else {
    return T(0);
  }
}

// --- runtime calls, documented in gpu_simt.h ------------------------------------------------------------
using Stream = cudaStream_t;
using Event = cudaEvent_t;
using Graph = cudaGraphExec_t;
using Grid = dim3;

/// DeviceError, naming the call, if it failed.
inline void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  (void)cudaGetLastError();  // clears it, so that cuBLAS and cuDNN do not report it as theirs later
  throw DeviceError(
      concat("[cuda] ", call, ": ", cudaGetErrorString(status), " (", cudaGetErrorName(status), ")"));
}

enum class CopyKind { host_to_device, device_to_host, device_to_device };

struct DeviceInfo {
  std::string name;
  int major = 0, minor = 0;
  int multiprocessors = 0;
  std::size_t memory = 0;
  std::size_t shared_limit = 0;
};

inline int device_count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}
inline void set_device(int index) {
  check(cudaSetDevice(index), "cudaSetDevice");
}
inline DeviceInfo device_info(int index) {
  cudaDeviceProp p;
  check(cudaGetDeviceProperties(&p, index), "cudaGetDeviceProperties");
  return {p.name, p.major, p.minor, p.multiProcessorCount, p.totalGlobalMem, p.sharedMemPerBlockOptin};
}
inline std::size_t shared_limit() {
  int device = 0, bytes = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
        "cudaDeviceGetAttribute(MaxSharedMemoryPerBlockOptin)");
  return static_cast<std::size_t>(bytes);
}

inline void* malloc(std::size_t bytes) {
  void* data = nullptr;
  if (bytes == 0) return data;
  const cudaError_t status = cudaMalloc(&data, bytes);
  if (status == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();  // clears it, so that later calls do not report it again
    std::size_t free_bytes = 0, total = 0;
    (void)cudaMemGetInfo(&free_bytes, &total);
    throw DeviceError(concat("[cuda] out of memory: ", bytes, " bytes asked for, ", free_bytes, " of ", total,
                             " free; use a smaller batch or image"));
  }
  check(status, "cudaMalloc");
  return data;
}
inline void free(void* data) noexcept {
  (void)cudaFree(data);
}
inline void* malloc_host(std::size_t bytes) {
  void* data = nullptr;
  if (bytes != 0) check(cudaMallocHost(&data, bytes), "cudaMallocHost");
  return data;
}
inline void free_host(void* data) noexcept {
  (void)cudaFreeHost(data);
}
inline void memory_info(std::size_t& free_bytes, std::size_t& total) {
  check(cudaMemGetInfo(&free_bytes, &total), "cudaMemGetInfo");
}

inline void memcpy_async(void* to, const void* from, std::size_t bytes, CopyKind kind, Stream stream) {
  const cudaMemcpyKind kinds[] = {cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice};
  if (bytes != 0) {
    check(cudaMemcpyAsync(to, from, bytes, kinds[static_cast<int>(kind)], stream), "cudaMemcpyAsync");
  }
}
inline void memset_async(void* data, int byte, std::size_t bytes, Stream stream) {
  if (bytes != 0) check(cudaMemsetAsync(data, byte, bytes, stream), "cudaMemsetAsync");
}

inline Stream stream_create() {
  Stream stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  return stream;
}
inline void stream_destroy(Stream stream) noexcept {
  (void)cudaStreamDestroy(stream);
}
inline void stream_synchronize(Stream stream) {
  check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
}
inline void device_synchronize() {
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
}

inline Event event_create() {
  Event event = nullptr;
  check(cudaEventCreate(&event), "cudaEventCreate");
  return event;
}
inline void event_destroy(Event event) noexcept {
  (void)cudaEventDestroy(event);
}
inline void event_record(Event event, Stream stream) {
  check(cudaEventRecord(event, stream), "cudaEventRecord");
}
inline void event_synchronize(Event event) {
  check(cudaEventSynchronize(event), "cudaEventSynchronize");
}
inline bool event_reached(Event event) {
  const cudaError_t status = cudaEventQuery(event);
  if (status == cudaErrorNotReady) return false;
  check(status, "cudaEventQuery");
  return true;
}
inline void stream_wait(Stream stream, Event event) {
  check(cudaStreamWaitEvent(stream, event, 0), "cudaStreamWaitEvent");
}
inline float event_elapsed_ms(Event start, Event stop) {
  float ms = 0;
  check(cudaEventElapsedTime(&ms, start, stop), "cudaEventElapsedTime");
  return ms;
}

inline void capture_begin(Stream stream) {
  // Relaxed: device memory may be allocated during capture.
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), "cudaStreamBeginCapture");
}
inline Graph capture_end(Stream stream, std::size_t& operations) {
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
  Graph executable = nullptr;
  cudaError_t status = cudaGraphGetNodes(graph, nullptr, &operations);
  if (status == cudaSuccess) status = cudaGraphInstantiate(&executable, graph, 0);
  (void)cudaGraphDestroy(graph);
  check(status, "cudaGraphInstantiate");
  return executable;
}
inline void capture_abandon(Stream stream) noexcept {
  cudaGraph_t graph = nullptr;
  if (cudaStreamEndCapture(stream, &graph) == cudaSuccess && graph != nullptr) (void)cudaGraphDestroy(graph);
  (void)cudaGetLastError();  // clears it: the caller already knows why it abandons the capture
}
inline void graph_launch(Graph graph, Stream stream) {
  check(cudaGraphLaunch(graph, stream), "cudaGraphLaunch");
}
inline void graph_destroy(Graph graph) noexcept {
  (void)cudaGraphExecDestroy(graph);
}

/// Counts and times launches for FER_CUDA_KERNEL_LOG (src/cuda/launch_log.cu). Waits for every launch.
class LaunchLog {
 public:
  virtual ~LaunchLog() = default;
  virtual void begin(Stream stream) = 0;
  virtual void end(const void* kernel, Stream stream) = 0;
};
extern LaunchLog* launch_log;  ///< nullptr: no log

template <typename... Parameters>
void allow_dynamic_shared(void (*kernel)(Parameters...), std::size_t bytes) {
  const cudaError_t status =
      cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                           static_cast<int>(bytes));
  if (status == cudaErrorInvalidValue) {
    (void)cudaGetLastError();
    throw DeviceError(
        concat("[cuda] a kernel needs ", bytes, " bytes of shared memory a block, more than this GPU has"));
  }
  check(status, "cudaFuncSetAttribute(MaxDynamicSharedMemorySize)");
}

template <bool = false, typename... Parameters, typename... Arguments>
void launch_as_is(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes,
                  Stream stream, Arguments&&... arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments), "launch: wrong number of kernel arguments");
  static_assert(launch_limits::argument_bytes<Parameters...>() <= launch_limits::arguments,
                "launch: over 4 KiB of kernel arguments");
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  if (launch_log != nullptr) launch_log->begin(stream);
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(std::forward<Arguments>(arguments))...),
        "cudaLaunchKernelEx");
  if (launch_log != nullptr) launch_log->end(reinterpret_cast<const void*>(kernel), stream);
}

}  // namespace gpu
}  // namespace fer::cuda
