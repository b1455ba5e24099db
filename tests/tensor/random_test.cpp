#include "fer/tensor/random.h"

#include <doctest/doctest.h>

#include <cmath>
#include <set>
#include <vector>

#include "fer/error.h"

namespace fer {
namespace {

// The inverse of philox()'s mixing of seed and purpose: the purpose that, with seed 0, gives this Philox key.
std::uint64_t purpose_of_key(std::uint64_t key) {
  std::uint64_t inverse = 1;  // of the odd multiplier, modulo 2^64, by Newton's iteration
  for (int i = 0; i < 6; ++i) inverse *= 2 - 0xBF58476D1CE4E5B9ull * inverse;
  std::uint64_t mixed = (key ^ (key >> 32)) * inverse;
  return mixed ^ (mixed >> 29) ^ (mixed >> 58);
}

// The known answers of Philox4x32-10 that its authors publish with Random123 (kat_vectors).
TEST_CASE("Philox gives the published answers") {
  struct Answer {
    std::uint32_t counter[4], key[2], expected[4];
  };
  const Answer answers[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
       {0xffffffff, 0xffffffff},
       {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (const Answer& a : answers) {
    const auto join = [](std::uint32_t low, std::uint32_t high) { return std::uint64_t{high} << 32 | low; };
    const RandomKey key{0, purpose_of_key(join(a.key[0], a.key[1])), join(a.counter[2], a.counter[3])};
    const PhiloxBlock block = philox(key, join(a.counter[0], a.counter[1]));
    for (int i = 0; i < 4; ++i) CHECK(block.v[i] == a.expected[i]);
  }
}

TEST_CASE("words are those of the blocks, in any order") {
  const RandomKey key{1, fnv1a64("test"), 5};
  std::vector<std::uint32_t> forward, backward(40);
  for (std::uint64_t i = 0; i < 40; ++i) forward.push_back(philox_word(key, i));
  for (std::uint64_t i = 40; i-- > 0;) backward[i] = philox_word(key, i);
  CHECK(forward == backward);
  for (std::uint64_t i = 0; i < 40; ++i) CHECK(forward[i] == philox(key, i / 4).v[i % 4]);
  Random rng(key);
  for (std::uint64_t i = 0; i < 40; ++i) CHECK(rng.bits() == forward[i]);
}

TEST_CASE("seed, purpose and index each give another sequence") {
  const RandomKey base{1, fnv1a64("a"), 0};
  std::set<std::uint32_t> firsts;
  for (const RandomKey& key :
       {base, RandomKey{2, base.purpose, 0}, RandomKey{1, fnv1a64("b"), 0}, RandomKey{1, base.purpose, 1}}) {
    firsts.insert(philox_word(key, 0));
  }
  CHECK(firsts.size() == 4);
}

TEST_CASE("names hash as FNV-1a") {
  CHECK(fnv1a64("") == 0xcbf29ce484222325ull);
  CHECK(fnv1a64("a") == 0xaf63dc4c8601ec8cull);
  CHECK(fnv1a64("foobar") == 0x85944171f73967e8ull);
}

TEST_CASE("unit_float covers [0, 1) exactly") {
  CHECK(unit_float(0) == 0.0f);
  CHECK(unit_float(0xFFFFFFFF) == 1.0f - 0x1p-24f);
  CHECK(unit_float(0x80000000) == 0.5f);
}

TEST_CASE("uniform and normal numbers have their moments") {
  Random rng({42, fnv1a64("moments"), 0});
  constexpr int n = 200000;
  double sum = 0, squares = 0;
  int bins[10] = {};
  for (int i = 0; i < n; ++i) {
    const double u = rng.uniform();
    REQUIRE((u >= 0 && u < 1));
    sum += u, squares += u * u;
    ++bins[static_cast<int>(u * 10)];
  }
  CHECK(std::abs(sum / n - 0.5) < 0.003);  // deviation 0.29 / sqrt(n) = 0.00065
  CHECK(std::abs(squares / n - 1.0 / 3) < 0.003);
  for (int count : bins) CHECK(std::abs(count - n / 10) < 700);  // deviation 134

  double third = 0, fourth = 0;
  sum = squares = 0;
  for (int i = 0; i < n; ++i) {
    const double z = rng.normal();
    sum += z, squares += z * z, third += z * z * z, fourth += z * z * z * z;
  }
  CHECK(std::abs(sum / n) < 0.012);
  CHECK(std::abs(squares / n - 1) < 0.017);
  CHECK(std::abs(third / n) < 0.05);
  CHECK(std::abs(fourth / n - 3) < 0.12);
}

TEST_CASE("uniform(low, high) stays in its range") {
  Random rng({1, 2, 3});
  for (int i = 0; i < 1000; ++i) {
    const double u = rng.uniform(-3, 5);
    CHECK((u >= -3 && u < 5));
  }
}

TEST_CASE("below(n) takes every value equally often") {
  Random rng({9, fnv1a64("below"), 0});
  int counts[7] = {};
  for (int i = 0; i < 70000; ++i) {
    const std::uint64_t k = rng.below(7);
    REQUIRE(k < 7);
    ++counts[k];
  }
  for (int count : counts) CHECK(std::abs(count - 10000) < 500);  // deviation 93
  CHECK(rng.below(1) == 0);
  CHECK_THROWS_WITH_AS(rng.below(0), "Random::below: n must be positive", ConfigError);
}

TEST_CASE("RandomScope nests and ends") {
  const auto is = [](std::uint64_t seed, std::uint64_t step) {
    const RandomKey key = RandomScope::key(77);
    return key.seed == seed && key.purpose == 77 && key.index == step;
  };
  manual_seed(0);
  CHECK(is(0, 0));
  {
    const RandomScope outer(5, 10);
    CHECK(is(5, 10));
    {
      const RandomScope inner(6, 11);
      CHECK(is(6, 11));
    }
    CHECK(is(5, 10));
  }
  manual_seed(0);
  CHECK(is(0, 0));
}

TEST_CASE(
    "outside of scopes, no two draws are the same, and manual_seed() or a count of steps repeats them") {
  const auto draw = [] {
    const RandomKey key = RandomScope::key(7);
    return std::pair{key.seed, key.index};
  };
  manual_seed(3);
  const auto first = draw(), second = draw();
  CHECK(first.first == 3);
  CHECK(second != first);
  RandomScope::finish_step();
  const auto third = draw();
  CHECK(third != first);
  CHECK(third != second);
  {
    const RandomScope scope(1, 2);  // takes nothing from the thread's own draws
    draw();
  }
  const auto fourth = draw();
  RandomScope::set_steps(1);  // as an optimizer that was resumed after its first step
  CHECK(draw() == third);
  CHECK(draw() == fourth);
  manual_seed(3);
  CHECK(draw() == first);

  const RandomKey a = initial_value_key(9), b = initial_value_key(9);
  CHECK(a.index != b.index);
  manual_seed(3);
  CHECK(initial_value_key(9).index == a.index);
}

}  // namespace
}  // namespace fer
