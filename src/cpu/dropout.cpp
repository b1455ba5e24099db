// Counter-based dropout: element i is kept iff unit_float(philox_word(key, i)) >= p, so the mask needs no
// memory and is the same on every device and for any number of threads. Backward is the same function. By
// sample, number n decides about all of x[n].
//
// A Philox block gives four consecutive words. The blocks of a vector are computed side by side, with one
// 32-bit word in each 64-bit lane, so that the 32 x 32 -> 64 bit product of Philox is one instruction.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/dropout.cpp"
#include "cpu/simd.h"
// simd.h must come first
#include "fer/tensor/random.h"

#ifndef FER_CPU_DROPOUT_ONCE
#define FER_CPU_DROPOUT_ONCE
namespace fer::detail {
/// Elements drawn at once. Their words fit in the first-level cache and fill whole vectors of blocks.
inline constexpr std::int64_t kDropoutChunk = 1024;

template <typename T>
struct DropoutKernels {
  /// y[i] = x[i] * scale if the top 24 bits of word number first + i reach the threshold, else 0, for i < n.
  void (*drop)(const T* x, std::uint64_t first, std::int64_t n, std::uint32_t threshold, T scale,
               const RandomKey& key, T* y);
};
}  // namespace fer::detail
#endif

HWY_BEFORE_NAMESPACE();
namespace fer::HWY_NAMESPACE {
namespace {
using namespace fer::detail;
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

/// words[0 .. kDropoutChunk): the words of blocks first_block, first_block + 1, ...
void draw_words(const RandomKey& key, std::uint64_t first_block, std::uint32_t* words) {
  for (std::int64_t b = 0; b < kDropoutChunk / 4; ++b) {
    const PhiloxBlock block = philox(key, first_block + static_cast<std::uint64_t>(b));
    std::copy_n(block.v, 4, words + 4 * b);
  }
}

#else

/// words[0 .. kDropoutChunk): the words of blocks first_block, first_block + 1, ...
void draw_words(const RandomKey& key, std::uint64_t first_block, std::uint32_t* words) {
  const hn::CappedTag<std::uint64_t, kDropoutChunk / 4> d64;
  const hn::Repartition<std::uint32_t, decltype(d64)> d32;
  const std::uint64_t lanes = hn::Lanes(d64);
  // The rounds of fer::philox. The key schedule is the same for all blocks.
  std::uint64_t mixed = key.seed * 0x9E3779B97F4A7C15ull ^ key.purpose;
  mixed = (mixed ^ (mixed >> 29)) * 0xBF58476D1CE4E5B9ull;
  mixed ^= mixed >> 32;
  const auto low_half = hn::Set(d64, 0xFFFFFFFFull);
  const auto multiplier0 = hn::BitCast(d32, hn::Set(d64, 0xD2511F53ull));
  const auto multiplier1 = hn::BitCast(d32, hn::Set(d64, 0xCD9E8D57ull));
  // A round depends on the products of the previous round, so several vectors of blocks are interleaved.
  constexpr int together = 4;
  using V = hn::Vec<decltype(d64)>;
  for (std::int64_t b = 0; b < kDropoutChunk / 4; b += together * lanes) {
    V c0[together], c1[together], c2[together], c3[together];
#pragma GCC unroll 4
    for (int i = 0; i < together; ++i) {
      const auto block = hn::Iota(d64, first_block + b + i * lanes);
      c0[i] = hn::And(block, low_half), c1[i] = hn::ShiftRight<32>(block);
      c2[i] = hn::Set(d64, key.index & 0xFFFFFFFFull), c3[i] = hn::Set(d64, key.index >> 32);
    }
    std::uint32_t k0 = static_cast<std::uint32_t>(mixed), k1 = static_cast<std::uint32_t>(mixed >> 32);
    for (int round = 0; round < 10; ++round) {
#pragma GCC unroll 4
      for (int i = 0; i < together; ++i) {
        const auto p0 = hn::MulEven(hn::BitCast(d32, c0[i]), multiplier0);
        const auto p1 = hn::MulEven(hn::BitCast(d32, c2[i]), multiplier1);
        c0[i] = hn::Xor(hn::Xor(hn::ShiftRight<32>(p1), c1[i]), hn::Set(d64, std::uint64_t{k0}));
        c2[i] = hn::Xor(hn::Xor(hn::ShiftRight<32>(p0), c3[i]), hn::Set(d64, std::uint64_t{k1}));
        c1[i] = hn::And(p1, low_half);
        c3[i] = hn::And(p0, low_half);
      }
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
#pragma GCC unroll 4
    for (int i = 0; i < together; ++i) {
      // Little-endian pairs of words, block by block.
      const auto words01 = hn::Or(c0[i], hn::ShiftLeft<32>(c1[i]));
      const auto words23 = hn::Or(c2[i], hn::ShiftLeft<32>(c3[i]));
      hn::StoreInterleaved2(words01, words23, d64,
                            reinterpret_cast<std::uint64_t*>(words + 4 * (b + i * lanes)));
    }
  }
}

#endif  // HWY_SCALAR

/// The lanes whose words are above `limit` in their top 24 bits.
template <class D>
HWY_INLINE hn::Mask<D> above(D d, const std::uint32_t* words, std::int32_t limit) {
  using T = hn::TFromD<D>;
  const hn::RebindToSigned<D> di;
  const hn::Rebind<std::uint32_t, D> d32;
  const hn::RebindToSigned<decltype(d32)> di32;
  const auto top = hn::BitCast(di32, hn::ShiftRight<8>(hn::LoadU(d32, words)));
  if constexpr (sizeof(T) == 4) {
    return hn::RebindMask(d, hn::Gt(top, hn::Set(di, limit)));
  } else {
    return hn::RebindMask(d, hn::Gt(hn::PromoteTo(di, top), hn::Set(di, std::int64_t{limit})));
  }
}

/// y may be x.
template <typename T>
void drop(const T* x, std::uint64_t first, std::int64_t n, std::uint32_t threshold, T scale,
          const RandomKey& key, T* y) {
  const hn::ScalableTag<T> d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int32_t limit = static_cast<std::int32_t>(threshold) - 1;
  const auto factor = hn::Set(d, scale);
  HWY_ALIGN std::uint32_t drawn[kDropoutChunk];
  for (std::int64_t at = 0; at < n;) {
    const std::uint64_t word = first + static_cast<std::uint64_t>(at);
    draw_words(key, word / 4, drawn);
    const std::uint32_t* words = drawn + word % 4;  // 0 from the second chunk on
    const std::int64_t count = std::min(kDropoutChunk - static_cast<std::int64_t>(word % 4), n - at);
    std::int64_t i = 0;
    for (; i + lanes <= count; i += lanes) {
      const auto kept = hn::Mul(hn::LoadU(d, x + at + i), factor);
      hn::StoreU(hn::IfThenElseZero(above(d, words + i, limit), kept), d, y + at + i);
    }
    for (; i < count; ++i) y[at + i] = (words[i] >> 8) >= threshold ? x[at + i] * scale : T(0);
    at += count;
  }
}

DropoutKernels<float> kernels_f32() {
  return {drop<float>};
}
DropoutKernels<double> kernels_f64() {
  return {drop<double>};
}

}  // namespace
}  // namespace fer::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "cpu/cpu_backend.h"
#include "cpu/parallel.h"

namespace fer {

using namespace detail;
FER_SIMD_EXPORT(DropoutKernels)

namespace {

template <typename T>
void drop_samples(const T* x, std::uint64_t first, std::int64_t samples, std::int64_t size,
                  std::uint32_t threshold, T scale, const RandomKey& key, T* y) {
  parallel_rows(samples, size, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n) {
      const T* in = x + n * size;
      T* out = y + n * size;
      if ((philox_word(key, first + static_cast<std::uint64_t>(n)) >> 8) < threshold) {
        std::fill_n(out, size, T(0));
        continue;
      }
#pragma GCC ivdep
      for (std::int64_t i = 0; i < size; ++i) out[i] = in[i] * scale;  // out may be in
    }
  });
}

}  // namespace

void CpuBackend::dropout(const Tensor& x, double p, const RandomKey& key, std::int64_t first,
                         DropoutMask mask, Tensor& y) {
  require<ConfigError>(p >= 0 && p <= 1, "[dropout] the rate must be in [0, 1], got ", p);
  require_size("dropout", "y", y, x.numel());
  if (x.numel() == 0) return;
  dispatch_floating(x.dtype(), "dropout", [&]<typename T>() {
    // unit_float(word) >= p, in integers: (word >> 8) / 2^24 >= p.
    const std::uint32_t threshold = static_cast<std::uint32_t>(std::ceil(p * 0x1p24));
    const T scale = p < 1 ? static_cast<T>(1 / (1 - p)) : T(0);
    const T* in = x.data<T>();
    T* out = y.mutable_data<T>();
    const auto first_word = static_cast<std::uint64_t>(first);
    if (mask == DropoutMask::sample) {
      return drop_samples(in, first_word, x.dim(0), x.numel() / x.dim(0), threshold, scale, key, out);
    }
    const auto drop = kernels<T>().drop;
    parallel_for(x.numel(), 16 * kDropoutChunk, [&](std::int64_t begin, std::int64_t end) {
      drop(in + begin, first_word + static_cast<std::uint64_t>(begin), end - begin, threshold, scale, key,
           out + begin);
    });
  });
}

}  // namespace fer
#endif  // HWY_ONCE
