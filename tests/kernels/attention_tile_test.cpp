// Tile sizes of the attention kernels: the large ones if the device has enough shared memory for them. The
// sweep checks that both give the right values.
#include <doctest/doctest.h>

#include "fer/simt/executor.h"
#include "fer/tensor/backend.h"

namespace fer::test {
namespace {

/// The shared memory of attention's launches.
struct Shared {
  std::size_t forward, backward;
  bool operator==(const Shared&) const = default;
};

Shared shared_of_attention(DType dtype, std::int64_t width) {
  Backend& device = backend(Device::simt);
  const Shape shape{1, 3, width};
  const auto full = [&](const Shape& of, double value) {
    Tensor x = Tensor::empty(of, dtype, Device::simt);
    x.fill(value);
    return x;
  };
  const Tensor x = full(shape, 0.5);
  Tensor y = full(shape, 0), log_sum_exp = full({1, 1, 3}, 0);
  Tensor dq = full(shape, 0), dk = full(shape, 0), dv = full(shape, 0), none;
  Shared shared{};
  simt::reset_peak_dynamic_shared();
  device.attention_forward(x, x, x, {}, 1, y, log_sum_exp);
  shared.forward = simt::peak_dynamic_shared();
  simt::reset_peak_dynamic_shared();
  device.attention_backward(x, x, x, {}, y, log_sum_exp, x, 1, dq, dk, dv, none);
  shared.backward = simt::peak_dynamic_shared();
  return shared;
}

Shared with_limit(std::size_t limit, DType dtype, std::int64_t width) {
  simt::Options options = simt::options();
  options.shared_limit = limit;
  const simt::OptionsScope scope(options);
  return shared_of_attention(dtype, width);
}

TEST_CASE("attention: tiles have half the rows where they would not fit, and only there") {
  constexpr std::size_t h100 = 227 * 1024, a100 = 163 * 1024, ada = 99 * 1024;
  struct Sizes {
    DType dtype;
    Shared narrow, wide, low;  ///< heads up to 64 wide; wider ones; those with half the rows
  };
  for (const Sizes& s : {Sizes{DType::float32, {69632, 87040}, {118784, 152576}, {55296, 72192}},
                         Sizes{DType::float64, {59392, 76288}, {108544, 141824}, {52224, 68864}}}) {
    CAPTURE(name_of(s.dtype));
    for (const std::size_t limit : {h100, a100, ada}) CHECK(with_limit(limit, s.dtype, 64) == s.narrow);
    for (const std::int64_t width : {65, 128}) {
      for (const std::size_t limit : {h100, a100}) CHECK(with_limit(limit, s.dtype, width) == s.wide);
      CHECK(with_limit(ada, s.dtype, width) == s.low);
    }
    // Forward and backward choose each for itself.
    CHECK(with_limit(s.wide.backward, s.dtype, 96) == s.wide);
    CHECK(with_limit(s.wide.backward - 1, s.dtype, 96) == Shared{s.wide.forward, s.low.backward});
    CHECK(with_limit(s.wide.forward, s.dtype, 96) == Shared{s.wide.forward, s.low.backward});
    CHECK(with_limit(s.wide.forward - 1, s.dtype, 96) == s.low);
  }
}

}  // namespace
}  // namespace fer::test
