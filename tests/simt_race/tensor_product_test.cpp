// The tensor-core product under the access checker. cp.async fills its stages in shared memory while other
// warps still read; this must cause no reports in any lane order, on ragged sizes.
#include "cuda/tensor_product.h"

#include <cmath>

#include "tests/simt/planted.h"

namespace fer::FER_DEVICE_NAMESPACE {
namespace {
using test::Array;
using test::in_every_order;

// Types of this file, so that its kernels are separate instances, compiled with the checker.
template <typename T, bool inner_contiguous>
struct Matrix : MatrixLoader<T, inner_contiguous> {};
struct Result : MatrixStore<float> {};

/// `outer` rows of k, or k rows of `outer`.
template <bool inner_contiguous, typename T>
Matrix<T, inner_contiguous> matrix(const Array<T>& data, int outer, int k) {
  return {{data.data(), outer, inner_contiguous ? k : 1, inner_contiguous ? 1 : outer, 0}};
}

float converted(float x, float) {
  return x;
}
bf16 converted(float x, bf16) {
  return to_bf16(x);
}
template <typename T>
std::vector<T> converted(const std::vector<float>& x) {
  std::vector<T> y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = converted(x[i], T{});
  return y;
}

/// Small integers: exact in both precisions.
std::vector<float> small_integers(int count, int seed) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    values[static_cast<std::size_t>(i)] = static_cast<float>((i * 7 + seed * 3 + i / 5) % 9 - 4);
  }
  return values;
}

template <typename T, int size, bool a_contiguous, bool b_contiguous>
void check(int m, int n, int k) {
  CAPTURE(m);
  CAPTURE(n);
  CAPTURE(k);
  const std::vector<float> a = small_integers(m * k, 1), b = small_integers(n * k, 2);
  const Array<T> da(converted<T>(a)), db(converted<T>(b));
  Array<float> dy(static_cast<std::size_t>(m * n));
  tensor_product_in_tiles<size>(backend(Device::simt), nullptr, m, n, k, 1, matrix<a_contiguous>(da, m, k),
                                matrix<b_contiguous>(db, n, k), Result{{dy.data(), n, 0, nullptr, 0}});
  const std::vector<float> y = dy.host();
  int wrong = 0;
  for (int i = 0; i < m; ++i) {
    for (int j = 0; j < n; ++j) {
      float sum = 0;
      for (int l = 0; l < k; ++l) {
        sum += a[static_cast<std::size_t>(a_contiguous ? i * k + l : l * m + i)] *
               b[static_cast<std::size_t>(b_contiguous ? j * k + l : l * n + j)];
      }
      if (y[static_cast<std::size_t>(i * n + j)] != sum) ++wrong;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("tensor-core product, 64 x 64") {
  in_every_order([] {
    check<float, 64, true, true>(1, 1, 1);
    check<float, 64, true, false>(63, 65, 17);
    check<bf16, 64, false, true>(65, 7, 64);
    check<bf16, 64, false, false>(12, 36, 83);
    check<bf16, 64, true, true>(5, 3, 517);  // k cut in parts
  });
}

TEST_CASE("tensor-core product, 128 x 128") {
  in_every_order([] {
    check<float, 128, true, false>(128, 129, 33);
    check<bf16, 128, false, true>(127, 68, 80);
  });
}

}  // namespace
}  // namespace fer::FER_DEVICE_NAMESPACE
