// cast.
#include "tests/ops/op_test.h"

namespace fer::test {
namespace {

OP_TEST("cast: rounds in forward, and returns a gradient of x's type") {
  Variable x(Tensor::from<float>({3}, {1.0f, 1.0f + 0x1p-9f, -3.0f}).to(device), true);
  const Variable y = cast(x, DType::bfloat16);
  CHECK(y.dtype() == DType::bfloat16);
  check_values(y.value(), {3}, {1.0, 1.0, -3.0});
  y.backward(Tensor::from<float>({3}, {0.5f, 2.0f, -1.0f}).to(DType::bfloat16).to(device));
  CHECK(x.grad().dtype() == DType::float32);
  check_values(x.grad(), {3}, {0.5, 2.0, -1.0});
  CHECK(cast(y, DType::float32).dtype() == DType::float32);
}

OP_TEST("cast: to its own type is x itself") {
  const Variable x = leaf({2}, {1, 2}, device);
  CHECK(cast(x, DType::float64).id() == x.id());
}

OP_TEST("cast: errors") {
  const Variable x = leaf({2}, {1, 2}, device);
  CHECK_MESSAGE_OF(cast(x, DType::int64), TypeError,
                   "[cast] float64 to int64: only floating types have gradients");
  CHECK_MESSAGE_OF(cast(Variable(), DType::float32), TypeError, "[cast] x is undefined");
}

}  // namespace
}  // namespace fer::test
