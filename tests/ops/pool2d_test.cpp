// max_pool2d, global_avg_pool2d.
#include "tests/ops/op_test.h"

namespace fer::test {
namespace {

OP_TEST("max_pool2d: values, and the first of equals takes the gradient") {
  Variable x = leaf({1, 2, 4, 1}, {1, 5, 7, 7, 5, 2, 7, 3}, device);
  const Variable y = max_pool2d(x, 2, 2);
  check_values(y.value(), {1, 1, 2, 1}, {5, 7});
  y.backward(Tensor::from<double>({1, 1, 2, 1}, {10, 20}, device));
  check_values(x.grad(), {1, 2, 4, 1}, {0, 10, 20, 0, 0, 0, 0, 0});
}

OP_TEST("max_pool2d: windows that overlap add their gradients") {
  Variable x = leaf({1, 1, 3, 2}, {0, 1, 9, 2, 0, 3}, device);
  // A kernel of 1 with stride 1 is the identity; one of 3 would not fit.
  check_values(max_pool2d(x, 1, 1).value(), {1, 1, 3, 2}, {0, 1, 9, 2, 0, 3});
  Variable square = leaf({1, 3, 3, 1}, {0, 0, 0, 0, 9, 0, 0, 0, 0}, device);
  sum(max_pool2d(square, 2, 1)).backward();
  check_values(square.grad(), {1, 3, 3, 1}, {0, 0, 0, 0, 4, 0, 0, 0, 0});
}

OP_TEST("max_pool2d: 1x1 with stride 2 takes every other pixel, also of odd images") {
  const Variable x = leaf({1, 3, 3, 1}, {0, 1, 2, 3, 4, 5, 6, 7, 8}, device);
  check_values(max_pool2d(x, 1, 2).value(), {1, 2, 2, 1}, {0, 2, 6, 8});
}

OP_TEST("max_pool2d: padding never wins, whatever the sign, and takes no gradient") {
  Variable x = leaf({1, 3, 4, 1}, {-1, -2, -3, -4, -5, -6, -7, -8, -9, -10, -11, -12}, device);
  const Variable y = max_pool2d(x, 3, 2, 1);  // windows begin at row and column -1 and 1
  check_values(y.value(), {1, 2, 2, 1}, {-1, -2, -5, -6});
  y.backward(Tensor::from<double>({1, 2, 2, 1}, {1, 2, 3, 4}, device));
  check_values(x.grad(), {1, 3, 4, 1}, {1, 2, 0, 0, 3, 4, 0, 0, 0, 0, 0, 0});
  // A 2x2 window may be padded by one: then its corners see one pixel.
  check_values(max_pool2d(leaf({1, 1, 2, 1}, {5, -9}, device), 2, 1, 1).value(), {1, 2, 3, 1},
               {5, 5, -9, 5, 5, -9});
}

OP_TEST("max_pool2d: padding equals a border of -infinity") {
  const auto border = [&](const Variable& x, std::int64_t p) {
    const auto minus = [&](const Shape& shape) {
      return Variable(Tensor::full(shape, -INFINITY, DType::float64, device));
    };
    const Variable sides = minus({x.dim(0), x.dim(1), p, x.dim(3)});
    const Variable wide = concat({sides, x, sides}, 2), rows = minus({x.dim(0), p, wide.dim(2), x.dim(3)});
    return concat({rows, wide, rows}, 1);
  };
  for (const auto& [shape, kernel, stride, padding] :
       {std::tuple<Shape, int, int, int>{{2, 8, 7, 5}, 3, 2, 1},
        {{1, 5, 9, 3}, 5, 3, 2},
        {{1, 4, 4, 2}, 2, 2, 1}}) {
    CAPTURE(shape.str());
    check_equivalent(
        [=, k = kernel, s = stride, p = padding](const auto& v) { return max_pool2d(v[0], k, s, p); },
        [=, k = kernel, s = stride, p = padding](const auto& v) { return max_pool2d(border(v[0], p), k, s); },
        CaseInputs("max_pool2d padding", device).apart("x", shape).take());
  }
}

OP_TEST("max_pool2d: negative values and channels") {
  const Variable x = leaf({1, 2, 2, 2}, {-1, -8, -2, -7, -3, -6, -4, -5}, device);
  check_values(max_pool2d(x, 2, 2).value(), {1, 1, 1, 2}, {-1, -5});
}

OP_TEST("global_avg_pool2d: equals a sum over pixels") {
  check_equivalent([](const auto& v) { return global_avg_pool2d(v[0]); },
                   [](const auto& v) {
                     return scale(reshape(sum_to(v[0], {3, 1, 1, 17}), {3, 17}), 1.0 / 35);
                   },
                   CaseInputs("global_avg_pool2d", device).uniform("x", {3, 5, 7, 17}).take());
}

OP_TEST("pooling: errors") {
  const auto zeros = [&](const Shape& shape) {
    return Variable(Tensor::zeros(shape, DType::float64, device));
  };
  CHECK_MESSAGE_OF(max_pool2d(zeros({2, 3, 4}), 2, 2), ShapeError,
                   "[max_pool2d] x needs 4 dimensions, N x H x W x C, got shape (2, 3, 4)");
  CHECK_MESSAGE_OF(max_pool2d(zeros({1, 2, 5, 1}), 3, 1), ShapeError,
                   "[max_pool2d] a kernel of 3 x 3 does not fit into x (1, 2, 5, 1)");
  CHECK_MESSAGE_OF(max_pool2d(zeros({1, 2, 5, 1}), 0, 1), ConfigError,
                   "[max_pool2d] kernel 0 and stride 1 start at 1");
  CHECK_MESSAGE_OF(max_pool2d(zeros({1, 2, 5, 1}), 5, 1, 1), ShapeError,
                   "[max_pool2d] a kernel of 5 x 5 does not fit into x (1, 2, 5, 1) with padding 1");
  CHECK_MESSAGE_OF(max_pool2d(zeros({1, 0, 5, 1}), 2, 1, 1), ShapeError,
                   "[max_pool2d] a kernel of 2 x 2 does not fit into x (1, 0, 5, 1) with padding 1");
  CHECK_MESSAGE_OF(max_pool2d(zeros({1, 5, 5, 1}), 3, 1, 2), ConfigError,
                   "[max_pool2d] padding 2 is outside of 0 .. 1, half of the kernel 3: a window of padding "
                   "alone has no maximum");
  CHECK_MESSAGE_OF(max_pool2d(zeros({1, 5, 5, 1}), 3, 1, -1), ConfigError,
                   "[max_pool2d] padding -1 is outside of 0 .. 1, half of the kernel 3: a window of padding "
                   "alone has no maximum");
  CHECK_MESSAGE_OF(global_avg_pool2d(zeros({2, 3})), ShapeError,
                   "[global_avg_pool2d] x needs 4 dimensions, N x H x W x C, got shape (2, 3)");
  CHECK_MESSAGE_OF(global_avg_pool2d(zeros({2, 0, 3, 1})), ShapeError,
                   "[global_avg_pool2d] x of shape (2, 0, 3, 1) has no pixels");
}

}  // namespace
}  // namespace fer::test
