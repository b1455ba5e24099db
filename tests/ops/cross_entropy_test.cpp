// cross_entropy, soft_cross_entropy, entropy, against their composition from log_softmax.
#include "tests/ops/op_test.h"

namespace fer::test {
namespace {

std::vector<Variable> scores(std::int64_t n, std::int64_t k, Device device) {
  return CaseInputs("cross_entropy", device).uniform("scores", {n, k}, -4, 4).take();
}

Tensor cyclic_labels(std::int64_t n, std::int64_t k, Device device) {
  std::vector<std::int64_t> values;
  for (std::int64_t i = 0; i < n; ++i) values.push_back(i * 3 % k);
  return labels(values, device);
}

/// (1 - smoothing) onehot + smoothing / K
Variable smoothed(std::int64_t n, std::int64_t k, double smoothing, Device device) {
  std::vector<double> target(n * k, smoothing / static_cast<double>(k));
  for (std::int64_t i = 0; i < n; ++i) target[i * k + i * 3 % k] += 1 - smoothing;
  return leaf({n, k}, target, device, false);
}

Variable composed(const Variable& s, const Variable& target) {
  return scale(sum(mul(target, log_softmax(s))), -1.0 / static_cast<double>(s.dim(0)));
}

OP_TEST("cross_entropy: equals its composition, smoothed and not") {
  for (const auto& [n, k] : {std::pair<std::int64_t, std::int64_t>{1, 7}, {5, 8}, {144, 7}, {3, 2}}) {
    for (double smoothing : {0.0, 0.1, 1.0}) {
      check_equivalent(
          [=, n = n, k = k](const auto& v) {
            return cross_entropy(v[0], cyclic_labels(n, k, v[0].device()), smoothing);
          },
          [=, n = n, k = k](const auto& v) {
            return composed(v[0], smoothed(n, k, smoothing, v[0].device()));
          },
          scores(n, k, device));
    }
  }
}

OP_TEST("cross_entropy: by hand") {
  const Variable s = leaf({2, 2}, {0, std::log(3.0), 5, 5}, device);
  CHECK(cross_entropy(s, labels({1, 0}, device)).item() ==
        doctest::Approx((std::log(4.0 / 3) + std::log(2.0)) / 2).epsilon(1e-14));
}

OP_TEST("cross_entropy: confident and wrong, confident and right") {
  Variable s(Tensor::from<double>({2, 2}, {1e4, 0, 0, 1e4}).to(DType::float32).to(device), true);
  const Variable loss = cross_entropy(s, labels({1, 1}, device));
  CHECK(loss.item() == doctest::Approx(5000));
  loss.backward();
  check_values(s.grad(), {2, 2}, {0.5, -0.5, 0, 0}, 1e-6);
}

OP_TEST("soft_cross_entropy: equals its composition, also for rows that do not sum to one") {
  const auto in = CaseInputs("soft_cross_entropy", device)
                      .uniform("scores", {17, 8}, -4, 4)
                      .uniform("target", {17, 8}, 0, 1)
                      .take();
  check_equivalent([](const auto& v) { return soft_cross_entropy(v[0], v[1]); },
                   [](const auto& v) { return composed(v[0], v[1]); }, in);
}

OP_TEST("entropy: equals its composition") {
  check_equivalent(
      [](const auto& v) { return entropy(v[0]); },
      [](const auto& v) {
        return reshape(sum_to(scale(mul(softmax(v[0]), log_softmax(v[0])), -1.0), {17, 1}), {17});
      },
      scores(17, 7, device));
}

OP_TEST("entropy: certain is 0, undecided is log K, and neither has a gradient") {
  Variable s = leaf({2, 4}, {1e3, 0, 0, 0, 2, 2, 2, 2}, device);
  const Variable h = entropy(s);
  check_values(h.value(), {2}, {0, std::log(4.0)}, 1e-14);
  h.backward(Tensor::full({2}, 1.0, DType::float64, device));
  check_values(s.grad(), {2, 4}, std::vector<double>(8, 0.0), 1e-14);
}

OP_TEST("cross_entropy: errors") {
  const Variable s(Tensor::zeros({2, 3}, DType::float64, device));
  CHECK_MESSAGE_OF(cross_entropy(s, labels({0, 3}, device)), DataError,
                   "[cross_entropy] label 3 of sample 1 is outside of 0 .. 2");
  CHECK_MESSAGE_OF(cross_entropy(s, labels({-1, 0}, device)), DataError,
                   "[cross_entropy] label -1 of sample 0 is outside of 0 .. 2");
  CHECK_MESSAGE_OF(cross_entropy(s, labels({0}, device)), ShapeError,
                   "[cross_entropy] labels have shape (1), need one a row of scores (2, 3)");
  CHECK_MESSAGE_OF(cross_entropy(s, Tensor::zeros({2}, DType::int32, device)), TypeError,
                   "[cross_entropy] labels are int32, need int64");
  CHECK_MESSAGE_OF(cross_entropy(s, Tensor()), TypeError, "[cross_entropy] labels are undefined");
  CHECK_MESSAGE_OF(cross_entropy(s, labels({0, 0}, device), 1.5), ConfigError,
                   "[cross_entropy] the label smoothing 1.5 is outside of [0, 1]");
  const Variable flat(Tensor::zeros({3}, DType::float64, device)),
      none(Tensor::zeros({0, 3}, DType::float64, device));
  CHECK_MESSAGE_OF(cross_entropy(flat, labels({0, 0, 0}, device)), ShapeError,
                   "[cross_entropy] scores needs 2 dimensions, N x K, got shape (3)");
  CHECK_MESSAGE_OF(cross_entropy(none, labels({}, device)), ShapeError,
                   "[cross_entropy] scores of shape (0, 3) hold no sample");
  CHECK_MESSAGE_OF(soft_cross_entropy(s, Variable(Tensor::zeros({2, 4}, DType::float64, device))), ShapeError,
                   "[soft_cross_entropy] target has shape (2, 4), needs (2, 3) for the scores (2, 3)");
  CHECK_MESSAGE_OF(entropy(flat), ShapeError, "[entropy] scores needs 2 dimensions, N x K, got shape (3)");
  if (device != Device::cpu) {
    CHECK_MESSAGE_OF(cross_entropy(s, labels({0, 0}, Device::cpu)), TypeError,
                     concat("[cross_entropy] scores is on ", device, ", but labels are on cpu").c_str());
  }
}

}  // namespace
}  // namespace fer::test
