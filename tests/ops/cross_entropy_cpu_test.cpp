// The CPU's classification losses: scores far beyond exp's range, targets that do not sum to one, entropies
// of nearly certain predictions, and invalid labels.
#include <functional>
#include <limits>

#include "cpu_values.h"

namespace fer::testing {
namespace {

struct Result {
  double loss;
  std::vector<double> probabilities, dscores;
};

template <typename T>
Result cross_entropy(const Tensor& scores, const Tensor& labels, double smoothing, double dloss) {
  Tensor loss = poisoned({}, scores.dtype()), p = poisoned(scores.shape(), scores.dtype());
  Tensor dscores = poisoned(scores.shape(), scores.dtype());
  cpu().cross_entropy_forward(scores, labels, smoothing, loss, p);
  cpu().cross_entropy_backward(p, labels, smoothing, Tensor::scalar(dloss, scores.dtype()), dscores);
  return {loss.item(), doubles<T>(p), doubles<T>(dscores)};
}

template <typename T>
double entropy_of(const std::vector<T>& row) {
  Tensor h = poisoned({1}, dtype_of<T>());
  cpu().entropy_forward(Tensor::from<T>({1, static_cast<std::int64_t>(row.size())}, row), h);
  return h.item();
}

// df/dx_i by central differences of a function of a double tensor.
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

TEST_CASE_TEMPLATE("cpu cross-entropy: of log softmax, with and without smoothing", T, float, double) {
  for (std::int64_t n : {1, 5, 144, 4099}) {  // the last is cut among threads
    for (double smoothing : {0.0, 0.2}) {
      CAPTURE(n);
      CAPTURE(smoothing);
      constexpr std::int64_t classes = 7;
      const Tensor scores = random<T>({n, classes}, "scores", 5);
      std::vector<std::int64_t> label;
      for (std::int64_t i = 0; i < n; ++i) label.push_back(i * 5 % classes);
      const Result r = cross_entropy<T>(scores, Tensor::from<std::int64_t>({n}, label), smoothing, 2.0);
      const std::vector<double> x = doubles<T>(scores);
      double loss = 0;
      std::vector<double> dx;
      for (std::int64_t i = 0; i < n; ++i) {
        double sum = 0;
        for (std::int64_t k = 0; k < classes; ++k) sum += std::exp(x[i * classes + k]);
        for (std::int64_t k = 0; k < classes; ++k) {
          const double target = (k == label[i] ? 1 - smoothing : 0) + smoothing / classes;
          loss -= target * (x[i * classes + k] - std::log(sum)) / static_cast<double>(n);
          dx.push_back(2.0 / static_cast<double>(n) * (std::exp(x[i * classes + k]) / sum - target));
        }
      }
      CHECK(r.loss == doctest::Approx(loss).epsilon(tolerance<T>(1e-13, 1e-5)));
      CHECK(error(r.dscores, dx) < tolerance<T>(1e-14, 1e-6));
    }
  }
}

TEST_CASE_TEMPLATE("cpu cross-entropy: scores in the thousands", T, float, double) {
  const Tensor scores = Tensor::from<T>({2, 3}, {5000, -5000, 0, -4000, 3000, 3000});
  const Result r = cross_entropy<T>(scores, Tensor::from<std::int64_t>({2}, {1, 2}), 0, 1);
  CHECK(r.loss == doctest::Approx((10000 + std::log(2.0)) / 2));
  CHECK(r.probabilities == std::vector<double>{1, 0, 0, 0, 0.5, 0.5});
  CHECK(r.dscores == std::vector<double>{0.5, -0.5, 0, 0, 0.25, -0.25});
}

TEST_CASE("cpu cross-entropy: a certain and right prediction keeps the digits of its small loss") {
  const Result r =
      cross_entropy<float>(Tensor::from<float>({1, 2}, {30, 0}), Tensor::from<std::int64_t>({1}, {0}), 0, 1);
  CHECK(r.loss / std::exp(-30.0) == doctest::Approx(1).epsilon(1e-5));
}

TEST_CASE("cpu cross-entropy: labels out of range are named") {
  const Tensor scores = random<float>({3, 7}, "scores");
  Tensor loss = Tensor::scalar(0), p = Tensor::empty_like(scores);
  const auto run = [&](std::vector<std::int64_t> labels) {
    cpu().cross_entropy_forward(
        scores, Tensor::from<std::int64_t>({static_cast<std::int64_t>(labels.size())}, labels), 0, loss, p);
  };
  CHECK_THROWS_WITH_AS(run({0, 7, 1}),
                       "[cross_entropy] label 7 of sample 1 is not a class: classes are 0 to 6", DataError);
  CHECK_THROWS_WITH_AS(run({0, 6, -1}),
                       "[cross_entropy] label -1 of sample 2 is not a class: classes are 0 to 6", DataError);
  CHECK_THROWS_WITH_AS(run({0, 1}), "[cross_entropy] 3 samples need as many labels, got (2)", ShapeError);
  Tensor dscores = Tensor::empty_like(scores);
  CHECK_THROWS_AS(cpu().cross_entropy_backward(p, Tensor::from<std::int64_t>({3}, {0, 1, 9}), 0,
                                               Tensor::scalar(1), dscores),
                  DataError);
  Tensor nothing = Tensor::zeros({0, 7});
  CHECK_THROWS_WITH_AS(
      cpu().cross_entropy_forward(nothing, Tensor::zeros({0}, DType::int64), 0, loss, nothing),
      "[cross_entropy] an empty batch has no mean loss", DataError);
  CHECK_THROWS_WITH_AS(cpu().soft_cross_entropy_forward(scores, random<float>({3, 6}, "t"), loss, p),
                       "[soft_cross_entropy] target (3, 6) does not fit scores (3, 7)", ShapeError);
}

TEST_CASE("cpu soft cross-entropy: any target, gradients of scores and target by differences") {
  const Tensor scores = random<double>({4, 5}, "scores", 3), target = random<double>({4, 5}, "target");
  const auto loss_of = [](const Tensor& s, const Tensor& t) {
    Tensor loss = Tensor::scalar(0, DType::float64), p = Tensor::empty_like(s);
    cpu().soft_cross_entropy_forward(s, t, loss, p);
    return 3 * loss.item();
  };
  Tensor loss = Tensor::scalar(0, DType::float64), p = Tensor::empty_like(scores);
  cpu().soft_cross_entropy_forward(scores, target, loss, p);
  Tensor ds = poisoned({4, 5}, DType::float64), dt = poisoned({4, 5}, DType::float64), none;
  const Tensor dloss = Tensor::scalar(3, DType::float64);
  cpu().soft_cross_entropy_backward(scores, p, target, dloss, ds, dt);
  CHECK(error(doubles<double>(ds), differences(scores, [&](const Tensor& s) { return loss_of(s, target); })) <
        1e-8);
  CHECK(error(doubles<double>(dt), differences(target, [&](const Tensor& t) { return loss_of(scores, t); })) <
        1e-8);
  Tensor alone = poisoned({4, 5}, DType::float64);
  cpu().soft_cross_entropy_backward(scores, p, target, dloss, alone, none);
  CHECK(same_bits(alone, ds));

  // Hard labels are a special case.
  const Tensor onehot = Tensor::from<double>({1, 3}, {0, 1, 0}),
               row = Tensor::from<double>({1, 3}, {0.5, -1, 2});
  const Result hard = cross_entropy<double>(row, Tensor::from<std::int64_t>({1}, {1}), 0, 1);
  CHECK(loss_of(row, onehot) / 3 == doctest::Approx(hard.loss).epsilon(1e-14));
}

TEST_CASE_TEMPLATE("cpu entropy: from none to log K, and its digits near certainty", T, float, double) {
  CHECK(entropy_of<T>({1, 1, 1, 1}) == doctest::Approx(std::log(4.0)));
  CHECK(entropy_of<T>({3}) == 0);
  CHECK(entropy_of<T>({0, -std::numeric_limits<T>::infinity()}) == 0);
  CHECK(entropy_of<T>({5000, 5000, -5000}) == doctest::Approx(std::log(2.0)));
  // One class far ahead by g: H = log(1 + e^-g) + g e^-g / (1 + e^-g).
  for (double gap : {20.0, 40.0, 80.0}) {
    const double rest = std::exp(-gap);
    const double expected = std::log1p(rest) + gap * rest / (1 + rest);
    CHECK(entropy_of<T>({static_cast<T>(gap), 0}) / expected == doctest::Approx(1).epsilon(1e-5));
  }
}

TEST_CASE("cpu entropy: gradient by central differences; zero where the entropy is flat") {
  const Tensor scores = random<double>({3, 6}, "scores", 4), dh = random<double>({3}, "dh");
  Tensor h = poisoned({3}, DType::float64), ds = poisoned({3, 6}, DType::float64);
  cpu().entropy_forward(scores, h);
  cpu().entropy_backward(scores, h, dh, ds);
  const auto weighted = [&](const Tensor& s) {
    Tensor value = Tensor::empty({3}, DType::float64);
    cpu().entropy_forward(s, value);
    double sum = 0;
    for (int i = 0; i < 3; ++i) sum += value.data<double>()[i] * dh.data<double>()[i];
    return sum;
  };
  CHECK(error(doubles<double>(ds), differences(scores, weighted)) < 1e-8);

  const Tensor certain = Tensor::from<double>({1, 3}, {0, -HUGE_VAL, -2000});
  Tensor hc = poisoned({1}, DType::float64), dc = poisoned({1, 3}, DType::float64);
  cpu().entropy_forward(certain, hc);
  cpu().entropy_backward(certain, hc, Tensor::from<double>({1}, {1}), dc);
  for (double g : doubles<double>(dc)) CHECK(g == 0);
}

TEST_CASE("cpu cross-entropy: the same bits for any number of threads") {
  const Tensor scores = random<float>({5003, 7}, "scores", 4);
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < 5003; ++i) labels.push_back(i % 7);
  const Tensor label = Tensor::from<std::int64_t>({5003}, labels);
  check_any_threads([&] {
    Tensor loss = Tensor::scalar(0), p = Tensor::empty_like(scores), h = Tensor::empty({5003});
    cpu().cross_entropy_forward(scores, label, 0.1, loss, p);
    cpu().entropy_forward(scores, h);
    return std::vector<Tensor>{loss, p, h};
  });
}

}  // namespace fer::testing
