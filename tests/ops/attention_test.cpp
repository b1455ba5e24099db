// attention, against its composed form.
#include "tests/ops/op_test.h"

namespace fer::test {
namespace {

DifferentiableFunction fused(int heads) {
  return [heads](const std::vector<Variable>& v) { return attention(v[0], v[1], v[2], heads); };
}
DifferentiableFunction composed(int heads) {
  return [heads](const std::vector<Variable>& v) { return attention_composed(v[0], v[1], v[2], heads); };
}

OP_TEST("attention: equals its composed form") {
  struct Extents {
    std::int64_t batch, queries, keys, dim;
    int heads;
  };
  for (const Extents& e : {Extents{1, 1, 1, 1, 1},
                           {2, 5, 5, 8, 2},
                           {1, 1, 197, 96, 1},
                           {2, 17, 33, 24, 3},
                           {1, 65, 31, 10, 5},
                           {3, 7, 64, 48, 4}}) {
    CAPTURE(e.queries);
    CAPTURE(e.keys);
    check_equivalent(fused(e.heads), composed(e.heads),
                     CaseInputs("attention oracle", device)
                         .uniform("q", {e.batch, e.queries, e.dim}, -2, 2)
                         .uniform("k", {e.batch, e.keys, e.dim}, -2, 2)
                         .uniform("v", {e.batch, e.keys, e.dim})
                         .take());
  }
}

OP_TEST("attention: scores far beyond the range of exp") {
  check_equivalent(fused(2), composed(2),
                   CaseInputs("attention large", device)
                       .uniform("q", {1, 9, 8}, -60, 60)
                       .uniform("k", {1, 9, 8}, -60, 60)
                       .uniform("v", {1, 9, 8})
                       .take(),
                   1e-10);
}

OP_TEST("attention: equal scores give the mean of the values") {
  const Variable q = leaf({1, 2, 2}, {0, 0, 0, 0}, device), k = leaf({1, 3, 2}, {1, 2, 3, 4, 5, 6}, device);
  const Variable v = leaf({1, 3, 2}, {1, 10, 2, 20, 6, 60}, device);
  check_values(attention(q, k, v, 1).value(), {1, 2, 2}, {3, 30, 3, 30}, 1e-14);
  check_values(attention(q, k, v, 2).value(), {1, 2, 2}, {3, 30, 3, 30}, 1e-14);
}

OP_TEST("attention: by hand, two keys") {
  // Scores over sqrt(4): 0 and log 3, so that the weights are 1/4 and 3/4.
  const Variable q = leaf({1, 1, 4}, {2 * std::log(3.0), 0, 0, 0}, device);
  const Variable k = leaf({1, 2, 4}, {0, 1, 1, 1, 1, 1, 1, 1}, device);
  const Variable v = leaf({1, 2, 4}, {4, 0, 0, 8, 0, 4, 8, 0}, device);
  check_values(attention(q, k, v, 1).value(), {1, 1, 4}, {1, 3, 6, 2}, 1e-14);
}

OP_TEST("attention: the class token's row is the same alone and among the others") {
  const auto in = CaseInputs("attention class token", device)
                      .uniform("q", {2, 7, 12})
                      .uniform("k", {2, 9, 12})
                      .uniform("v", {2, 9, 12})
                      .take();
  check_equivalent([](const auto& v) { return slice(attention(v[0], v[1], v[2], 3), 1, 0, 1); },
                   [](const auto& v) { return attention(slice(v[0], 1, 0, 1), v[1], v[2], 3); }, in);
}

OP_TEST("attention: errors") {
  const auto zeros = [&](const Shape& shape) {
    return Variable(Tensor::zeros(shape, DType::float64, device));
  };
  const Variable q = zeros({2, 3, 8}), k = zeros({2, 5, 8});
  CHECK_MESSAGE_OF(
      attention(q, zeros({2, 5, 6}), k, 2), ShapeError,
      "[attention] q of shape (2, 3, 8) and k of shape (2, 5, 6) differ in more than their tokens");
  CHECK_MESSAGE_OF(
      attention(q, zeros({1, 5, 8}), k, 2), ShapeError,
      "[attention] q of shape (2, 3, 8) and k of shape (1, 5, 8) differ in more than their tokens");
  CHECK_MESSAGE_OF(attention(q, k, zeros({2, 4, 8}), 2), ShapeError,
                   "[attention] v has shape (2, 4, 8), needs (2, 5, 8) for the keys k (2, 5, 8)");
  CHECK_MESSAGE_OF(attention(q, k, k, 3), ShapeError,
                   "[attention] 3 heads do not divide the 8 channels of q (2, 3, 8)");
  CHECK_MESSAGE_OF(attention(q, k, k, 0), ShapeError,
                   "[attention] 0 heads do not divide the 8 channels of q (2, 3, 8)");
  CHECK_MESSAGE_OF(attention(zeros({3, 8}), k, k, 2), ShapeError,
                   "[attention] q needs 3 dimensions, N x Tq x D, got shape (3, 8)");
  CHECK_MESSAGE_OF(attention(q, zeros({2, 0, 8}), zeros({2, 0, 8}), 2), ShapeError,
                   "[attention] k of shape (2, 0, 8) has no tokens");
  CHECK_MESSAGE_OF(attention_composed(q, k, k, 3), ShapeError,
                   "[attention_composed] 3 heads do not divide the 8 channels of q (2, 3, 8)");
}

}  // namespace
}  // namespace fer::test
