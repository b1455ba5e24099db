// Grad-CAM against finite differences, rollout against its definition.
#include "fer/report/explain.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "fer/autograd/ops.h"
#include "fer/error.h"
#include "fer/tensor/random.h"

namespace {

using fer::Tensor;
using fer::Variable;

Tensor noise(const fer::Shape& shape, std::uint64_t index) {
  fer::Random random({5, fer::fnv1a64("explain"), index});
  std::vector<float> values(static_cast<std::size_t>(shape.numel()));
  for (float& v : values) v = static_cast<float>(random.normal());
  return Tensor::from<float>(shape, values);
}

/// The map from central differences of `score` at `features` (1 x h x w x C). A channel's weight is the mean
/// of its slopes over the pixels, so all pixels of a channel are moved together.
std::vector<double> cam_by_differences(const Tensor& features,
                                       const std::function<double(const Tensor&)>& score, float step) {
  const auto channels = static_cast<std::size_t>(features.dim(3));
  const auto values = features.to_vector<float>();
  const std::size_t pixels = values.size() / channels;
  std::vector<double> map(pixels, 0.0);
  for (std::size_t c = 0; c < channels; ++c) {
    auto up = values, down = values;
    for (std::size_t i = c; i < values.size(); i += channels) up[i] += step, down[i] -= step;
    const double slope = (score(Tensor::from<float>(features.shape(), up)) -
                          score(Tensor::from<float>(features.shape(), down))) /
                         (2.0 * step);
    for (std::size_t p = 0; p < pixels; ++p) {
      map[p] += slope / static_cast<double>(pixels) * values[p * channels + c];
    }
  }
  for (double& m : map) m = std::max(0.0, m);
  return map;
}

fer::FERNetConfig tiny_config() {
  fer::FERNetConfig config = fer::preset("tiny");
  config.image_size = 32;
  return config;
}

}  // namespace

TEST_CASE("Grad-CAM of a small head equals central differences") {
  const Tensor features = noise({1, 3, 4, 5}, 0), weight = noise({2, 5}, 1);
  const auto rest = [&](const Variable& a) {
    return fer::linear(fer::global_avg_pool2d(fer::gelu(a)), Variable(weight));
  };
  for (const std::int64_t target : {0, 1}) {
    const auto maps = fer::grad_cam(features, rest, {target});
    const auto expected = cam_by_differences(
        features,
        [&](const Tensor& a) {
          return rest(Variable(a)).value().to_vector<float>()[static_cast<std::size_t>(target)];
        },
        1e-2f);
    REQUIRE(maps.size() == 1);
    CHECK(maps[0].height == 3);
    CHECK(maps[0].width == 4);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      CHECK(maps[0].values[i] == doctest::Approx(expected[i]).epsilon(2e-2));
    }
  }
  CHECK_THROWS_WITH_AS(fer::grad_cam(features, rest, {2}), "[grad_cam] there is no class 2 among 2",
                       fer::DataError);
  CHECK_THROWS_AS(fer::grad_cam(features, rest, {0, 1}), fer::ShapeError);
}

TEST_CASE("Grad-CAM of the network at f_fusion equals central differences through the attention") {
  fer::FERNet model(tiny_config());
  model.initialise(2);
  model.freeze_landmarks();
  model.eval();
  const Tensor x = noise({1, 32, 32, 3}, 3);
  const auto maps = fer::grad_cam(model, x, "f_fusion", {4});
  fer::NoGrad no_grad;
  const Variable f_lm = model.landmark_features(Variable(x));
  const Tensor fused = model.attention().fuse(model.image_features(Variable(x)), f_lm).value();
  const auto expected = cam_by_differences(
      fused,
      [&](const Tensor& a) {
        return model.classify_fused(Variable(a), f_lm).scores.value().to_vector<float>()[4];
      },
      2e-2f);
  const double greatest = *std::max_element(expected.begin(), expected.end());
  CHECK(greatest > 0);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CHECK(std::abs(maps[0].values[i] - expected[i]) < 0.03 * greatest);
  }
}

TEST_CASE("Grad-CAM works at every layer and in batches, and leaves no gradients in parameters") {
  fer::FERNet model(tiny_config());
  model.initialise(2);
  model.freeze_landmarks();
  model.eval();
  const Tensor x = noise({2, 32, 32, 3}, 3);
  CHECK(model.layers() == std::vector<std::string>{"stage1", "stage2", "stage3", "f_img", "f_fusion"});
  for (const std::string& layer : model.layers()) {
    const auto both = fer::grad_cam(model, x, layer, {1, 3});
    const auto second = fer::grad_cam(model, x.slice(1, 1), layer, {3});
    REQUIRE(both.size() == 2);
    for (std::size_t i = 0; i < second[0].values.size(); ++i) {
      CHECK(both[1].values[i] == doctest::Approx(second[0].values[i]).epsilon(1e-3));
    }
  }
  // Two names for the same map; f_img comes from the prepared backbone, whose norms are folded.
  const auto stage = fer::grad_cam(model, x, "stage3", {1, 3})[0].values;
  const auto f_img = fer::grad_cam(model, x, "f_img", {1, 3})[0].values;
  REQUIRE(stage.size() == f_img.size());
  for (std::size_t i = 0; i < stage.size(); ++i) CHECK(stage[i] == doctest::Approx(f_img[i]).epsilon(1e-3));
  for (const fer::NamedVariable& p : model.named_parameters()) CHECK_FALSE(p.variable.grad().defined());
  CHECK(model.head().requires_grad());
  CHECK_THROWS_WITH_AS(
      fer::grad_cam(model, x, "stage9", {1, 3}),
      "unknown layer 'stage9'; known are stage1, stage2, stage3, f_img, f_fusion; did you mean 'stage1'?",
      fer::ConfigError);
}

TEST_CASE("the heat map is the maximum of the landmark feature's channels") {
  fer::FERNet model(tiny_config());
  model.initialise(2);
  model.freeze_landmarks();
  model.eval();
  const Tensor x = noise({1, 32, 32, 3}, 3);
  const fer::HeatMap heat = fer::landmark_heat(model, x)[0];
  fer::NoGrad no_grad;
  const Tensor f_lm = model.landmark_features(Variable(x)).value();
  const auto values = f_lm.to_vector<float>();
  const auto channels = static_cast<std::ptrdiff_t>(f_lm.dim(3));
  for (std::size_t p = 0; p < heat.values.size(); ++p) {
    const auto first = values.begin() + static_cast<std::ptrdiff_t>(p) * channels;
    CHECK(heat.values[p] == *std::max_element(first, first + channels));
  }
  fer::FERNetConfig without = tiny_config();
  without.attention.product = false;
  fer::FERNet plain(without);
  CHECK_THROWS_AS(fer::landmark_heat(plain, x), fer::ConfigError);
}

TEST_CASE("attention rollout by hand") {
  // Two blocks, two heads, two tokens.
  const Tensor first = Tensor::from<float>({1, 2, 2, 2}, {1, 0, 0, 1, 0, 1, 1, 0});  // mean: all 1/2
  const Tensor last = Tensor::from<float>({1, 2, 2, 2}, {0, 1, 1, 0, 1, 0, 0, 1});
  const Tensor rollout = fer::attention_rollout({first, last})[0];
  // (mean + I) / 2 = [3/4 1/4; 1/4 3/4]; heads (A + I) / 2: all 1/2, and I.
  CHECK(rollout.to_vector<float>() == std::vector<float>{0.5f, 0.5f, 0.5f, 0.5f, 0.75f, 0.25f, 0.25f, 0.75f});
  CHECK_THROWS_AS(fer::attention_rollout({}), fer::ShapeError);
  CHECK_THROWS_AS(fer::attention_rollout({Tensor::zeros({1, 2, 1, 2})}), fer::ShapeError);
}

TEST_CASE("rows of a rollout are distributions; a query's own pixel is smoothed over") {
  const Tensor a = fer::softmax(Variable(noise({1, 2, 10, 10}, 7))).value(),
               b = fer::softmax(Variable(noise({1, 2, 10, 10}, 8))).value();
  const Tensor rollout = fer::attention_rollout({a, b})[0];
  const auto values = rollout.to_vector<float>();
  for (std::size_t row = 0; row < 20; ++row) {
    float sum = 0;
    for (std::size_t k = 0; k < 10; ++k) sum += values[10 * row + k];
    CHECK(sum == doctest::Approx(1));
  }
  const fer::HeatMap map = fer::rollout_map(rollout, 1, 5, 3, 3);  // token 5: the middle of 3 x 3
  float neighbours = 0;
  for (std::size_t i = 0; i < 9; ++i) neighbours += i == 4 ? 0 : map.values[i];
  CHECK(map.values[4] == doctest::Approx(neighbours / 8));
  CHECK_THROWS_AS(fer::rollout_map(rollout, 2, 0, 3, 3), fer::ShapeError);
  CHECK_THROWS_AS(fer::rollout_map(rollout, 0, 0, 3, 4), fer::ShapeError);
}
