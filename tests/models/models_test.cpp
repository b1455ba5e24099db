// The models: shapes, counts, freezing, the last block, checkpointing, messages.
#include "fer/autograd/ops.h"
#include "fer/losses/losses.h"
#include "fer/models/fernet.h"
#include "fer/models/info.h"
#include "fer/models/points_net.h"
#include "tests/models/reference_fill.h"
#include "tests/ops/op_test.h"

namespace fer {
namespace {

using test::difference;
using test::fill_as_reference;
using test::filled;
using test::numbers;

std::int64_t in_millions(std::int64_t count) {
  return (count + 500'000) / 1'000'000;
}

const ModuleInfo& at(const std::vector<ModuleInfo>& table, const std::string& path) {
  const auto found =
      std::find_if(table.begin(), table.end(), [&](const ModuleInfo& row) { return row.path == path; });
  REQUIRE(found != table.end());
  return *found;
}

Variable image(std::int64_t n, std::int64_t size, DType dtype, Device device) {
  return Variable(filled("image", {n, size, size, 3}).to(dtype).to(device));
}

TEST_CASE("models: parameters and multiply-adds of the paper's model") {
  FERNet model(preset("paper", 7));
  model.initialise(1);  // channels of zeros would be left out
  const TensorFunction all_rows = [&](const std::vector<Variable>& in) {
    FERNetTrace rows;
    rows.attention.full_last_block = true;
    return std::vector{model(in[0], &rows).scores};
  };
  const std::vector<ModuleInfo> full = describe_model(model, all_rows, 112);
  CHECK(full[0].parameters == 32'649'287);
  CHECK(at(full, "image_backbone").parameters == 17'611'968);
  CHECK(at(full, "landmark_backbone").parameters == 565'888);
  CHECK(at(full, "attention").parameters == 14'466'048);
  CHECK(at(full, "head").parameters == 768 * 7 + 7);
  // 196 tokens embedded from 256 and 128 channels; four products of 197 rows, the scores and the weighted sum
  // of 197 keys, and the MLP in each block. For the class token alone there are four products of one row, and
  // eight heads that look at 197 tokens of full width.
  const std::int64_t d = 768, embed = 196 * (256 + 128) * d;
  const std::int64_t block = 4 * 197 * d * d + 2 * 197 * 197 * d + 2 * 197 * d * 4 * d;
  const std::int64_t last = 4 * d * d + 2 * 8 * 197 * d + 2 * d * 4 * d;
  CHECK(at(full, "attention").macs == embed + 2 * block);
  CHECK(in_millions(at(full, "attention").macs) == 2966);
  CHECK(in_millions(at(full, "image_backbone").macs) == 5468);
  CHECK(in_millions(at(full, "landmark_backbone").macs) == 195);

  const std::vector<ModuleInfo> by_layer = describe_model(model);
  CHECK(at(by_layer, "attention").macs == embed + block + last);
  CHECK(in_millions(at(by_layer, "attention").macs) == 1521);

  // After the passes, the tokens and the first block's keys and values are computed from 257 channels, its
  // queries from 129.
  const std::vector<ModuleInfo> table = describe_model(model, /*optimised=*/true);
  // The last block's query is the same for every image, and so is its product with the weights of the keys.
  CHECK(at(table, "attention").macs ==
        197 * (3 * 257 + 129) * d + block - 3 * 197 * d * d + last - 2 * d * d);
  CHECK(in_millions(at(table, "attention").macs) == 1250);
  CHECK(table[0].macs == at(table, "image_backbone").macs + at(table, "landmark_backbone").macs +
                             at(table, "attention").macs + at(table, "head").macs);
  CHECK(model.is_training());
}

TEST_CASE("models: with zero heat weights the points net predicts the middle, and it can be trained") {
  PointsNet net(preset("tiny", 7).image, 24);
  const std::vector<NamedVariable> parameters = net.named_parameters();
  net.initialise(1);
  for (NamedVariable p : parameters) {
    if (p.name == "heat.weight") p.variable.mutable_value().fill(0);
  }
  const Variable x = image(2, 24, DType::float32, Device::cpu);
  Variable points = net(x);
  CHECK(points.shape() == Shape{2, 136});
  for (const double value : numbers(points.value())) CHECK(value == doctest::Approx(0.5));

  net.initialise(1);
  const Tensor target = filled("points", {2, 136}, 0.3, 0.5).to(DType::float32);
  const LandmarkLoss loss;
  const double before = loss(net(x), target).item();
  double after = before;
  for (int step = 0; step < 60; ++step) {
    net.zero_grad();
    const Variable l = loss(net(x), target);
    after = l.item();
    l.backward();
    for (NamedVariable p : parameters) {
      std::vector<double> values = numbers(p.variable.value());
      const std::vector<double> gradient = numbers(p.variable.grad());
      for (std::size_t i = 0; i < values.size(); ++i) values[i] -= 0.5 * gradient[i];
      p.variable.mutable_value().copy_from(Tensor::from<double>(p.variable.shape(), values));
    }
  }
  CHECK(after < 0.5 * before);
  CHECK_THROWS_WITH_AS(net(image(1, 112, DType::float32, Device::cpu)),
                       "[points_net] was made for a grid of 3 x 3, got a map of (1, 14, 14, 64)", ShapeError);
}

TEST_CASE("models: the landmark net with its head has the parameters of the paper's Table 8") {
  MobileFaceNet net({.head = true});
  const auto points = [&](const std::vector<Variable>& in) { return std::vector{net(in[0])}; };
  const std::vector<ModuleInfo> table = describe_model(net, points, 112);
  CHECK(table[0].parameters == 1'007'248);
  CHECK(in_millions(table[0].macs) == 221);
}

TEST_CASE("models: full residual widths are the same code") {
  CHECK(IRBackbone({.units = {3, 13, 30}}).parameter_count() > 17'611'968);
  CHECK(IRBackbone({.units = {3, 8, 36}}).describe() ==
        "IRBackbone(stem 64, stages 3 x 64, 8 x 128, 36 x 256)");
}

OP_TEST("models: shapes of every preset for tests") {
  for (const std::string& name : preset_names()) {
    if (name.rfind("tiny", 0) != 0) continue;
    if (device == Device::simt && name != "tiny") continue;
    CAPTURE(name);
    FERNetConfig config = preset(name, 5);
    config.image_size = 40;
    FERNet model(config);
    model.initialise(1);
    model.to(device);
    model.eval();
    const Variable x = image(2, 40, DType::float32, device);
    CHECK(model.landmark_features(x).shape() == Shape{2, 5, 5, 16});
    CHECK(model.image_features(x).shape() == Shape{2, 5, 5, 64});
    const NetworkOutput out = model(x);
    CHECK(out.scores.shape() == Shape{2, 5});
    CHECK(out.token.shape() == Shape{2, 48});
  }
}

TEST_CASE("models: the small preset gives what the landmark backbone's map needs") {
  FERNet model(preset("small", 8));
  model.initialise(1);
  model.eval();
  NoGrad no_grad;
  const Variable x = image(1, 112, DType::float32, Device::cpu);
  CHECK(model.image_features(x).dim(1) == 14);
  CHECK(model(x).scores.shape() == Shape{1, 8});
  CHECK(model.landmarks(x).shape() == Shape{1, 136});
}

TEST_CASE("models: the landmark backbone stays in evaluation mode, and frozen without gradients") {
  FERNetConfig config = preset("tiny", 3);
  config.image_size = 32;
  FERNet model(config);
  model.initialise(1);
  model.train();
  CHECK_FALSE(model.landmark_backbone().is_training());
  CHECK_FALSE(model.landmark_backbone().conv1().bn().is_training());
  CHECK(model.image_backbone().is_training());
  CHECK_FALSE(model.landmarks_frozen());

  std::vector<std::vector<double>> before;
  for (const NamedBuffer& b : model.landmark_backbone().named_buffers()) before.push_back(numbers(*b.buffer));
  const Variable x = image(2, 32, DType::float32, Device::cpu);
  sum(model(x).scores).backward();
  CHECK(model.landmark_backbone().conv1().conv().weight.grad().defined());
  model.zero_grad();
  model.freeze_landmarks();
  CHECK(model.landmarks_frozen());
  sum(model(x).scores).backward();
  for (const NamedVariable& p : model.landmark_backbone().named_parameters()) {
    CHECK_FALSE(p.variable.grad().defined());
  }
  CHECK(model.head().weight.grad().defined());
  std::size_t i = 0;
  for (const NamedBuffer& b : model.landmark_backbone().named_buffers()) {
    CHECK(numbers(*b.buffer) == before[i++]);
  }
  CHECK(numbers(*model.image_backbone().named_buffers()[0].buffer) != std::vector<double>(16, 0.0));
}

TEST_CASE("models: the landmark backbone can be fed RGB in [0, 1]") {
  FERNetConfig config = preset("tiny", 3);
  config.image_size = 32;
  FERNet as_is(config);
  config.landmark_unit_input = true;
  FERNet unit(config);
  fill_as_reference(as_is, "unit/");
  fill_as_reference(unit, "unit/");
  std::vector<double> grey(32 * 32 * 3, 0.5), normalised(grey.size());
  const double mean[] = {0.485, 0.456, 0.406}, deviation[] = {0.229, 0.224, 0.225};
  for (std::size_t i = 0; i < grey.size(); ++i) normalised[i] = (grey[i] - mean[i % 3]) / deviation[i % 3];
  NoGrad no_grad;
  const Variable x(Tensor::from<double>({1, 32, 32, 3}, grey).to(DType::float32));
  const Variable z(Tensor::from<double>({1, 32, 32, 3}, normalised).to(DType::float32));
  CHECK(difference(unit.landmark_features(z).value(), as_is.landmark_features(x).value()) < 1e-5);
  CHECK(difference(unit.landmark_features(z).value(), as_is.landmark_features(z).value()) > 1e-3);
}

/// Scores and all gradients of one training step.
struct Step {
  Tensor scores;
  std::vector<Tensor> gradients, buffers;
};

Step training_step(FERNet& model, const Variable& x, const Tensor& labels, AttentionTrace* trace = nullptr) {
  RandomScope random(3, 4);
  model.zero_grad();
  const Variable f_lm = model.landmark_features(x);
  const NetworkOutput out = model.classify(model.image_features(x), f_lm, trace);
  FERLoss({.neutral = 2})(out.scores, out.token, labels).total.backward();
  Step step{out.scores.value(), {}, {}};
  for (const NamedVariable& p : model.named_parameters()) step.gradients.push_back(p.variable.grad());
  for (const NamedBuffer& b : model.named_buffers()) step.buffers.push_back(b.buffer->clone());
  return step;
}

double difference_of(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  double worst = a.size() == b.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (a[i].defined() != b[i].defined()) return INFINITY;
    if (a[i].defined()) worst = std::max(worst, difference(a[i], b[i]));
  }
  return worst;
}

std::unique_ptr<FERNet> model_of(const std::string& name, double dropout, Device device) {
  FERNetConfig config = preset(name, 3);
  config.image_size = 32;
  config.attention.drop_attention = config.attention.drop_hidden = config.attention.drop_mlp = dropout;
  auto model = std::make_unique<FERNet>(config);
  fill_as_reference(*model, "step/");
  model->to(DType::float64);
  model->to(device);
  model->train();
  return model;
}

OP_TEST("models: the last block for the class token alone is exact, forward and backward") {
  for (const std::string name : {"tiny", "tiny_no_cross", "tiny_extras"}) {
    if (device == Device::simt && name != "tiny_extras") continue;
    CAPTURE(name);
    const Variable x = image(4, 32, DType::float64, device);
    const Tensor labels = test::labels({0, 1, 2, 2}, device);
    AttentionTrace full;
    full.full_last_block = true;
    const Step one = training_step(*model_of(name, 0, device), x, labels);
    const Step all = training_step(*model_of(name, 0, device), x, labels, &full);
    CHECK(difference(one.scores, all.scores) < 1e-13);
    CHECK(difference_of(one.gradients, all.gradients) < 1e-13);
  }
}

OP_TEST("models: checkpointing changes neither values nor gradients nor statistics") {
  for (const bool frozen : {false, true}) {
    if (device == Device::simt && frozen) continue;
    const Variable x = image(4, 32, DType::float64, device);
    const Tensor labels = test::labels({0, 1, 2, 2}, device);
    const auto plain = model_of("tiny", 0.3, device), saving = model_of("tiny", 0.3, device);
    saving->set_checkpointing(true);
    if (frozen) {
      plain->freeze_landmarks();
      saving->freeze_landmarks();
    }
    const Step a = training_step(*plain, x, labels), b = training_step(*saving, x, labels);
    CHECK(numbers(a.scores) == numbers(b.scores));
    CHECK(difference_of(a.gradients, b.gradients) < 1e-14);
    CHECK(difference_of(a.buffers, b.buffers) == 0);
  }
}

OP_TEST("models: a trace holds what a figure needs") {
  const auto model = model_of("tiny", 0, device);
  model->eval();
  NoGrad no_grad;
  const Variable x = image(2, 32, DType::float64, device);
  FERNetTrace trace;
  trace.attention.full_last_block = true;
  const NetworkOutput out = (*model)(x, &trace);
  CHECK(trace.f_lm.shape() == Shape{2, 4, 4, 16});
  CHECK(trace.f_img.shape() == Shape{2, 4, 4, 64});
  CHECK(trace.attention.heat.shape() == Shape{2, 4, 4, 1});
  CHECK(difference(trace.attention.fused.value(), mul(Variable(trace.attention.heat), trace.f_img).value()) <
        1e-14);
  REQUIRE(trace.attention.attention.size() == 2);
  for (const Tensor& weights : trace.attention.attention) {
    CHECK(weights.shape() == Shape{2, 4, 17, 17});
    for (const double row : numbers(sum_to(Variable(weights), {2, 4, 17, 1}).value())) {
      CHECK(row == doctest::Approx(1.0));
    }
  }
  CHECK(difference(out.scores.value(), (*model)(x).scores.value()) < 1e-13);
  const NetworkOutput again = model->classify_fused(trace.attention.fused, trace.f_lm);
  CHECK(difference(out.scores.value(), again.scores.value()) < 1e-13);
}

TEST_CASE("models: errors say where and what") {
  FERNetConfig config = preset("tiny_extras", 3);
  config.image_size = 32;
  FERNet model(config);
  CHECK_MESSAGE_OF(model(Variable(Tensor::zeros({1, 32, 32, 1}))), ShapeError,
                   "[landmark_backbone] needs images N x H x W x 3, got (1, 32, 32, 1) (in module "
                   "landmark_backbone)");
  CHECK_MESSAGE_OF(
      model(Variable(Tensor::zeros({1, 40, 40, 3}))), ShapeError,
      "[dual_attention] has position embeddings for 16 pixels, the map has 25; image_size must be "
      "that of the images (in module attention)");
  CHECK_MESSAGE_OF(
      model.classify(Variable(Tensor::zeros({1, 4, 4, 64})), Variable(Tensor::zeros({1, 5, 5, 16}))),
      ShapeError,
      "[dual_attention] f_img (1, 4, 4, 64) and f_lm (1, 5, 5, 16) differ in batch or size (in module "
      "attention)");
  CHECK_MESSAGE_OF(model.landmarks(Variable(Tensor::zeros({1, 32, 32, 3}))), ConfigError,
                   "[landmarks] this landmark backbone was made without its head (lm_head) (in module "
                   "landmark_backbone)");
  MobileFaceNet with_head({.width = 4, .units = {1, 1, 1}, .head = true});
  with_head.eval();
  CHECK_MESSAGE_OF(
      with_head(Variable(Tensor::zeros({1, 32, 32, 3}))), ShapeError,
      "[landmark_head] needs a map of 7 x 7, which images of 112 x 112 give; got (1, 2, 2, 32) (in "
      "module output_layer)");
}

TEST_CASE("models: an error deep inside names the module's path") {
  FERNetConfig config = preset("tiny", 3);
  FERNet model(config);
  // A weight of the wrong shape, as a careless loader might leave one.
  auto parameters = model.named_parameters();
  for (NamedVariable& p : parameters) {
    if (p.name == "attention.blocks.1.fc1.weight") p.variable.mutable_value() = Tensor::zeros({192, 47});
  }
  model.eval();
  CHECK_MESSAGE_OF(
      model(Variable(Tensor::zeros({1, 32, 32, 3}))), ShapeError,
      "[linear_gelu] x of shape (1, 1, 48) has 48 columns, weight of shape (192, 47) takes 47 (in "
      "module attention.blocks.1.fc1)");
}

}  // namespace
}  // namespace fer
