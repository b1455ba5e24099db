// The CPU's NeAA: the choice of anchors, the losses against explicit sums, the linear-time neutral loss
// against the sum over all pairs near and far from the origin, and gradients by central differences.
#include <functional>

#include "cpu_values.h"

namespace fer::testing {
namespace {

using Labels = std::vector<std::int64_t>;

Tensor labels_of(const Labels& values) {
  return Tensor::from<std::int64_t>({static_cast<std::int64_t>(values.size())}, values);
}

template <typename T>
Labels anchors_of(const Tensor& scores, const Labels& labels) {
  Tensor anchors = Tensor::full({scores.dim(1)}, 77, DType::int64);
  cpu().class_anchors(scores, labels_of(labels), anchors);
  return anchors.to_vector<std::int64_t>();
}

double anchor_loss(const Tensor& features, const Labels& labels, const Labels& anchors, std::int64_t skip) {
  Tensor loss = poisoned({}, features.dtype());
  cpu().anchor_loss_forward(features, labels_of(labels), labels_of(anchors), skip, loss);
  return loss.item();
}

double neutral_loss(const Tensor& features, const Labels& labels, std::int64_t neutral) {
  Tensor loss = poisoned({}, features.dtype());
  cpu().neutral_loss_forward(features, labels_of(labels), neutral, loss);
  return loss.item();
}

double pairwise_loss(const Tensor& features, const Labels& labels, std::int64_t neutral) {
  Tensor loss = poisoned({}, features.dtype());
  cpu().neutral_loss_pairwise_forward(features, labels_of(labels), neutral, loss);
  return loss.item();
}

template <typename T>
double distance(const Tensor& f, std::int64_t i, std::int64_t j) {
  const std::vector<double> x = doubles<T>(f);
  const std::int64_t dim = f.dim(1);
  double sum = 0;
  for (std::int64_t d = 0; d < dim; ++d) sum += std::pow(x[i * dim + d] - x[j * dim + d], 2);
  return sum / static_cast<double>(dim);
}

std::vector<double> differences(Tensor x, const std::function<double(const Tensor&)>& f) {
  std::vector<double> gradient;
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    constexpr double step = 1e-5;
    double* at = x.mutable_data<double>() + i;
    const double value = *at;
    *at = value + step;
    const double above = f(x);
    *at = value - step;
    gradient.push_back((above - f(x)) / (2 * step));
    *at = value;
  }
  return gradient;
}

}  // namespace

TEST_CASE_TEMPLATE("cpu class anchors: least entropy, the first of equals, -1 for an absent class", T, float,
                   double) {
  //                                          flat     sharp    sharp    sharper (another class)  sharp, other
  //                                          winner
  const Tensor scores = Tensor::from<T>({5, 3}, {0, 0, 0, 4, 0, 0, 0, 4, 0, 9, 0, 0, 0, 0, 4});
  CHECK(anchors_of<T>(scores, {0, 0, 0, 2, 0}) == Labels{1, -1, 3});
  CHECK(anchors_of<T>(scores, {1, 1, 1, 1, 1}) == Labels{-1, 3, -1});
  CHECK(anchors_of<T>(scores, {0, 1, 2, 0, 2}) == Labels{3, 1, 2});
}

TEST_CASE_TEMPLATE("cpu class anchors: nearly certain predictions are still told apart", T, float, double) {
  // Both are one up to rounding; 1 - p is e^-40 and e^-60. Adding to the scores changes nothing.
  const Tensor scores = Tensor::from<T>({3, 2}, {40, 0, 1060, 1000, 50, 0});
  CHECK(anchors_of<T>(scores, {0, 0, 0}) == Labels{1, -1});
}

TEST_CASE("cpu class anchors: labels out of range are named") {
  const Tensor scores = random<float>({3, 4}, "scores");
  CHECK_THROWS_WITH_AS(anchors_of<float>(scores, {0, 4, 1}),
                       "[class_anchors] label 4 of sample 1 is not a class: classes are 0 to 3", DataError);
  CHECK_THROWS_WITH_AS(anchors_of<float>(scores, {-2, 1, 1}),
                       "[class_anchors] label -2 of sample 0 is not a class: classes are 0 to 3", DataError);
}

TEST_CASE_TEMPLATE("cpu anchor loss: mean distance to the anchor, summed over classes", T, float, double) {
  const Tensor f = random<T>({7, 37}, "f");
  const Labels labels{0, 2, 2, 0, 3, 2, 0}, anchors{3, -1, 5, 4};
  const double class0 = (distance<T>(f, 0, 3) + distance<T>(f, 6, 3)) / 3;
  const double class2 = (distance<T>(f, 1, 5) + distance<T>(f, 2, 5)) / 3;
  const double limit = tolerance<T>(1e-14, 1e-6);
  CHECK(anchor_loss(f, labels, anchors, -1) == doctest::Approx(class0 + class2).epsilon(limit));
  CHECK(anchor_loss(f, labels, anchors, 0) == doctest::Approx(class2).epsilon(limit));
  CHECK(anchor_loss(f, labels, anchors, 2) == doctest::Approx(class0).epsilon(limit));
  CHECK(anchor_loss(f, labels, anchors, 3) == doctest::Approx(class0 + class2).epsilon(limit));
}

TEST_CASE(
    "cpu anchor loss: gradient by central differences, also of the anchor; zero for the skipped class") {
  const Labels labels{0, 2, 2, 0, 3, 2, 0}, anchors{3, -1, 5, 4};
  for (std::int64_t dim : {1, 5, 64, 65}) {
    for (std::int64_t skip : {-1, 2}) {
      CAPTURE(dim);
      CAPTURE(skip);
      const Tensor f = random<double>({7, dim}, "f");
      Tensor df = poisoned(f.shape(), DType::float64);
      cpu().anchor_loss_backward(f, labels_of(labels), labels_of(anchors), skip,
                                 Tensor::scalar(1.5, DType::float64), df);
      const auto loss = [&](const Tensor& x) { return 1.5 * anchor_loss(x, labels, anchors, skip); };
      CHECK(error(doubles<double>(df), differences(f, loss)) < 1e-9);
      for (std::int64_t i : {1, 2, 5}) {
        if (skip == 2) CHECK(df.data<double>()[i * dim] == 0);
      }
    }
  }
}

TEST_CASE("cpu anchor loss: a class without its anchor is refused") {
  const Tensor f = random<float>({2, 3}, "f");
  CHECK_THROWS_WITH_AS(anchor_loss(f, {0, 1}, {0, -1}, -1),
                       "[anchor_loss] anchor -1 of class 1, which has 1 samples, is not one of the 2 samples",
                       DataError);
  CHECK_THROWS_WITH_AS(anchor_loss(f, {0, 1}, {0, 2}, -1),
                       "[anchor_loss] anchor 2 of class 1, which has 1 samples, is not one of the 2 samples",
                       DataError);
  CHECK_THROWS_WITH_AS(anchor_loss(f, {0, 5}, {0, 1}, -1),
                       "[anchor_loss] label 5 of sample 1 is not a class: classes are 0 to 1", DataError);
  CHECK_THROWS_WITH_AS(anchor_loss(f, {0}, {0, 1}, -1),
                       "[anchor_loss] needs features N x D and N labels, got (2, 3) and (1)", ShapeError);
}

TEST_CASE_TEMPLATE("cpu neutral loss: the linear form is the sum over pairs", T, float, double) {
  for (std::int64_t n : {0, 1, 2, 3, 17, 60}) {
    CAPTURE(n);
    const Tensor f = random<T>({n + 4, 19}, "f");
    Labels labels{0, 1, 0, 1};
    labels.insert(labels.begin() + 2, n, 6);  // the neutral ones in the middle
    const double linear = neutral_loss(f, labels, 6), pairs = pairwise_loss(f, labels, 6);
    CHECK(linear == doctest::Approx(pairs).epsilon(tolerance<T>(1e-13, 1e-6)));
    CHECK((linear == 0) == (n < 2));
  }
}

TEST_CASE_TEMPLATE("cpu neutral loss: moving all features far away changes nothing", T, float, double) {
  // Steps of 2^-4 around 2^18 are exact in float. The distances are the same numbers, so the losses must be,
  // too.
  std::vector<T> near, far;
  for (int i = 0; i < 9 * 6; ++i) {
    const T value = static_cast<T>(philox_word({1, 2, 3}, i) % 8) / 16;
    near.push_back(value);
    far.push_back(value + T(1 << 18));
  }
  const Tensor f_near = Tensor::from<T>({9, 6}, near), f_far = Tensor::from<T>({9, 6}, far);
  const Labels all(9, 1);
  CHECK(neutral_loss(f_far, all, 1) == neutral_loss(f_near, all, 1));
  CHECK(neutral_loss(f_far, all, 1) == doctest::Approx(pairwise_loss(f_near, all, 1)).epsilon(1e-6));
  Tensor d_near = poisoned({9, 6}, f_near.dtype()), d_far = poisoned({9, 6}, f_near.dtype());
  const Tensor one = Tensor::scalar(1, f_near.dtype());
  cpu().neutral_loss_backward(f_near, labels_of(all), 1, one, d_near);
  cpu().neutral_loss_backward(f_far, labels_of(all), 1, one, d_far);
  CHECK(error(doubles<T>(d_far), doubles<T>(d_near)) < tolerance<T>(1e-15, 1e-7));
}

TEST_CASE(
    "cpu neutral loss: gradient by central differences; zero for other classes and for a single sample") {
  const Tensor f = random<double>({6, 5}, "f");
  const Labels labels{2, 0, 2, 1, 2, 2};
  Tensor df = poisoned(f.shape(), DType::float64);
  const Tensor dloss = Tensor::scalar(-0.7, DType::float64);
  cpu().neutral_loss_backward(f, labels_of(labels), 2, dloss, df);
  CHECK(error(doubles<double>(df),
              differences(f, [&](const Tensor& x) { return -0.7 * pairwise_loss(x, labels, 2); })) < 1e-9);
  cpu().neutral_loss_backward(f, labels_of(labels), 1, dloss, df);
  for (double g : doubles<double>(df)) CHECK(g == 0);
}

TEST_CASE("cpu NeAA: the same bits for any number of threads") {
  const Tensor f = random<float>({144, 768}, "f"), scores = random<float>({144, 7}, "scores", 3);
  Labels labels;
  for (std::int64_t i = 0; i < 144; ++i) labels.push_back(i * i % 7);
  check_any_threads([&] {
    Tensor anchors = Tensor::zeros({7}, DType::int64), loss = Tensor::scalar(0), df = Tensor::empty_like(f);
    cpu().class_anchors(scores, labels_of(labels), anchors);
    cpu().anchor_loss_forward(f, labels_of(labels), anchors, 6, loss);
    cpu().anchor_loss_backward(f, labels_of(labels), anchors, 6, Tensor::scalar(1), df);
    return std::vector<Tensor>{anchors, loss, df};
  });
}

}  // namespace fer::testing
