// Elementwise kernels: out[i] = f(in0[i], in1[i], ...). If all pointers are aligned, a thread takes 16 bytes
// at a time, so that a warp moves 512 contiguous bytes with one instruction. Otherwise, and for the
// remainder, it goes element by element. Nothing is reused, so the floor is the bytes: each input is read and
// the output written once.
#pragma once

#include <array>
#include <cstdint>

#include "cuda/op_support.h"
#include "cuda/storage.h"

namespace fer::FER_DEVICE_NAMESPACE {

template <typename S, int inputs>
struct Inputs {
  const S* data[inputs];
};

template <typename T>
struct alignas(16) Packet {
  static constexpr int size = 16 / sizeof(T);
  T v[size];
};

template <typename T, int inputs, typename F>
__device__ __forceinline__ T apply(const F& f, const T (&x)[inputs]) {
  if constexpr (inputs == 1) {
    return f(x[0]);
  } else if constexpr (inputs == 2) {
    return f(x[0], x[1]);
  } else {
    static_assert(inputs == 3);
    return f(x[0], x[1], x[2]);
  }
}

/// Processes `packets` of 16 bytes, then elements packets * Packet<S>::size to n - 1. out may be an input.
template <typename S, int inputs, typename F>
__global__ void pointwise_kernel(F f, Inputs<S, inputs> in, S* out, index_t packets, index_t n) {
  for (index_t i = first_item(); i < packets; i += item_step()) {
    Packet<S> x[inputs], y;
    FER_UNROLL
    for (int k = 0; k < inputs; ++k) x[k] = reinterpret_cast<const Packet<S>*>(in.data[k])[i];
    FER_UNROLL
    for (int j = 0; j < Packet<S>::size; ++j) {
      Wide<S> element[inputs];
      FER_UNROLL
      for (int k = 0; k < inputs; ++k) element[k] = widen(x[k].v[j]);
      y.v[j] = narrow<S>(apply(f, element));
    }
    reinterpret_cast<Packet<S>*>(out)[i] = y;
  }
  for (index_t i = packets * Packet<S>::size + first_item(); i < n; i += item_step()) {
    Wide<S> element[inputs];
    FER_UNROLL
    for (int k = 0; k < inputs; ++k) element[k] = widen(in.data[k][i]);
    out[i] = narrow<S>(apply(f, element));
  }
}

/// out[i] = f(in[0][i], ...) for i in [0, n).
template <typename S, int inputs, typename F>
void pointwise(F f, const std::array<const S*, inputs>& in, S* out, index_t n, gpu::Stream stream) {
  if (n == 0) return;
  Inputs<S, inputs> pointers;
  bool aligned = reinterpret_cast<std::uintptr_t>(out) % 16 == 0;
  for (std::size_t k = 0; k < in.size(); ++k) {
    pointers.data[k] = in[k];
    aligned = aligned && reinterpret_cast<std::uintptr_t>(in[k]) % 16 == 0;
  }
  constexpr int threads = 256;
  const index_t packets = aligned ? n / Packet<S>::size : 0;
  gpu::launch(pointwise_kernel<S, inputs, F>, blocks_for(aligned ? ceil_div(n, Packet<S>::size) : n, threads),
              threads, 0, stream, f, pointers, out, packets, n);
}

}  // namespace fer::FER_DEVICE_NAMESPACE
