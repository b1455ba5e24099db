// One CUDA source for two targets. A kernel file includes this header; nvcc then compiles it for a GPU, and
// the host compiler for the executor that runs kernels on the CPU (docs/kernels/simt.md).
//
// A kernel file looks like this:
//
//   #include "fer/simt/gpu.h"
//   namespace fer::FER_DEVICE_NAMESPACE {              // fer::cuda or fer::simt; a binary can contain both
//   __global__ void scale(const float* x, float alpha, float* y, int n) {
//     const int i = blockIdx.x * blockDim.x + threadIdx.x;
//     if (i < n) y[i] = alpha * x[i];
//   }
//   ...  gpu::launch(scale, ceil_div(n, 256), 256, 0, stream, x, alpha, y, n);
//   }
//
// Differences from plain CUDA, because both compilers must accept the same text:
//   shared memory    FER_SHARED(float, tile, [32][33]);   instead of  __shared__ float tile[32][33];
//                    FER_DYNAMIC_SHARED(float, buffer);   instead of  extern __shared__ float buffer[];
//   launch           gpu::launch(kernel, grid, block, shared_bytes, stream, args...)  instead of <<<>>>
//   runtime          gpu::malloc, gpu::memcpy_async, ...  instead of cudaMalloc, cudaMemcpyAsync, ...
//   tensor cores     mma_m16n8k8_tf32, mma_m16n8k16_bf16, ldmatrix_x4, cp_async<16>   instead of inline PTX
//   maths            gpu::exp(x), gpu::max(a, b), ... : one name for float and double
//   which target     #if FER_GPU_SIMT (1 on the executor, 0 under nvcc), never __CUDA_ARCH__
// Everything else (threadIdx, float4, __syncthreads, __shfl_xor_sync, __ldg, ...) keeps CUDA's name.
#pragma once

#if defined(__CUDACC__)
#define FER_GPU_SIMT 0
#define FER_DEVICE_NAMESPACE cuda
#include "fer/simt/gpu_cuda.h"
#else
#define FER_GPU_SIMT 1
#define FER_DEVICE_NAMESPACE simt
#include "fer/simt/gpu_simt.h"
#endif

#include "fer/simt/gpu_common.h"
