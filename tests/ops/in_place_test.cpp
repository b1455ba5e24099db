// Gradients that overwrite dy are bit for bit the same as if dy is also read elsewhere and must be kept.
#include <functional>

#include "tests/ops/op_test.h"

namespace fer::test {
namespace {

using Op = std::function<Variable(const Variable& x, const Variable& slope)>;

void check_in_place(const Op& op, Device device) {
  for (const DType dtype : {DType::float32, DType::float64}) {
    CAPTURE(dtype);
    const Shape shape = {3, 5, 7, 33};  // no whole number of vectors
    Random random({1, fnv1a64("in place"), 0});
    const auto drawn = [&](const Shape& of) {
      std::vector<double> values(static_cast<std::size_t>(of.numel()));
      for (double& value : values) value = unit_float(random.bits()) * 4 - 2;
      return Tensor::from(of, values).to(dtype).to(device);
    };
    Variable x(drawn(shape), true), slope(drawn({33}), true);
    const Tensor dy = drawn(shape);
    op(x, slope).backward(dy);  // which this function reads, too
    const std::vector<double> dx = numbers(x.grad());
    const std::vector<double> dslope = slope.grad().defined() ? numbers(slope.grad()) : std::vector<double>();
    x.zero_grad();
    slope.zero_grad();
    scale(op(x, slope), 1.0).backward(dy);  // scale gives op a dy that is nobody else's
    CHECK(numbers(x.grad()) == dx);
    if (!dslope.empty()) CHECK(numbers(slope.grad()) == dslope);
  }
}

OP_TEST("in place: gradients of elementwise operations") {
  check_in_place([](const Variable& x, const Variable& slope) { return prelu(x, slope); }, device);
  check_in_place([](const Variable& x, const Variable&) { return relu(x); }, device);
  check_in_place([](const Variable& x, const Variable&) { return gelu(x); }, device);
  check_in_place([](const Variable& x, const Variable&) { return sigmoid(x); }, device);
  check_in_place([](const Variable& x, const Variable&) { return dropout(x, 0.3, {1, 2, 3}); }, device);
}

}  // namespace
}  // namespace fer::test
