// Counter-based dropout: element i is kept, and scaled by 1 / (1 - p), iff unit_float(philox_word(key, first +
// i)) >= p. The mask needs no memory and is the same on every device. Backward is the same kernel.
//
// A Philox block gives four consecutive words, so a thread takes the four elements of a block at a time: one
// or two loads of up to 16 bytes, neighbours in neighbouring threads. Unaligned memory, a `first` within a
// block, and the end of the tensor go element by element. By sample, number first + n decides about all of
// x[n]: a block has a part of one sample, and each of its threads draws that number once.
// Floor: the bytes, 8 per element in float. The ten rounds are about 25 integer operations per element, which
// take a GPU half of that time.
#include <algorithm>
#include <cmath>

#include "cuda/device_backend.h"
#include "cuda/op_support.h"
#include "cuda/storage.h"

namespace fer::FER_DEVICE_NAMESPACE {
namespace {

constexpr int threads = 256;
constexpr int words = 4;  // of a Philox block

template <typename S>
using Quad = Pack<S, words>;

/// unit_float(word) >= p in integers: (word >> 8) >= p 2^24.
template <typename S>
__device__ __forceinline__ S kept(S x, std::uint32_t word, std::uint32_t threshold, Wide<S> scale) {
  return narrow<S>((word >> 8) >= threshold ? widen(x) * scale : Wide<S>(0));
}

/// first: the word of x[0]. aligned: x, y and `first` begin where a Quad does.
template <typename S>
__global__ void dropout_kernel(const S* x, index_t n, index_t first, std::uint32_t threshold, Wide<S> scale,
                               RandomKey key, const std::uint64_t* advance, bool aligned, S* y) {
  if (advance != nullptr) key.index += *advance;  // a captured step is replayed as a different step
  const index_t first_block = first / words, skipped = first % words;
  for (index_t block = first_item(); block * words < skipped + n; block += item_step()) {
    const PhiloxBlock random = philox(key, static_cast<std::uint64_t>(first_block + block));
    const index_t at = block * words - skipped;
    if (aligned && at + words <= n) {
      Quad<S> quad = reinterpret_cast<const Quad<S>*>(x)[block];
      FER_UNROLL
      for (int j = 0; j < words; ++j) quad.v[j] = kept(quad.v[j], random.v[j], threshold, scale);
      reinterpret_cast<Quad<S>*>(y)[block] = quad;
    } else {
      FER_UNROLL
      for (int j = 0; j < words; ++j) {
        const index_t i = at + j;
        if (i >= 0 && i < n) y[i] = kept(x[i], random.v[j], threshold, scale);
      }
    }
  }
}

/// `parts` blocks share a sample of `size` elements.
template <typename S>
__global__ void dropout_sample_kernel(const S* x, index_t size, unsigned parts, index_t first,
                                      std::uint32_t threshold, Wide<S> scale, RandomKey key,
                                      const std::uint64_t* advance, S* y) {
  if (advance != nullptr) key.index += *advance;
  const unsigned sample = blockIdx.x / parts, part = blockIdx.x - sample * parts;
  const std::uint32_t word = philox_word(key, static_cast<std::uint64_t>(first + sample));
  x += sample * size;
  y += sample * size;
  for (index_t i = index_t{part} * blockDim.x + threadIdx.x; i < size; i += index_t{parts} * blockDim.x) {
    y[i] = kept(x[i], word, threshold, scale);
  }
}

}  // namespace

void DeviceBackend::dropout(const Tensor& x, double p, const RandomKey& key, std::int64_t first,
                            DropoutMask mask, Tensor& y) {
  require<ConfigError>(p >= 0 && p <= 1, "[dropout] the rate must be in [0, 1], got ", p);
  require_size("dropout", "y", y, x.numel());
  if (x.numel() == 0) return;
  const auto threshold = static_cast<std::uint32_t>(std::ceil(p * 0x1p24));
  dispatch_stored(x.dtype(), "dropout", [&]<typename S>() {
    const S* in = stored<S>(x);
    S* out = mutable_stored<S>(y);
    const Wide<S> scale = p < 1 ? static_cast<Wide<S>>(1 / (1 - p)) : Wide<S>(0);
    if (mask == DropoutMask::sample) {
      const index_t size = x.numel() / x.dim(0);
      const auto parts = static_cast<unsigned>(std::min<index_t>(ceil_div(size, threads * words), 1024));
      gpu::launch(dropout_sample_kernel<S>, static_cast<unsigned>(x.dim(0)) * parts, threads, 0, stream_, in,
                  size, parts, first, threshold, scale, key, runtime_.advance(), out);
      return;
    }
    const bool aligned =
        first % words == 0 &&
        (reinterpret_cast<std::uintptr_t>(in) | reinterpret_cast<std::uintptr_t>(out)) % sizeof(Quad<S>) == 0;
    gpu::launch(dropout_kernel<S>, blocks_for(first % words + x.numel(), threads * words), threads, 0,
                stream_, in, x.numel(), first, threshold, scale, key, runtime_.advance(), aligned, out);
  });
}

}  // namespace fer::FER_DEVICE_NAMESPACE
