#include "fer/tensor/random.h"

#include <cmath>
#include <numbers>

#include "fer/error.h"

namespace fer {

std::uint32_t Random::bits() {
  if (next_ % 4 == 0) block_ = philox(key_, next_ / 4);
  return block_.v[next_++ % 4];
}

double Random::uniform() {
  const std::uint64_t high = bits(), low = bits();
  return static_cast<double>(((high << 32) | low) >> 11) * 0x1p-53;
}

double Random::uniform(double low, double high) {
  return low + (high - low) * uniform();
}

double Random::normal() {
  // Box-Muller; 1 - u keeps the logarithm finite.
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

std::uint64_t Random::below(std::uint64_t n) {
  require<ConfigError>(n > 0, "Random::below: n must be positive");
  const std::uint64_t limit = UINT64_MAX - UINT64_MAX % n;  // a multiple of n, so that the rest is unbiased
  for (;;) {
    const std::uint64_t high = bits();
    const std::uint64_t value = (high << 32) | bits();
    if (value < limit) return value % n;
  }
}

namespace {
struct SeedAndStep {
  std::uint64_t seed = 0, step = 0;
};
thread_local SeedAndStep current;
}  // namespace

RandomScope::RandomScope(std::uint64_t seed, std::uint64_t step) : seed_(current.seed), step_(current.step) {
  current = {seed, step};
}

RandomScope::~RandomScope() {
  current = {seed_, step_};
}

RandomKey RandomScope::key(std::uint64_t purpose) {
  return {current.seed, purpose, current.step};
}

}  // namespace fer
