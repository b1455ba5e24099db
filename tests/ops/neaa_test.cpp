// anchor_loss, neutral_loss, neaa_loss.
#include "tests/ops/op_test.h"

namespace fer::test {
namespace {

OP_TEST("anchor_loss: by hand; the least entropy is the anchor, and gradients reach it") {
  // Class 0: samples 0, 2 and 3; 2 is the most confident. Class 1: sample 1, its own anchor. Class 2: absent.
  const Tensor scores = Tensor::from<double>({4, 3}, {1, 0, 0, 0, 5, 0, 9, 0, 0, 2, 0, 0}, device);
  const Tensor classes = labels({0, 1, 0, 0}, device);
  Variable f = leaf({4, 2}, {1, 0, 7, 7, 3, 0, 3, 6}, device);
  const Variable loss = anchor_loss(f, scores, classes);
  // Dist: (2^2 + 0)/2 = 2, 0, (0 + 6^2)/2 = 18; their mean over three samples.
  CHECK(loss.item() == doctest::Approx(20.0 / 3).epsilon(1e-14));
  loss.backward();
  // 2 (f - a) / (n_c D) = (f - a) / 3
  check_values(f.grad(), {4, 2}, {-2.0 / 3, 0, 0, 0, 2.0 / 3, -2, 0, 2}, 1e-14);
  check_values(anchor_loss(f, scores, classes, 0).value(), {}, {0});
  CHECK(anchor_loss(f, scores, classes, 1).item() == loss.item());
}

OP_TEST("anchor_loss: the first of equally sure samples is the anchor") {
  const Tensor scores = Tensor::zeros({3, 2}, DType::float64, device);
  Variable f = leaf({3, 1}, {0, 3, 6}, device);
  CHECK(anchor_loss(f, scores, labels({1, 1, 1}, device)).item() == doctest::Approx((0 + 9 + 36) / 3.0));
}

OP_TEST("anchor_loss: equals its composition over the classes") {
  const auto in = CaseInputs("anchor oracle", device)
                      .uniform("features", {13, 5})
                      .uniform("scores", {13, 3}, -2, 2, false)
                      .take();
  std::vector<std::int64_t> label;
  for (std::int64_t i = 0; i < 13; ++i) label.push_back(i * i % 3);  // 0 and 1; class 2 is absent
  check_equivalent(
      [&](const auto& v) { return anchor_loss(v[0], v[1].value(), labels(label, v[0].device())); },
      [&](const auto& v) {
        const std::vector<double> h = numbers(entropy(v[1]).value());
        Variable total;
        for (std::int64_t c : {0, 1}) {
          std::vector<Variable> members;
          std::int64_t anchor = -1;
          for (std::int64_t i = 0; i < 13; ++i) {
            if (label[i] != c) continue;
            members.push_back(slice(v[0], 0, i, 1));
            if (anchor < 0 || h[i] < h[anchor]) anchor = i;
          }
          const Variable d = sub(concat(members, 0), slice(v[0], 0, anchor, 1));
          total = total.defined() ? add(total, mean(mul(d, d))) : mean(mul(d, d));
        }
        return total;
      },
      in);
}

OP_TEST("neutral_loss: by hand") {
  Variable f = leaf({3, 2}, {0, 0, 5, 5, 4, 2}, device);
  const Variable loss = neutral_loss(f, labels({6, 1, 6}, device), 6);
  CHECK(loss.item() == doctest::Approx(2 * (16 + 4) / 2.0));  // two ordered pairs over (2 - 1)^2
  loss.backward();
  check_values(f.grad(), {3, 2}, {-8, -4, 0, 0, 8, 4}, 1e-14);
}

OP_TEST("neutral_loss: equals Eq. 9 as printed, over all pairs") {
  for (std::int64_t n : {1, 2, 3, 17, 64}) {
    std::vector<std::int64_t> label;
    for (std::int64_t i = 0; i < n; ++i) label.push_back(i % 3 == 1 ? 0 : 6);
    const auto in = CaseInputs("neutral oracle", device).uniform("features", {n, 7}).take();
    check_equivalent(
        [&](const auto& v) { return neutral_loss(v[0], labels(label, v[0].device()), 6); },
        [&](const auto& v) { return neutral_loss_composed(v[0], labels(label, v[0].device()), 6); }, in);
    const Tensor where = labels(label, device);
    Tensor pairwise = Tensor::empty({}, DType::float64, device);
    backend(device).neutral_loss_pairwise_forward(in[0].value(), where, 6, pairwise);
    CHECK(difference(neutral_loss(in[0], where, 6).value(), pairwise) < 1e-13);
  }
}

OP_TEST("neutral_loss: nearly equal features far from the origin") {
  std::vector<double> values;
  for (int i = 0; i < 48; ++i) values.push_back(1e6 + (i * 31 % 48) * 1e-6);
  const Tensor all = labels(std::vector<std::int64_t>(8, 1), device);
  const Variable f = leaf({8, 6}, values, device);
  const double expected = neutral_loss_composed(f, all, 1).item();
  CHECK(expected > 1e-12);
  CHECK(std::abs(neutral_loss(f, all, 1).item() - expected) < 1e-6 * expected);
}

OP_TEST("neutral_loss: fewer than two neutral samples give a zero loss and a zero gradient") {
  for (const std::vector<std::int64_t>& label : {std::vector<std::int64_t>{0, 1}, {0, 6}}) {
    Variable f = leaf({2, 1}, {1, 2}, device);
    const Variable loss = neutral_loss(f, labels(label, device), 6);
    check_values(loss.value(), {}, {0});
    loss.backward();
    check_values(f.grad(), {2, 1}, {0, 0});
  }
}

OP_TEST("neaa_loss: is Eq. 8 plus Eq. 9") {
  const auto in =
      CaseInputs("neaa", device).uniform("features", {9, 4}).uniform("scores", {9, 3}, -2, 2, false).take();
  const Tensor label = labels({0, 1, 2, 0, 1, 2, 2, 2, 0}, device);
  check_equivalent([&](const auto& v) { return neaa_loss(v[0], v[1].value(), label, 2); },
                   [&](const auto& v) {
                     return add(anchor_loss(v[0], v[1].value(), label, 2),
                                neutral_loss_composed(v[0], label, 2));
                   },
                   in);
}

OP_TEST("neaa: errors") {
  const Variable f(Tensor::zeros({2, 3}, DType::float64, device));
  const Tensor s = Tensor::zeros({2, 4}, DType::float64, device), l = labels({0, 1}, device);
  CHECK_MESSAGE_OF(anchor_loss(f, s, labels({0, 4}, device)), DataError,
                   "[anchor_loss] label 4 of sample 1 is outside of 0 .. 3");
  CHECK_MESSAGE_OF(anchor_loss(f, s, labels({0}, device)), ShapeError,
                   "[anchor_loss] labels have shape (1), need one a row of features (2, 3)");
  CHECK_MESSAGE_OF(anchor_loss(f, Tensor::zeros({3, 4}, DType::float64, device), l), ShapeError,
                   "[anchor_loss] scores have shape (3, 4), need a row of K each for features (2, 3)");
  CHECK_MESSAGE_OF(anchor_loss(f, Tensor::zeros({2}, DType::float64, device), l), ShapeError,
                   "[anchor_loss] scores needs 2 dimensions, N x K, got shape (2)");
  CHECK_MESSAGE_OF(anchor_loss(f, Tensor(), l), TypeError, "[anchor_loss] scores is undefined");
  CHECK_MESSAGE_OF(anchor_loss(f, s, l, 4), ConfigError,
                   "[anchor_loss] there is no class 4 to skip among 4; -1 skips none");
  CHECK_MESSAGE_OF(neutral_loss(Variable(Tensor::zeros({2, 3, 1}, DType::float64, device)), l, 0), ShapeError,
                   "[neutral_loss] features needs 2 dimensions, N x D, got shape (2, 3, 1)");
  CHECK_MESSAGE_OF(neutral_loss(f, Tensor::zeros({2}, DType::float64, device), 0), TypeError,
                   "[neutral_loss] labels are float64, need int64");
  CHECK_MESSAGE_OF(
      neutral_loss(Variable(Tensor::zeros({0, 3}, DType::float64, device)), labels({}, device), 0),
      ShapeError, "[neutral_loss] features of shape (0, 3) hold no sample");
}

}  // namespace
}  // namespace fer::test
