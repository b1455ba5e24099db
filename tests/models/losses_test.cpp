// Losses: values worked out by hand, parts, and errors. Gradients are in gradients_test.cpp.
#include "fer/losses/losses.h"
#include "tests/ops/op_test.h"

namespace fer {
namespace {

using test::labels;
using test::leaf;

OP_TEST("losses: smoothing of labels and of soft targets agree") {
  const Variable scores = leaf({2, 3}, {1, 2, 3, -1, 0.5, 0}, device);
  const Tensor onehot = Tensor::from<double>({2, 3}, {0, 0, 1, 1, 0, 0}, device);
  for (const double smoothing : {0.0, 0.3}) {
    const CrossEntropyLoss loss(smoothing);
    CHECK(loss.soft(scores, onehot).item() ==
          doctest::Approx(loss(scores, labels({2, 0}, device)).item()).epsilon(1e-12));
  }
}

OP_TEST("losses: anchor, neutral and their sum") {
  // Class 0: samples 0, 1; class 1 (neutral): samples 2, 3. The more confident sample of a class is its
  // anchor.
  const Variable scores = leaf({4, 2}, {9, 0, 1, 0, 0, 9, 0, 1}, device);
  const Variable f = leaf({4, 2}, {0, 0, 2, 0, 1, 1, 1, 5}, device);
  const Tensor y = labels({0, 0, 1, 1}, device);
  const double class0 = (0.0 + (4.0 / 2)) / 2, class1 = (0.0 + (16.0 / 2)) / 2;
  CHECK(AnchorLoss()(f, scores, y).item() == doctest::Approx(class0 + class1));
  CHECK(AnchorLoss(1)(f, scores, y).item() == doctest::Approx(class0));
  const double pairs = 2 * (16.0 / 2) / 1;
  CHECK(NeutralLoss(1)(f, y).item() == doctest::Approx(pairs));
  CHECK(NeAALoss(1)(f, scores, y).item() == doctest::Approx(class0 + pairs));

  const double ce = CrossEntropyLoss()(scores, y).item();
  const FERLossParts parts = FERLoss({.weight = 0.5, .neutral = 1})(scores, f, y);
  CHECK(parts.total.item() == doctest::Approx(ce + 0.5 * (class0 + pairs)));
  CHECK(parts.anchor.item() == doctest::Approx(class0));
  CHECK(parts.neutral.item() == doctest::Approx(pairs));
  const FERLossParts anchor = FERLoss({.auxiliary = AuxiliaryLoss::anchor, .weight = 0.5})(scores, f, y);
  CHECK(anchor.total.item() == doctest::Approx(ce + 0.5 * (class0 + class1)));
  CHECK_FALSE(anchor.neutral.defined());
  const FERLossParts none = FERLoss({.auxiliary = AuxiliaryLoss::none})(scores, f, y);
  CHECK(none.total.item() == doctest::Approx(ce));
  CHECK_FALSE(none.anchor.defined());
}

TEST_CASE("losses: soft targets feed the cross-entropy, labels the anchors") {
  const Variable scores = leaf({2, 2}, {1, 0, 0, 2}, Device::cpu);
  const Variable f = leaf({2, 2}, {0, 0, 2, 0}, Device::cpu);
  const Tensor y = labels({0, 0}, Device::cpu), votes = Tensor::from<double>({2, 2}, {0.5, 0.5, 0.1, 0.9});
  const FERLossParts parts = FERLoss({.neutral = 1})(scores, f, y, votes);
  CHECK(parts.cross_entropy.item() == doctest::Approx(CrossEntropyLoss().soft(scores, votes).item()));
  CHECK(parts.anchor.item() == doctest::Approx(1.0));
}

TEST_CASE("losses: points") {
  const Variable p = leaf({1, 4}, {0, 0, 0, 0}, Device::cpu);
  const Tensor target = Tensor::from<double>({1, 4}, {0.01, -0.01, 0.5, -0.5});
  CHECK(LandmarkLoss(LandmarkLossKind::mse)(p, target).item() ==
        doctest::Approx((2 * 0.0001 + 2 * 0.25) / 4));
  const double inside = 0.0001 / (2 * 0.02), outside = 0.5 - 0.01;
  CHECK(LandmarkLoss(LandmarkLossKind::smooth_l1, 0.02)(p, target).item() ==
        doctest::Approx((2 * inside + 2 * outside) / 4));
  CHECK_MESSAGE_OF(LandmarkLoss()(p, Tensor::zeros({1, 6})), ShapeError,
                   "[landmark_loss] points of shape (1, 4), but the target has (1, 6)");

  std::vector<double> truth(136, 0.5), guess;
  truth[2 * 36] = 0.3;
  truth[2 * 45] = 0.7;  // eyes 0.4 apart
  guess = truth;
  for (std::size_t i = 0; i < 136; i += 2) guess[i] += 0.02;
  CHECK(normalised_mean_error(Tensor::from<double>({1, 136}, guess), Tensor::from<double>({1, 136}, truth)) ==
        doctest::Approx(0.05));
  CHECK_MESSAGE_OF(normalised_mean_error(Tensor::zeros({1, 136}), Tensor::zeros({1, 136})), DataError,
                   "[normalised_mean_error] the eye corners of face 0 fall together");
}

TEST_CASE("losses: errors") {
  CHECK_MESSAGE_OF(FERLoss({}), ConfigError,
                   "the NeAA loss needs the label of the neutral class; a data set without one can use the "
                   "auxiliary loss 'anchor' or 'none'");
  CHECK_MESSAGE_OF(FERLoss({.weight = -1, .neutral = 0}), ConfigError,
                   "the weight of the auxiliary loss is -1; it must be 0 or more");
  CHECK_MESSAGE_OF(CrossEntropyLoss(1.0), ConfigError, "label smoothing 1 is outside of [0, 1)");
  CHECK_MESSAGE_OF(NeutralLoss(-1), ConfigError,
                   "the neutral loss needs the label of the neutral class, got -1");
  CHECK_MESSAGE_OF(parse_auxiliary_loss("center"), ConfigError,
                   "unknown auxiliary loss 'center'; known are none, anchor, neaa");
  CHECK_MESSAGE_OF(parse_landmark_loss("wing"), ConfigError,
                   "unknown landmark loss 'wing'; known are mse, smooth_l1");
  CHECK(parse_auxiliary_loss(name_of(AuxiliaryLoss::anchor)) == AuxiliaryLoss::anchor);
  CHECK(parse_landmark_loss(name_of(LandmarkLossKind::mse)) == LandmarkLossKind::mse);
}

}  // namespace
}  // namespace fer
