// Counter-based random numbers (Philox4x32-10, Salmon et al. 2011): a value depends only on the key and the
// index, never on the device, the number of threads or what was drawn before.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#ifdef __CUDACC__
#define FER_HOST_DEVICE __host__ __device__
#else
#define FER_HOST_DEVICE
#endif

namespace fer {

/// 64-bit FNV-1a hash of a name: turns purposes ("augment.flip") and parameter names into keys.
constexpr std::uint64_t fnv1a64(std::string_view text) {
  std::uint64_t hash = 0xCBF29CE484222325ull;
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ull;
  return hash;
}

/// Identifies one random sequence: the run's seed, its purpose, and the step, epoch or sample.
struct RandomKey {
  std::uint64_t seed = 0;
  std::uint64_t purpose = 0;  ///< fnv1a64 of a name
  std::uint64_t index = 0;
};

struct PhiloxBlock {
  std::uint32_t v[4];
};

/// Block number `block` (four 32-bit words) of the sequence `key`.
FER_HOST_DEVICE inline PhiloxBlock philox(const RandomKey& key, std::uint64_t block) {
  // seed and purpose are folded into the 64-bit Philox key; index and block number are its counter.
  std::uint64_t mixed = key.seed * 0x9E3779B97F4A7C15ull ^ key.purpose;
  mixed = (mixed ^ (mixed >> 29)) * 0xBF58476D1CE4E5B9ull;
  mixed ^= mixed >> 32;
  std::uint32_t k0 = static_cast<std::uint32_t>(mixed), k1 = static_cast<std::uint32_t>(mixed >> 32);
  std::uint32_t c0 = static_cast<std::uint32_t>(block), c1 = static_cast<std::uint32_t>(block >> 32);
  std::uint32_t c2 = static_cast<std::uint32_t>(key.index), c3 = static_cast<std::uint32_t>(key.index >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = 0xD2511F53ull * c0, p1 = 0xCD9E8D57ull * c2;
    const std::uint32_t n0 = static_cast<std::uint32_t>(p1 >> 32) ^ c1 ^ k0;
    const std::uint32_t n2 = static_cast<std::uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<std::uint32_t>(p1);
    c3 = static_cast<std::uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

/// Word number `i` of the sequence.
FER_HOST_DEVICE inline std::uint32_t philox_word(const RandomKey& key, std::uint64_t i) {
  return philox(key, i >> 2).v[i & 3];
}

/// Uniform in [0, 1) with 24 random bits, exact in float32.
FER_HOST_DEVICE inline float unit_float(std::uint32_t word) {
  return static_cast<float>(word >> 8) * 0x1p-24f;
}

/// Reads a sequence number by number, for host code: Random rng({seed, fnv1a64("shuffle"), epoch}).
class Random {
 public:
  explicit Random(const RandomKey& key) : key_(key) {}

  std::uint32_t bits();
  double uniform();                         ///< [0, 1), 53 bits
  double uniform(double low, double high);  ///< [low, high)
  double normal();                          ///< mean 0, deviation 1
  std::uint64_t below(std::uint64_t n);     ///< 0 .. n-1 without bias; n > 0

 private:
  RandomKey key_;
  std::uint64_t next_ = 0;
  PhiloxBlock block_{};
};

/// Restarts this thread's random numbers (initial weights, dropout masks) with `seed`, as at the start of a
/// program. The default seed is 0.
void manual_seed(std::uint64_t seed);

/// The key of a parameter's initial value: different at each call; manual_seed() restarts the series of keys.
RandomKey initial_value_key(std::uint64_t purpose);

/// While alive, dropout and other random layers of this thread draw with this seed and step. Outside of any
/// scope, each call draws different numbers, which depend on the seed of manual_seed() and on the number of
/// optimizer steps done in this thread.
class RandomScope {
 public:
  RandomScope(std::uint64_t seed, std::uint64_t step);
  ~RandomScope();
  RandomScope(const RandomScope&) = delete;
  RandomScope& operator=(const RandomScope&) = delete;

  /// The key for `purpose` in the innermost scope of this thread; outside of any scope, a different key at
  /// each call.
  static RandomKey key(std::uint64_t purpose);
  /// For optimizers: one step is done, or (when resuming) `steps` steps are done. Outside of scopes, later
  /// draws belong to the next step: they depend on the number of steps, not on earlier draws.
  static void finish_step();
  static void set_steps(std::uint64_t steps);

 private:
  RandomKey outer_;
  bool inside_;
};

}  // namespace fer
