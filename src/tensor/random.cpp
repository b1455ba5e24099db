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
  const std::uint64_t limit = UINT64_MAX - UINT64_MAX % n;  // a multiple of n, so the remainder is unbiased
  for (;;) {
    const std::uint64_t high = bits();
    const std::uint64_t value = (high << 32) | bits();
    if (value < limit) return value % n;
  }
}

namespace {

// A thread's state outside of scopes. A key's index is the step, with the number of the draw in the upper
// bits.
struct ThreadRandom {
  std::uint64_t seed = 0, step = 0, draws = 0, initial_values = 0;
};
constexpr int draw_bit = 40;

thread_local ThreadRandom of_thread;
thread_local RandomKey key_of_scope;  // the scopes' key, without a purpose
thread_local bool in_scope = false;

}  // namespace

void manual_seed(std::uint64_t seed) {
  of_thread = {seed};
}

RandomKey initial_value_key(std::uint64_t purpose) {
  return {of_thread.seed, purpose, of_thread.initial_values++};
}

RandomScope::RandomScope(std::uint64_t seed, std::uint64_t step) : outer_(key_of_scope), inside_(in_scope) {
  key_of_scope = {seed, 0, step};
  in_scope = true;
}

RandomScope::~RandomScope() {
  key_of_scope = outer_;
  in_scope = inside_;
}

RandomKey RandomScope::key(std::uint64_t purpose) {
  if (in_scope) return {key_of_scope.seed, purpose, key_of_scope.index};
  return {of_thread.seed, purpose, of_thread.step + (of_thread.draws++ << draw_bit)};
}

void RandomScope::finish_step() {
  set_steps(of_thread.step + 1);
}

void RandomScope::set_steps(std::uint64_t steps) {
  of_thread.step = steps;
  of_thread.draws = 0;
}

}  // namespace fer
