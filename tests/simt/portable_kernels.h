// Kernels that are compiled three times: by nvcc (portable.cu), for the executor (tests/simt) and for its
// checker (tests/simt_race). They use every part of fer/simt/gpu.h on ragged sizes.
#pragma once

#include "fer/simt/gpu.h"

namespace fer::FER_DEVICE_NAMESPACE {

/// y = softmax of each row, one block per row. One pass for the maximum, one for the sum, one to write.
template <typename T>
__global__ void portable_softmax(const T* __restrict__ x, T* __restrict__ y, int columns) {
  x += static_cast<long long>(blockIdx.x) * columns;
  y += static_cast<long long>(blockIdx.x) * columns;
  const int first = static_cast<int>(threadIdx.x), step = static_cast<int>(blockDim.x);
  T largest = gpu::lowest<T>();
  for (int i = first; i < columns; i += step) largest = gpu::max(largest, x[i]);
  largest = block_max(largest);
  T sum = 0;
  for (int i = first; i < columns; i += step) sum += gpu::exp(x[i] - largest);
  sum = block_sum(sum);
  for (int i = first; i < columns; i += step) y[i] = gpu::exp(x[i] - largest) / sum;
}

/// c (m x n) = a (m x k) b (k x n), bf16 operands, float sums. A block of 4 warps computes a 32 x 32 tile,
/// each warp 16 x 16 of it. k advances in steps of 16 through two buffers filled by cp.async. k and n are
/// multiples of 8, so that a 16-byte copy is entirely inside or outside; rows beyond m and columns beyond n
/// become zero.
__global__ void portable_matmul(const bf16* __restrict__ a, const bf16* __restrict__ b, float* __restrict__ c,
                                int m, int n, int k) {
  constexpr int tile = 32, depth = 16, pad = 8;
  FER_SHARED(bf16, as, [2][tile][depth + pad]);
  FER_SHARED(bf16, bs, [2][depth][tile + pad]);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int row0 = static_cast<int>(blockIdx.y) * tile, column0 = static_cast<int>(blockIdx.x) * tile;

  const auto load = [&](int stage, int k0) {
    if (thread < 64) {  // a: 32 rows of 2 pieces
      const int row = thread / 2, at = thread % 2 * 8;
      const bool inside = row0 + row < m && k0 + at < k;
      cp_async<16>(&as[stage][row][at], inside ? a + (row0 + row) * k + k0 + at : a, inside ? 16 : 0);
    } else {  // b: 16 rows of 4 pieces
      const int row = (thread - 64) / 4, at = thread % 4 * 8;
      const bool inside = k0 + row < k && column0 + at < n;
      cp_async<16>(&bs[stage][row][at], inside ? b + (k0 + row) * n + column0 + at : b, inside ? 16 : 0);
    }
  };

  const int warp_row = warp / 2 * 16, warp_column = warp % 2 * 16;
  float sums[2][4] = {};
  const int steps = ceil_div(k, depth);
  load(0, 0);
  cp_async_commit();
  for (int step = 0; step < steps; ++step) {
    if (step + 1 < steps) load((step + 1) % 2, (step + 1) * depth);
    cp_async_commit();
    cp_async_wait<1>();
    __syncthreads();
    const int stage = step % 2;
    std::uint32_t fa[4];
    ldmatrix_x4(fa, &as[stage][warp_row + lane % 16][lane / 16 * 8]);
    FER_UNROLL
    for (int half = 0; half < 2; ++half) {
      std::uint32_t fb[2];
      ldmatrix_x2_trans(fb, &bs[stage][lane % 16][warp_column + half * 8]);
      mma_m16n8k16_bf16(sums[half], fa, fb, sums[half]);
    }
    __syncthreads();
  }
  FER_UNROLL
  for (int half = 0; half < 2; ++half) {
    FER_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int row = row0 + warp_row + lane / 4 + i / 2 * 8;
      const int column = column0 + warp_column + half * 8 + lane % 4 * 2 + i % 2;
      if (row < m && column < n) c[row * n + column] = sums[half][i];
    }
  }
}

/// y = transpose of x (rows x columns), through a dynamic tile of 32 x 33 floats; blocks of 32 x 8 threads.
__global__ void portable_transpose(const float* __restrict__ x, float* __restrict__ y, int rows,
                                   int columns) {
  FER_DYNAMIC_SHARED(float, tile);
  const int tx = static_cast<int>(threadIdx.x), ty = static_cast<int>(threadIdx.y);
  const int row0 = static_cast<int>(blockIdx.y) * 32, column0 = static_cast<int>(blockIdx.x) * 32;
  for (int i = ty; i < 32; i += 8) {
    if (row0 + i < rows && column0 + tx < columns) tile[i * 33 + tx] = x[(row0 + i) * columns + column0 + tx];
  }
  __syncthreads();
  for (int i = ty; i < 32; i += 8) {
    if (column0 + i < columns && row0 + tx < rows) y[(column0 + i) * rows + row0 + tx] = tile[tx * 33 + i];
  }
}

/// counts[v] += the number of times v occurs in x; all values are below 32.
__global__ void portable_histogram(const unsigned char* __restrict__ x, int* counts, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int value = i < n ? __ldg(x + i) : -1;
  for (int v = 0; v < 32; ++v) {
    const unsigned votes = __ballot_sync(full_warp, value == v);
    if (lane_id() == v && votes != 0) atomicAdd(counts + v, __popc(votes));
  }
}

/// y = alpha x + y, four elements at a time; n is a multiple of 4.
__global__ void portable_axpy(float alpha, const float4* __restrict__ x, float4* __restrict__ y, int n4) {
  for (int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); i < n4;
       i += static_cast<int>(gridDim.x * blockDim.x)) {
    const float4 u = x[i], v = y[i];
    y[i] = make_float4(gpu::fma(alpha, u.x, v.x), gpu::fma(alpha, u.y, v.y), gpu::fma(alpha, u.z, v.z),
                       gpu::fma(alpha, u.w, v.w));
  }
}

// --- launches, from host code that is the same for both targets ------------------------------------------

template <typename T>
void launch_portable_softmax(const T* x, T* y, int rows, int columns, gpu::Stream stream) {
  gpu::launch(portable_softmax<T>, rows, 128, 0, stream, x, y, columns);
}
inline void launch_portable_matmul(const bf16* a, const bf16* b, float* c, int m, int n, int k,
                                   gpu::Stream stream) {
  gpu::launch(portable_matmul,
              dim3(static_cast<unsigned>(ceil_div(n, 32)), static_cast<unsigned>(ceil_div(m, 32))), 128, 0,
              stream, a, b, c, m, n, k);
}
inline void launch_portable_transpose(const float* x, float* y, int rows, int columns, gpu::Stream stream) {
  gpu::launch(portable_transpose,
              dim3(static_cast<unsigned>(ceil_div(columns, 32)), static_cast<unsigned>(ceil_div(rows, 32))),
              dim3(32, 8), 32 * 33 * sizeof(float), stream, x, y, rows, columns);
}
inline void launch_portable_histogram(const unsigned char* x, int* counts, int n, gpu::Stream stream) {
  gpu::launch(portable_histogram, ceil_div(n, 96), 96, 0, stream, x, counts, n);
}
inline void launch_portable_axpy(float alpha, const float* x, float* y, int n, gpu::Stream stream) {
  gpu::launch(portable_axpy, 2, 64, 0, stream, alpha, reinterpret_cast<const float4*>(x),
              reinterpret_cast<float4*>(y), n / 4);
}

}  // namespace fer::FER_DEVICE_NAMESPACE
