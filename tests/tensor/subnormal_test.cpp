// Subnormal numbers are flushed to zero on every thread once a program requests it.
#include "fer/tensor/subnormal.h"

#include <doctest/doctest.h>

#include <cmath>

#include "fer/tensor/backend.h"
#include "fer/tensor/tensor.h"

namespace {

/// How many of the products 1e-20 x 1e-20, computed by all threads, are not zero.
std::int64_t subnormal_products() {
  constexpr std::int64_t n = 1 << 20;  // enough for every thread to get a part
  fer::Tensor x = fer::Tensor::full({n}, 1e-20);
  fer::Tensor y = fer::Tensor::empty({n});
  fer::backend(fer::Device::cpu).scale(x, 1e-20, y);
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < n; ++i) count += std::fpclassify(y.data<float>()[i]) != FP_ZERO;
  return count;
}

}  // namespace

TEST_CASE("subnormal numbers are flushed to zero by all threads, and kept again when asked to") {
  CHECK(subnormal_products() == 1 << 20);
  if (!fer::flush_subnormals()) {
    MESSAGE("skipped: no known switch for this processor");
    return;
  }
  CHECK(subnormal_products() == 0);
  fer::flush_subnormals(false);
  CHECK(subnormal_products() == 1 << 20);
}
