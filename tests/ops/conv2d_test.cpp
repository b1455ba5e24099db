// conv2d: every kernel against one definition in plain loops, and against compositions of conv2d itself.
#include "tests/ops/op_test.h"

namespace fer::test {
namespace {

/// The definition, one multiplication at a time.
Tensor by_definition(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dOptions& o) {
  const std::int64_t height = (x.dim(1) + 2 * o.padding - weight.dim(1)) / o.stride + 1;
  const std::int64_t width = (x.dim(2) + 2 * o.padding - weight.dim(2)) / o.stride + 1;
  const std::int64_t outputs = weight.dim(0), depth = weight.dim(3);
  const std::vector<double> xs = numbers(x), ws = numbers(weight);
  const std::vector<double> bs = bias.defined() ? numbers(bias) : std::vector<double>(outputs, 0.0);
  std::vector<double> ys;
  for (std::int64_t n = 0; n < x.dim(0); ++n)
    for (std::int64_t i = 0; i < height; ++i)
      for (std::int64_t j = 0; j < width; ++j)
        for (std::int64_t k = 0; k < outputs; ++k) {
          const std::int64_t group = k / (outputs / o.groups);
          double y = bs[k];
          for (std::int64_t p = 0; p < weight.dim(1); ++p)
            for (std::int64_t q = 0; q < weight.dim(2); ++q)
              for (std::int64_t c = 0; c < depth; ++c) {
                const std::int64_t row = i * o.stride + p - o.padding, column = j * o.stride + q - o.padding;
                if (row < 0 || row >= x.dim(1) || column < 0 || column >= x.dim(2)) continue;
                y += xs[((n * x.dim(1) + row) * x.dim(2) + column) * x.dim(3) + group * depth + c] *
                     ws[((k * weight.dim(1) + p) * weight.dim(2) + q) * depth + c];
              }
          ys.push_back(y);
        }
  return Tensor::from({x.dim(0), height, width, outputs}, ys);
}

OP_TEST("conv2d: equals its definition") {
  struct Extents {
    Shape x, weight;
    Conv2dOptions options;
  };
  for (const Extents& e : {Extents{{1, 1, 1, 1}, {1, 1, 1, 1}, {1, 0, 1}},
                           {{2, 7, 5, 3}, {4, 3, 3, 3}, {1, 1, 1}},
                           {{1, 14, 14, 16}, {17, 3, 3, 16}, {1, 1, 1}},
                           {{1, 13, 15, 33}, {8, 3, 3, 33}, {1, 1, 1}},
                           {{2, 9, 8, 5}, {6, 3, 3, 5}, {2, 1, 1}},
                           {{2, 6, 7, 9}, {5, 1, 1, 9}, {2, 0, 1}},
                           {{1, 8, 8, 3}, {2, 5, 5, 3}, {1, 2, 1}},
                           {{1, 6, 9, 2}, {3, 2, 3, 2}, {3, 1, 1}},
                           {{1, 5, 5, 2}, {3, 3, 3, 2}, {1, 3, 1}},
                           {{2, 7, 9, 4}, {6, 3, 3, 2}, {1, 1, 2}},
                           {{1, 9, 9, 6}, {9, 3, 3, 2}, {2, 1, 3}},
                           {{2, 9, 11, 7}, {7, 3, 3, 1}, {1, 1, 7}},
                           {{2, 9, 11, 17}, {17, 3, 3, 1}, {2, 1, 17}},
                           {{2, 7, 7, 5}, {5, 7, 7, 1}, {1, 0, 5}},
                           {{1, 5, 5, 3}, {6, 3, 3, 1}, {1, 1, 3}}}) {
    for (bool with_bias : {false, true}) {
      CAPTURE(e.x);
      CAPTURE(e.weight);
      const std::vector<Variable> in = CaseInputs("conv2d definition", device)
                                           .uniform("x", e.x)
                                           .uniform("weight", e.weight)
                                           .uniform("bias", {e.weight[0]})
                                           .take();
      const Variable bias = with_bias ? in[2] : Variable();
      const Tensor expected =
          by_definition(in[0].value(), in[1].value(), with_bias ? in[2].value() : Tensor(), e.options);
      CHECK(difference(conv2d(in[0], in[1], bias, e.options).value(), expected) < 1e-12);
    }
  }
}

OP_TEST("conv2d: groups are convolutions of their own") {
  for (std::int64_t groups : {2, 6}) {  // 6: depthwise
    check_equivalent(
        [=](const auto& v) {
          return conv2d(v[0], v[1], v[2], {1, 1, static_cast<int>(groups)});
        },
        [=](const auto& v) {
          std::vector<Variable> parts;
          const std::int64_t depth = 6 / groups;
          for (std::int64_t g = 0; g < groups; ++g) {
            parts.push_back(conv2d(slice(v[0], 3, g * depth, depth), slice(v[1], 0, g * depth, depth),
                                   slice(v[2], 0, g * depth, depth), {1, 1, 1}));
          }
          return concat(parts, 3);
        },
        CaseInputs("conv2d groups", device)
            .uniform("x", {2, 5, 7, 6})
            .uniform("weight", {6, 3, 3, 6 / groups})
            .uniform("bias", {6})
            .take());
  }
}

OP_TEST("conv2d: 1x1 is a linear layer on pixels") {
  check_equivalent(
      [](const auto& v) {
        return conv2d(v[0], v[1], v[2], {1, 0, 1});
      },
      [](const auto& v) {
        return linear(v[0], reshape(v[1], {5, 7}), v[2]);
      },
      CaseInputs("conv2d 1x1", device)
          .uniform("x", {2, 3, 4, 7})
          .uniform("weight", {5, 1, 1, 7})
          .uniform("bias", {5})
          .take());
}

OP_TEST("conv2d: a stride leaves out rows and columns") {
  check_equivalent(
      [](const auto& v) {
        return conv2d(v[0], v[1], {}, {2, 1, 1});
      },
      [](const auto& v) {
        return max_pool2d(conv2d(v[0], v[1], {}, {1, 1, 1}), 1, 2);
      },
      CaseInputs("conv2d stride", device).uniform("x", {2, 7, 6, 3}).uniform("weight", {5, 3, 3, 3}).take());
}

OP_TEST("conv2d: pixels that no window reaches have a zero gradient") {
  Variable x = leaf({1, 4, 4, 1}, std::vector<double>(16, 1.0), device),
           weight = leaf({1, 1, 1, 1}, {3}, device);
  sum(conv2d(x, weight, {}, {3, 0, 1})).backward();
  check_values(x.grad(), {1, 4, 4, 1}, {3, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 3});
  check_values(weight.grad(), {1, 1, 1, 1}, {4});
}

OP_TEST("conv2d: errors") {
  const auto zeros = [&](const Shape& shape) {
    return Variable(Tensor::zeros(shape, DType::float64, device));
  };
  const Variable x = zeros({1, 5, 5, 4}), weight = zeros({6, 3, 3, 4});
  CHECK_MESSAGE_OF(conv2d(zeros({5, 5, 4}), weight, {}, {}), ShapeError,
                   "[conv2d] x needs 4 dimensions, N x H x W x I, got shape (5, 5, 4)");
  CHECK_MESSAGE_OF(conv2d(x, zeros({6, 4}), {}, {}), ShapeError,
                   "[conv2d] weight needs 4 dimensions, O x kh x kw x I/groups, got shape (6, 4)");
  CHECK_MESSAGE_OF(
      conv2d(x, zeros({6, 3, 3, 3}), {}, {}), ShapeError,
      "[conv2d] x of shape (1, 5, 5, 4) has 4 channels in each of 1 groups, weight of shape (6, 3, 3, 3) "
      "takes 3");
  CHECK_MESSAGE_OF(
      conv2d(x, weight, {}, {1, 1, 2}), ShapeError,
      "[conv2d] x of shape (1, 5, 5, 4) has 2 channels in each of 2 groups, weight of shape (6, 3, 3, 4) "
      "takes 4");
  CHECK_MESSAGE_OF(
      conv2d(x, weight, {}, {1, 1, 3}), ShapeError,
      "[conv2d] 3 groups do not divide the 4 channels of x (1, 5, 5, 4) and the 6 of weight (6, 3, 3, 4)");
  CHECK_MESSAGE_OF(conv2d(x, weight, zeros({4}), {}), ShapeError,
                   "[conv2d] bias has shape (4), needs (6) for the outputs of weight (6, 3, 3, 4)");
  CHECK_MESSAGE_OF(conv2d(x, zeros({6, 7, 7, 4}), {}, {}), ShapeError,
                   "[conv2d] the kernel of weight (6, 7, 7, 4) does not fit into x (1, 5, 5, 4) padded by 0");
  CHECK_MESSAGE_OF(conv2d(x, weight, {}, {0, 1, 1}), ConfigError,
                   "[conv2d] stride 0, padding 1, groups 1: stride and groups start at 1, padding at 0");
  CHECK_MESSAGE_OF(conv2d(x, weight, {}, {1, -1, 1}), ConfigError,
                   "[conv2d] stride 1, padding -1, groups 1: stride and groups start at 1, padding at 0");
  CHECK_MESSAGE_OF(conv2d(Variable(), weight, {}, {}), TypeError, "[conv2d] x is undefined");
  CHECK_MESSAGE_OF(conv2d(x, Variable(Tensor::zeros({6, 3, 3, 4}, DType::float32, device)), {}, {}),
                   TypeError, "[conv2d] x is float64, but weight is float32");
}

}  // namespace
}  // namespace fer::test
