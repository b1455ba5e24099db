// Training in tf32 and bf16 stays close to training in float32, and bf16 halves the memory of activations.
#include "fer/tensor/precision.h"
#include "fer/losses/losses.h"
#include "fer/models/fernet.h"
#include "fer/models/presets.h"
#include "fer/training/optimizer.h"
#include "tests/ops/op_test.h"

namespace fer {
namespace {

struct Course {
  std::vector<double> losses;
  std::vector<double> gradient;  ///< of the first step, all parameters
  std::size_t activations = 0;   ///< bytes held between forward and backward of the first step
};

Course train_tiny(Device device, Precision precision, int steps) {
  const PrecisionScope scope(device, precision);
  FERNetConfig config = preset("tiny", 5);
  config.image_size = 32;
  FERNet model(config);
  model.initialise(1);
  model.to(device);
  model.train();
  Adam adam(model.parameters(), {.lr = 1e-3});
  const FERLoss criterion(FERLossConfig{.neutral = 4});
  Random random({3, fnv1a64("precision_test.images"), 0});
  std::vector<float> pixels(8 * 32 * 32 * 3);
  for (float& pixel : pixels) pixel = static_cast<float>(random.uniform(-1.0, 1.0));
  const Variable x(Tensor::from({8, 32, 32, 3}, pixels, device));
  const Tensor truth = test::labels({0, 1, 2, 3, 4, 4, 1, 0}, device);

  Course course;
  for (int step = 0; step < steps; ++step) {
    const RandomScope draws(1, static_cast<std::uint64_t>(step));
    const std::size_t before = backend(device).memory_stats().live;
    const NetworkOutput out = model(x);
    if (step == 0) course.activations = backend(device).memory_stats().live - before;
    const Variable loss = criterion(out.scores, out.token, truth).total;
    course.losses.push_back(loss.value().item());
    loss.backward();
    if (step == 0) {
      for (const NamedVariable& p : adam.parameters()) {
        if (!p.variable.grad().defined()) continue;
        for (const double value : test::numbers(p.variable.grad())) course.gradient.push_back(value);
      }
    }
    const NoGrad no_grad;
    adam.step();
    adam.zero_grad();
  }
  return course;
}

double cosine(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) ab += a[i] * b[i], aa += a[i] * a[i], bb += b[i] * b[i];
  return ab / std::sqrt(aa * bb);
}

OP_TEST("precision: the tiny model trains as in float32") {
  if (device == Device::cpu) return;
  const Course exact = train_tiny(device, Precision::float32, 6);
  CHECK(exact.losses.back() < exact.losses.front());
  for (const Precision precision : {Precision::tf32, Precision::bf16}) {
    CAPTURE(precision);
    const Course course = train_tiny(device, precision, 6);
    const double e = operand_rounding(precision);
    CHECK(course.losses.back() < course.losses.front());
    // The first loss is affected by about twenty successive roundings, later ones also by changed weights.
    CHECK(std::abs(course.losses.front() - exact.losses.front()) <= 4 * e * exact.losses.front());
    for (std::size_t i = 0; i < course.losses.size(); ++i) {
      CHECK(std::abs(course.losses[i] - exact.losses[i]) <= 40 * e * exact.losses[i]);
    }
    CHECK(course.losses != exact.losses);  // it did round
    MESSAGE(name_of(precision), " on ", name_of(device), ": losses ", course.losses.front(), " ... ",
            course.losses.back(), ", float32 ", exact.losses.front(), " ... ", exact.losses.back(),
            "; cosine of the gradients 1 - ", 1 - cosine(course.gradient, exact.gradient), "; activations ",
            course.activations, " bytes, float32 ", exact.activations);
    CHECK(1 - cosine(course.gradient, exact.gradient) <= 40 * e);
    // In bf16 the maps are half as large; the float32 data besides them (statistics, an arg-max) are small.
    if (precision == Precision::bf16) {
      CHECK(static_cast<double>(course.activations) < 0.6 * static_cast<double>(exact.activations));
    } else {
      CHECK(course.activations == exact.activations);
    }
  }
}

OP_TEST("precision: what the tiny model predicts, scores and points, is float32 and near float32's") {
  if (device == Device::cpu) return;
  FERNetConfig config = preset("tiny", 5);
  config.image_size = 112;  // what the head of the landmark net is made for
  config.landmarks.head = true;
  FERNet model(config);
  model.initialise(2);
  model.to(device);
  model.freeze_landmarks();
  model.eval();
  Random random({5, fnv1a64("precision_test.images"), 0});
  std::vector<float> pixels(112 * 112 * 3);
  for (float& pixel : pixels) pixel = static_cast<float>(random.uniform(-1.0, 1.0));
  const Variable x(Tensor::from({1, 112, 112, 3}, pixels, device));
  const NoGrad no_grad;
  const auto predict = [&](Precision precision) {
    const PrecisionScope scope(device, precision);
    const Variable f_lm = model.landmark_features(x), f_img = model.image_features(x);
    CHECK(f_img.dtype() == activation_type(x.value()));
    CHECK(f_lm.dtype() == f_img.dtype());
    AttentionTrace trace;
    const NetworkOutput out = model.classify(f_img, f_lm, &trace);
    CHECK(trace.attention.front().dtype() == DType::float32);
    return std::vector<Tensor>{out.scores.value(), out.token.value(), model.landmarks(x).value()};
  };
  const std::vector<Tensor> exact = predict(Precision::float32), rounded = predict(Precision::bf16);
  for (std::size_t i = 0; i < exact.size(); ++i) {
    CAPTURE(i);
    CHECK(rounded[i].dtype() == DType::float32);
    const double difference = test::difference(rounded[i], exact[i]);
    CHECK(difference > 0);
    CHECK(difference <= 8 * operand_rounding(Precision::bf16));
  }
}

}  // namespace
}  // namespace fer
