// Helpers of the CPU's direct tests: reproducible values, poisoned outputs, comparisons, and running the same
// body with several numbers of threads.
#pragma once

#include <doctest/doctest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "fer/tensor/backend.h"

namespace fer::testing {

inline Backend& cpu() {
  return backend(Device::cpu);
}

/// Uniform in [-scale, scale), equal for float and double up to rounding. `name` selects the sequence.
template <typename T>
Tensor random(const Shape& shape, const char* name, double scale = 1.0) {
  Random rng({11, fnv1a64(name), 0});
  std::vector<T> values(static_cast<std::size_t>(shape.numel()));
  for (T& v : values) v = static_cast<T>(static_cast<float>(rng.uniform(-1, 1)) * scale);
  return Tensor::from<T>(shape, values);
}

/// An output in which elements that were not overwritten show.
inline Tensor poisoned(const Shape& shape, DType dtype) {
  return Tensor::full(shape, -123456.0, dtype);
}

template <typename T>
std::vector<double> doubles(const Tensor& t) {
  const std::vector<T> values = t.to_vector<T>();
  return {values.begin(), values.end()};
}

/// max |a - b| / max(1, max |b|); infinity if either has a NaN.
inline double error(const std::vector<double>& got, const std::vector<double>& expected) {
  REQUIRE(got.size() == expected.size());
  double worst = 0, scale = 1;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double difference = std::abs(got[i] - expected[i]);
    worst = difference <= worst ? worst : difference > worst ? difference : HUGE_VAL;
    scale = std::max(scale, std::abs(expected[i]));
  }
  return worst / scale;
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
  if (!(a.shape() == b.shape()) || a.dtype() != b.dtype()) return false;
  return a.numel() == 0 || std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

/// Runs `body`, which returns tensors, with 1 thread and with several, and checks that all bits agree.
template <typename Body>
void check_any_threads(const Body& body) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  const std::vector<Tensor> expected = body();
  for (int threads : {2, 3, 5}) {
    CAPTURE(threads);
    omp_set_num_threads(threads);
    const std::vector<Tensor> got = body();
    REQUIRE(got.size() == expected.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
      CAPTURE(i);
      CHECK(same_bits(got[i], expected[i]));
    }
  }
  omp_set_num_threads(before);
}

template <typename T>
constexpr double tolerance(double for_double, double for_float) {
  return std::is_same_v<T, double> ? for_double : for_float;
}

}  // namespace fer::testing
