// attention, against its composed forms.
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

/// With a bias, inputs are q, k, v and the bias.
DifferentiableFunction fused_with_bias(int heads, const Variable& mask = {}) {
  return [heads, mask](const std::vector<Variable>& v) {
    return attention(v[0], v[1], v[2], heads, v[3], mask);
  };
}
/// The same, with all scores in memory. mask: float64, 1 where a key is seen.
DifferentiableFunction composed_with_bias(int heads, const Variable& mask = {}) {
  return [heads, mask](const std::vector<Variable>& v) {
    const std::int64_t n = v[0].dim(0), width = v[0].dim(2) / heads;
    const auto by_head = [&](const Variable& x) {
      return permute(reshape(x, {n, x.dim(1), heads, width}), {0, 2, 1, 3});
    };
    const Variable q = scale(by_head(v[0]), 1.0 / std::sqrt(static_cast<double>(width)));
    Variable scores = add(matmul(q, transpose(by_head(v[1]))), v[3]);
    if (mask.defined()) scores = add(scores, log(mask));  // log 0 = -infinity
    const Variable y = matmul(softmax(scores), by_head(v[2]));
    return reshape(permute(y, {0, 2, 1, 3}), v[0].shape());
  };
}

OP_TEST("attention: bias and mask equal their composed form, and so does the bias's gradient") {
  struct Case {
    std::int64_t batch, queries, keys, dim;
    int heads;
    Shape bias, mask;
  };
  for (const Case& c : {Case{2, 5, 7, 8, 2, {2, 5, 7}, {}},
                        {2, 5, 7, 8, 2, {2, 2, 5, 7}, {2, 1, 1, 7}},
                        {1, 9, 9, 12, 3, {9, 9}, {9, 9}},
                        {3, 1, 65, 12, 3, {3, 1, 65}, {3, 1, 1, 65}},
                        {2, 66, 33, 6, 1, {33}, {66, 33}},
                        {2, 3, 4, 6, 3, {}, {2, 3, 3, 4}}}) {
    CAPTURE(c.bias.str());
    CAPTURE(c.mask.str());
    std::vector<std::uint8_t> seen;
    Random random({3, fnv1a64("attention mask"), 0});
    for (std::int64_t i = 0; i < c.mask.numel(); ++i) {
      const bool first = c.mask.rank() == 0 || i % c.mask[-1] == 0;  // every query sees a key
      seen.push_back(first || random.below(2) == 0 ? 1 : 0);
    }
    const Tensor mask = Tensor::from<std::uint8_t>(c.mask, seen, device);
    check_equivalent(fused_with_bias(c.heads, Variable(mask)),
                     composed_with_bias(c.heads, Variable(mask.to(DType::float64))),
                     CaseInputs("attention bias", device)
                         .uniform("q", {c.batch, c.queries, c.dim}, -2, 2)
                         .uniform("k", {c.batch, c.keys, c.dim}, -2, 2)
                         .uniform("v", {c.batch, c.keys, c.dim})
                         .uniform("bias", c.bias, -3, 3)
                         .take());
  }
}

OP_TEST("attention: masked keys equal absent keys") {
  const Tensor mask = Tensor::from<std::uint8_t>({1, 1, 1, 9}, {0, 1, 1, 1, 1, 0, 0, 0, 0}, device);
  check_equivalent(
      [&](const auto& v) { return attention(v[0], v[1], v[2], 3, {}, Variable(mask)); },
      [](const auto& v) { return attention(v[0], slice(v[1], 1, 1, 4), slice(v[2], 1, 1, 4), 3); },
      CaseInputs("attention mask", device)
          .uniform("q", {2, 7, 12})
          .uniform("k", {2, 9, 12})
          .uniform("v", {2, 9, 12})
          .take());
}

OP_TEST("attention: a causal mask, and a query that sees nothing gives zeros and takes no gradient") {
  Variable q = leaf({1, 3, 1}, {1, -2, 0.5}, device), k = leaf({1, 3, 1}, {0, 0, 0}, device);
  Variable v = leaf({1, 3, 1}, {2, 4, 9}, device);
  const Variable causal(Tensor::from<std::uint8_t>({3, 3}, {1, 0, 0, 1, 1, 0, 1, 1, 1}, device));
  check_values(attention(q, k, v, 1, {}, causal).value(), {1, 3, 1}, {2, 3, 5}, 1e-14);
  // Strictly before: the first query sees nothing. By mask, and by a bias of -infinity.
  const Variable before(Tensor::from<std::uint8_t>({3, 3}, {0, 0, 0, 1, 0, 0, 1, 1, 0}, device));
  const double no = -INFINITY;
  Variable bias = leaf({3, 3}, {no, no, no, 0, no, no, 0, 0, no}, device);
  for (const Variable& y : {attention(q, k, v, 1, {}, before), attention(q, k, v, 1, bias)}) {
    check_values(y.value(), {1, 3, 1}, {0, 2, 3}, 1e-14);
    q.zero_grad();
    k.zero_grad();
    v.zero_grad();
    sum(y).backward();
    check_values(v.grad(), {1, 3, 1}, {1.5, 0.5, 0}, 1e-14);
    check_values(q.grad(), {1, 3, 1}, {0, 0, 0}, 1e-14);
    check_values(k.grad(), {1, 3, 1}, {-0.25, 0.25, 0}, 1e-14);
  }
  check_values(bias.grad(), {3, 3}, {0, 0, 0, 0, 0, 0, -0.5, 0.5, 0}, 1e-14);
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
  CHECK_MESSAGE_OF(
      attention(q, k, k, 2, zeros({2, 5})), ShapeError,
      "[attention] bias of shape (2, 5) does not broadcast to the scores, N x heads x Tq x Tk (2, 2, "
      "3, 5); a mask of keys is N x 1 x 1 x Tk");
  CHECK_MESSAGE_OF(
      attention(q, k, k, 2, zeros({1, 2, 2, 3, 5})), ShapeError,
      "[attention] bias of shape (1, 2, 2, 3, 5) does not broadcast to the scores, N x heads x Tq x Tk "
      "(2, 2, 3, 5); a mask of keys is N x 1 x 1 x Tk");
  CHECK_MESSAGE_OF(attention(q, k, k, 2, Variable(Tensor::zeros({3, 5}, DType::float32, device))), TypeError,
                   "[attention] bias is float32, needs float64");
  CHECK_MESSAGE_OF(attention(q, k, k, 2, {}, zeros({3, 5})), TypeError,
                   "[attention] mask is float64, needs uint8");
  if (device != Device::cpu) {
    CHECK_MESSAGE_OF(attention(q, k, k, 2, {}, Variable(Tensor::zeros({3, 5}, DType::uint8))), TypeError,
                     concat("[attention] q is on ", device, ", but mask is on cpu").c_str());
  }
  CHECK_MESSAGE_OF(attention_composed(q, k, k, 3), ShapeError,
                   "[attention_composed] 3 heads do not divide the 8 channels of q (2, 3, 8)");
}

}  // namespace
}  // namespace fer::test
