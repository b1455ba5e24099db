// The CPU's dropout against its rule, one counter at a time, and the statistics of masks.
#include <limits>

#include "cpu_values.h"

namespace fer::testing {
namespace {

const RandomKey kKey{0x123456789ABCDEF0ull, fnv1a64("dropout.test"), 3};

template <typename T>
Tensor dropped(const Tensor& x, double p, const RandomKey& key, std::int64_t first = 0) {
  Tensor y = poisoned(x.shape(), x.dtype());
  cpu().dropout(x, p, key, first, DropoutMask::element, y);
  return y;
}

std::vector<bool> mask(std::int64_t n, double p, const RandomKey& key) {
  std::vector<bool> kept;
  for (float y : dropped<float>(Tensor::full({n}, 1.0), p, key).to_vector<float>()) kept.push_back(y != 0);
  return kept;
}

double agreement(const std::vector<bool>& a, const std::vector<bool>& b) {
  std::size_t equal = 0;
  for (std::size_t i = 0; i < a.size(); ++i) equal += a[i] == b[i];
  return static_cast<double>(equal) / static_cast<double>(a.size());
}

}  // namespace

TEST_CASE_TEMPLATE("cpu dropout: follows the rule exactly, element by element", T, float, double) {
  const RandomKey keys[] = {kKey, {0, 0, 0}, {~0ull, ~0ull, ~0ull}, {1, 2, 1ull << 40}};
  for (const RandomKey& key : keys) {
    for (std::int64_t n : {1, 2, 3, 4, 5, 7, 1023, 1024, 1025, 16387, 40001}) {
      for (double p : {0.0, 0.1, 0.5, 1.0 / 3, 1 - 0x1p-24, 1.0}) {
        CAPTURE(n);
        CAPTURE(p);
        const Tensor x = random<T>({n}, "x");
        const std::vector<T> y = dropped<T>(x, p, key).template to_vector<T>();
        const T scale = static_cast<T>(1 / (1 - p));
        std::int64_t wrong = 0;
        for (std::int64_t i = 0; i < n; ++i) {
          const bool kept = static_cast<double>(unit_float(philox_word(key, i))) >= p;
          wrong += y[i] != (kept ? x.data<T>()[i] * scale : T(0));
        }
        CHECK(wrong == 0);
      }
    }
  }
}

TEST_CASE_TEMPLATE("cpu dropout: draws as for a part of a larger tensor, wherever it begins", T, float,
                   double) {
  for (const std::int64_t first : {1, 2, 3, 4, 1026}) {
    for (const std::int64_t n : {1, 3, 1023, 1024, 40001}) {
      CAPTURE(first);
      CAPTURE(n);
      const Tensor x = random<T>({first + n}, "x"), part = x.slice(first, n);
      CHECK(same_bits(dropped<T>(part, 0.4, kKey, first), dropped<T>(x, 0.4, kKey).slice(first, n)));
    }
  }
  const std::int64_t far = (std::int64_t{1} << 34) + 1;
  CHECK((dropped<T>(Tensor::full({1}, 1.0, dtype_of<T>()), 0.4, kKey, far).item() != 0) ==
        (unit_float(philox_word(kKey, far)) >= 0.4f));
}

TEST_CASE("cpu dropout: a rate on the edge of a word keeps it") {
  // The rule is >=: with p equal to the number drawn for element 0, element 0 stays.
  const double drawn = unit_float(philox_word(kKey, 0));
  REQUIRE(drawn > 0);
  CHECK(mask(1, drawn, kKey)[0]);
  CHECK_FALSE(mask(1, drawn + 0x1p-30, kKey)[0]);
}

TEST_CASE("cpu dropout: keeps 1 - p of the elements, neighbours independent, keys unrelated") {
  constexpr std::int64_t n = 1 << 20;
  for (double p : {0.1, 0.5, 0.9}) {
    CAPTURE(p);
    const std::vector<bool> kept = mask(n, p, kKey);
    const double deviation = std::sqrt(p * (1 - p) / n);
    CHECK(std::abs(static_cast<double>(std::count(kept.begin(), kept.end(), true)) / n - (1 - p)) <
          5 * deviation);
  }
  const std::vector<bool> kept = mask(n, 0.5, kKey);
  for (std::int64_t lag : {1, 2, 4, 16, 64, 1024}) {
    CAPTURE(lag);
    const std::vector<bool> a(kept.begin(), kept.end() - lag), b(kept.begin() + lag, kept.end());
    CHECK(std::abs(agreement(a, b) - 0.5) < 0.003);
  }
  for (const RandomKey& other : {RandomKey{kKey.seed + 1, kKey.purpose, kKey.index},
                                 RandomKey{kKey.seed, kKey.purpose + 1, kKey.index},
                                 RandomKey{kKey.seed, kKey.purpose, kKey.index + 1}})
    CHECK(std::abs(agreement(kept, mask(n, 0.5, other)) - 0.5) < 0.003);
}

TEST_CASE_TEMPLATE("cpu dropout: a dropped element is zero, whatever its value", T, float, double) {
  const std::vector<bool> kept = mask(500, 0.5, kKey);
  for (T odd : {std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::infinity()}) {
    const std::vector<T> y =
        dropped<T>(Tensor::full({500}, odd, dtype_of<T>()), 0.5, kKey).template to_vector<T>();
    for (std::size_t i = 0; i < y.size(); ++i) {
      CAPTURE(i);
      CHECK((y[i] == 0) == !kept[i]);
    }
  }
}

TEST_CASE("cpu dropout: float and double draw the same mask; any number of threads, the same bits") {
  const Tensor x = random<double>({100003}, "x");
  const std::vector<double> y = dropped<double>(x, 0.3, kKey).to_vector<double>();
  const std::vector<bool> kept = mask(100003, 0.3, kKey);
  std::int64_t wrong = 0;
  for (std::size_t i = 0; i < y.size(); ++i) wrong += (y[i] != 0) != kept[i];
  CHECK(wrong == 0);
  check_any_threads([&] { return std::vector<Tensor>{dropped<double>(x, 0.3, kKey)}; });
}

TEST_CASE_TEMPLATE("cpu dropout: by sample, the same bits for any number of threads", T, float, double) {
  for (const Shape& shape : {Shape{13, 70001}, Shape{5000, 3}, Shape{1, 9}}) {
    CAPTURE(shape.str());
    const Tensor x = random<T>(shape, "x");
    check_any_threads([&] {
      Tensor y = poisoned(shape, dtype_of<T>());
      cpu().dropout(x, 0.3, kKey, 0, DropoutMask::sample, y);
      return std::vector<Tensor>{y};
    });
    Tensor y = poisoned(shape, dtype_of<T>());
    cpu().dropout(x, 0.3, kKey, 0, DropoutMask::sample, y);
    const std::int64_t size = shape.numel() / shape[0];
    std::int64_t wrong = 0;
    for (std::int64_t i = 0; i < shape.numel(); ++i) {
      const bool kept = static_cast<double>(unit_float(philox_word(kKey, i / size))) >= 0.3;
      wrong += y.data<T>()[i] != (kept ? x.data<T>()[i] * static_cast<T>(1 / (1 - 0.3)) : T(0));
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("cpu dropout: rates outside of [0, 1] are refused") {
  Tensor x = Tensor::zeros({3}), y = Tensor::zeros({3});
  CHECK_THROWS_WITH_AS(cpu().dropout(x, -0.1, kKey, 0, DropoutMask::element, y),
                       "[dropout] the rate must be in [0, 1], got -0.1", ConfigError);
  CHECK_THROWS_WITH_AS(cpu().dropout(x, 1.5, kKey, 0, DropoutMask::element, y),
                       "[dropout] the rate must be in [0, 1], got 1.5", ConfigError);
  CHECK_THROWS_AS(cpu().dropout(x, std::nan(""), kKey, 0, DropoutMask::element, y), ConfigError);
}

}  // namespace fer::testing
