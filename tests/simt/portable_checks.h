// Compares the portable kernels with plain loops, on ragged sizes. Included by tests/simt (compiled as in
// production) and tests/simt_race (compiled to report every access to the checker, which must find nothing).
#pragma once

#include <algorithm>
#include <cmath>

#include "tests/simt/planted.h"
#include "tests/simt/portable_kernels.h"

namespace fer::FER_DEVICE_NAMESPACE {
namespace {
using test::Array;
using test::in_every_order;

constexpr int ragged_sizes[] = {1, 7, 31, 32, 33, 97};

/// Small integers. They are exact in every format, as are sums of a few hundred products.
template <typename T>
std::vector<T> small_integers(int count, int seed) {
  std::vector<T> values(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i)
    values[static_cast<std::size_t>(i)] = static_cast<T>((i * 7 + seed * 3 + i / 5) % 9 - 4);
  return values;
}

TEST_CASE_TEMPLATE("portable softmax", T, float, double) {
  in_every_order([] {
    for (const int columns : {1, 7, 127, 128, 129, 300}) {
      CAPTURE(columns);
      const std::vector<T> x = small_integers<T>(3 * columns, columns);
      const Array<T> dx(x);
      Array<T> dy(x.size());
      launch_portable_softmax(dx.data(), dy.data(), 3, columns, nullptr);
      const std::vector<T> y = dy.host();
      for (std::size_t row = 0; row < 3; ++row) {
        const auto width = static_cast<std::size_t>(columns);
        double sum = 0;
        for (std::size_t i = 0; i < width; ++i) sum += std::exp(static_cast<double>(x[row * width + i]));
        for (std::size_t i = 0; i < width; ++i) {
          const double expected = std::exp(static_cast<double>(x[row * width + i])) / sum;
          CHECK(std::abs(static_cast<double>(y[row * width + i]) - expected) <
                (sizeof(T) == 4 ? 1e-6 : 1e-14));
        }
      }
    }
  });
}

TEST_CASE("portable tensor-core product") {
  in_every_order([] {
    for (const int m : {1, 31, 33}) {
      for (const int n : {8, 24, 40}) {
        for (const int k : {8, 16, 56}) {
          CAPTURE(m);
          CAPTURE(n);
          CAPTURE(k);
          const std::vector<float> a = small_integers<float>(m * k, 1), b = small_integers<float>(k * n, 2);
          std::vector<bf16> ha(a.size()), hb(b.size());
          std::transform(a.begin(), a.end(), ha.begin(), to_bf16);
          std::transform(b.begin(), b.end(), hb.begin(), to_bf16);
          const Array<bf16> da(ha), db(hb);
          Array<float> dc(static_cast<std::size_t>(m * n));
          launch_portable_matmul(da.data(), db.data(), dc.data(), m, n, k, nullptr);
          const std::vector<float> c = dc.host();
          int wrong = 0;
          for (int i = 0; i < m * n; ++i) {
            float sum = 0;
            for (int j = 0; j < k; ++j) {
              sum += a[static_cast<std::size_t>(i / n * k + j)] * b[static_cast<std::size_t>(j * n + i % n)];
            }
            wrong += c[static_cast<std::size_t>(i)] != sum;
          }
          CHECK(wrong == 0);
        }
      }
    }
  });
}

TEST_CASE("portable transpose, histogram and axpy") {
  in_every_order([] {
    for (const int rows : ragged_sizes) {
      for (const int columns : ragged_sizes) {
        const std::vector<float> x = small_integers<float>(rows * columns, rows);
        const Array<float> dx(x);
        Array<float> dy(x.size());
        launch_portable_transpose(dx.data(), dy.data(), rows, columns, nullptr);
        const std::vector<float> y = dy.host();
        int wrong = 0;
        for (int i = 0; i < rows * columns; ++i) {
          wrong +=
              y[static_cast<std::size_t>(i % columns * rows + i / columns)] != x[static_cast<std::size_t>(i)];
        }
        CHECK(wrong == 0);
      }
    }
    for (const int n : ragged_sizes) {
      std::vector<unsigned char> x(static_cast<std::size_t>(n));
      std::vector<int> expected(32);
      for (int i = 0; i < n; ++i)
        ++expected[x[static_cast<std::size_t>(i)] = static_cast<unsigned char>(i * i % 32)];
      const Array<unsigned char> dx(x);
      const Array<int> counts(std::vector<int>(32, 0));
      launch_portable_histogram(dx.data(), counts.data(), n, nullptr);
      CHECK(counts.host() == expected);
    }
    const std::vector<float> x = small_integers<float>(1000, 1), y = small_integers<float>(1000, 2);
    const Array<float> dx(x), dy(y);
    launch_portable_axpy(3.0f, dx.data(), dy.data(), 1000, nullptr);
    const std::vector<float> result = dy.host();
    for (std::size_t i = 0; i < x.size(); ++i) CHECK(result[i] == 3.0f * x[i] + y[i]);
  });
}

}  // namespace
}  // namespace fer::FER_DEVICE_NAMESPACE
