// The memory that backward needs in addition to what forward saved, in bytes on the CPU, where blocks have
// exactly the requested size.
#include <doctest/doctest.h>

#include "fer/autograd/ops.h"
#include "fer/tensor/backend.h"

namespace fer {
namespace {

/// Peak bytes of tensors during y's backward, beyond those that existed before.
std::size_t backward_needs(const Variable& y, const Tensor& dy) {
  Backend& cpu = backend(Device::cpu);
  cpu.reset_peak_memory();
  const std::size_t before = cpu.memory_stats().live;
  y.backward(dy);
  return cpu.memory_stats().peak - before;
}

constexpr std::size_t kSmall = 4096;  // weights and their gradients

TEST_CASE("a product's backward does not hold a recomputed x and dx at once") {
  const Shape map = {4, 16, 16, 32};
  const Tensor dy = Tensor::full(map, 1.0);
  const std::size_t one = dy.bytes();
  const Variable x(Tensor::full(map, 0.5));
  SUBCASE("linear") {
    const Variable slope(Tensor::full({32}, 0.5), true), weight(Tensor::full({32, 32}, 0.5), true);
    const Variable y = linear(prelu(x, slope), weight, {});
    CHECK(backward_needs(y, dy) <= one + 2 * kSmall);
    CHECK(slope.grad().defined());
  }
  SUBCASE("conv2d") {
    const Variable slope(Tensor::full({32}, 0.5), true), weight(Tensor::full({32, 1, 1, 32}, 0.5), true);
    const Variable y = conv2d(prelu(x, slope), weight, {}, {});
    CHECK(backward_needs(y, dy) <= one + 2 * kSmall);
    CHECK(slope.grad().defined());
  }
}

TEST_CASE("elementwise gradients overwrite dy if nobody else reads it") {
  const Shape map = {4, 16, 16, 32};
  const Tensor dy = Tensor::full(map, 1.0);
  const Variable x(Tensor::full(map, 0.5), true), slope(Tensor::full({32}, 0.5), true);
  Variable y;
  SUBCASE("prelu") {
    y = prelu(x, slope);
  }
  SUBCASE("relu") {
    y = relu(x);
  }
  SUBCASE("gelu") {
    y = gelu(x);
  }
  SUBCASE("sigmoid") {
    y = sigmoid(x);
  }
  SUBCASE("dropout") {
    y = dropout(x, 0.5, {1, 2, 3});
  }
  CHECK(backward_needs(scale(y, 2.0), dy) <= dy.bytes() + kSmall);  // scale's, which becomes that of x
}

TEST_CASE("a recomputed dropout overwrites its recomputed input") {
  const Shape map = {4, 16, 16, 32};
  const Tensor dy = Tensor::full(map, 1.0);
  const Variable x(Tensor::full(map, 0.5), true), weight(Tensor::full({32, 32}, 0.5), true);
  const Variable y = linear(dropout(gelu(x), 0.5, {1, 2, 3}), weight, {});
  CHECK(backward_needs(y, dy) <= dy.bytes() + 2 * kSmall);
}

}  // namespace
}  // namespace fer
