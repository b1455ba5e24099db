// POSTER: counts, the reference's numbers, freezing, and the graph.
#include "fer/models/poster.h"

#include "fer/autograd/ops.h"
#include "fer/models/info.h"
#include "fer/models/onnx_export.h"
#include "tests/models/reference_fill.h"
#include "tests/ops/op_test.h"

namespace fer {
namespace {

using test::check_values;
using test::difference;
using test::fill_as_reference;
using test::filled;
using test::numbers;

Variable pictures(std::int64_t n, std::int64_t size, Device device = Device::cpu) {
  return Variable(filled("image", {n, size, size, 3}).to(device));
}

/// A small one in float64 with the reference's values.
void prepare_reference(Poster& model, Device device) {
  model.to(DType::float64);
  fill_as_reference(model, "poster/");
  model.to(device);
  model.eval();
}

double norm(const Tensor& x) {
  double total = 0;
  for (const double value : numbers(x)) total += value * value;
  return std::sqrt(total);
}

TEST_CASE("poster: parameters and multiply-adds of Table 7") {
  Poster model = uninitialised<Poster>(PosterConfig());
  // Every parameter of the authors' network, which Table 7 gives as 71.8 M.
  CHECK(model.parameter_count() == 71'850'399);
  CHECK(std::abs(model.parameter_count() / 71.8e6 - 1) < 0.01);
  // Two operations a multiply-add make Table 7's 15.7 G. The authors' network spends 94,720 multiply-adds
  // more on the points of the landmark head, which nothing reads.
  const std::int64_t macs = describe_model(model)[0].macs;
  CHECK(macs == 7'856'965'632 - 94'720);
  CHECK(std::abs(2.0 * static_cast<double>(macs) / 15.7e9 - 1) < 0.01);

  PosterConfig config;
  config.unused = false;
  Poster slim = uninitialised<Poster>(config);
  CHECK(slim.parameter_count() == 71'850'399 - 12'847'616 - 512);
  CHECK(describe_model(slim)[0].macs == macs);
  // Their "small" and "base".
  for (const auto& [depth, parameters] : {std::pair{4, 52'229'135}, std::pair{6, 62'039'767}}) {
    PosterConfig shallow;
    shallow.depth = depth;
    CHECK(uninitialised<Poster>(shallow).parameter_count() == parameters);
  }
}

// tests/golden/poster_reference.py: TINY with 5 classes, filled with the salt "poster/", in float64.
OP_TEST("poster: scores and gradients are the reference's") {
  Poster model(tiny_poster(5));
  prepare_reference(model, device);
  CHECK(model.parameter_count() == 73'281);
  const NetworkOutput out = model(pictures(2, 64, device));
  check_values(
      out.scores.value(), {2, 5},
      {-0.610186546355522, 0.469127329546466, -0.479750504715754, -0.069744680675504, 0.254019872202738,
       -1.098363020454056, 0.223572382850917, 0.152646430990368, 0.273091165500096, -0.056853996356696});
  CHECK(out.token.shape() == Shape{2, 32});
  CHECK(sum(out.token).item() == doctest::Approx(-0.6845407748723483).epsilon(1e-12));
  out.scores.backward(filled("cotangent", {2, 5}).to(device));
  const StateDict values = model.state_dict();
  const std::pair<const char*, double> expected[] = {
      {"ir_back.input_layer.0.weight", 4.060919874739665},
      {"pyramid_fuse.downsample_s.weight", 1.9427100212645172},
      {"pyramid_fuse.blocks.0.upsample_m.weight", 2.030869582000005},
      {"pyramid_fuse.blocks.0.upsample_s.bias", 0.3165407589876061},
      {"pyramid_fuse.blocks.0.block_m.attn_lm.kv.weight", 0.9108225655067289},
      {"pyramid_fuse.pos_embed", 0.8909066738636428}};
  for (const NamedVariable& p : model.named_parameters()) {
    for (const auto& [name, length] : expected) {
      if (p.name == name) CHECK(norm(p.variable.grad()) == doctest::Approx(length).epsilon(1e-11));
    }
  }
}

TEST_CASE("poster: in training, the image backbone takes the batch's statistics and the landmark net none") {
  PosterConfig config = tiny_poster(5);
  config.drop_path = 0;
  Poster model(config);
  prepare_reference(model, Device::cpu);
  const StateDict before = model.state_dict();
  const Tensor mean = before.find("face_landback.conv1.bn.running_mean")->clone();
  model.train();
  check_values(
      model(pictures(2, 64)).scores.value(), {2, 5},
      {-0.443542262337017, 0.475962399151482, 0.066422135065223, -0.026790704315552, 0.136636370097779,
       -0.488776629859060, 0.100148480678956, 1.127549454696201, -0.899797725670208, -1.247755833111737});
  CHECK(difference(*model.state_dict().find("face_landback.conv1.bn.running_mean"), mean) == 0);
}

/// The names of the parameters that have a gradient.
std::set<std::string> trained(Poster& model) {
  std::set<std::string> names;
  for (const NamedVariable& p : model.named_parameters()) {
    if (p.variable.grad().defined()) names.insert(p.name);
  }
  return names;
}

TEST_CASE("poster: every parameter is trained but the unused, the points' and a frozen landmark net's") {
  for (const bool frozen : {false, true}) {
    for (const bool checkpointing : {false, true}) {
      Poster model(tiny_poster());
      if (frozen) model.freeze_landmarks();
      CHECK(model.landmarks_frozen() == frozen);
      model.set_checkpointing(checkpointing);
      model.train();
      sum(model(Variable(filled("image", {2, 64, 64, 3}).to(DType::float32))).token).backward();
      const std::set<std::string> found = trained(model);
      for (const NamedVariable& p : model.named_parameters()) {
        CAPTURE(p.name);
        const bool idle = p.name == "pyramid_fuse.cls_token" || p.name.starts_with("head.") ||
                          p.name.starts_with("ir_back.output_layer.") ||
                          p.name.starts_with("face_landback.output_layer.") ||
                          (frozen && p.name.starts_with("face_landback."));
        CHECK(found.contains(p.name) == !idle);
      }
    }
  }
}

TEST_CASE("poster: checkpointed blocks give the same gradients, with branches dropped") {
  std::vector<Tensor> results[2];
  for (const bool checkpointing : {false, true}) {
    PosterConfig config = tiny_poster();
    config.drop_path = 0.5;
    Poster model(config);
    prepare_reference(model, Device::cpu);
    model.set_checkpointing(checkpointing);
    model.train();
    const RandomScope scope(3, 0);
    model(pictures(4, 64)).scores.backward(filled("cotangent", {4, 7}));
    for (const NamedVariable& p : model.named_parameters()) {
      if (p.variable.grad().defined()) results[checkpointing].push_back(p.variable.grad());
    }
  }
  REQUIRE(results[0].size() == results[1].size());
  for (std::size_t i = 0; i < results[0].size(); ++i) CHECK(difference(results[1][i], results[0][i]) < 1e-12);
}

TEST_CASE("poster: a dropped branch is dropped for all tokens of an image") {
  PosterConfig config = tiny_poster();
  config.depth = 1;  // its rate is 0
  config.drop_path = 0.9;
  Poster one(config);
  prepare_reference(one, Device::cpu);
  const Variable x = pictures(3, 64);
  const Tensor f_lm = one.landmark_features(x).value(), f_img = one.image_features(x).value();
  const auto scores = [&](Poster& model, std::uint64_t step) {
    const RandomScope scope(1, step);
    return numbers(model.classify(Variable(f_img), Variable(f_lm)).scores.value());
  };
  const std::vector<double> evaluated = scores(one, 0);
  one.train();
  CHECK(scores(one, 0) == evaluated);
  // Of 12 branches in the second block few are kept. An image whose branches are all dropped has scores that do
  // not depend on the weights behind them.
  config.depth = 2;
  config.drop_path = 0.999;
  Poster two(config);
  prepare_reference(two, Device::cpu);
  const std::vector<double> kept = scores(two, 0);
  two.train();
  const std::vector<double> dropped = scores(two, 0);
  CHECK(dropped != kept);
  for (NamedVariable& p : two.named_parameters()) {
    if (p.name.starts_with("pyramid_fuse.blocks.1.") && p.name.find(".proj.") != std::string::npos)
      p.variable.mutable_value().fill(0.5);
    if (p.name.starts_with("pyramid_fuse.blocks.1.") && p.name.find(".fc2.") != std::string::npos)
      p.variable.mutable_value().fill(-0.5);
  }
  CHECK(scores(two, 0) == dropped);
  two.eval();
  CHECK(scores(two, 0) != kept);
}

OP_TEST("poster: a compiled graph has the scores of the layers, for any number of images") {
  for (const DType dtype : {DType::float64, DType::float32}) {
    Poster model(tiny_poster());
    prepare_reference(model, Device::cpu);
    model.to(dtype);
    model.to(device);
    NoGrad no_grad;
    for (const std::int64_t n : {2, 1, 3}) {
      const Tensor x = pictures(n, 64).value().to(dtype).to(device);
      CHECK(difference(model.infer(x).scores, model(Variable(x)).scores.value()) <
            (dtype == DType::float64 ? 1e-12 : 1e-5));
    }
  }
}

TEST_CASE("poster: each of its operations has a form in ONNX") {
  Poster model(tiny_poster());
  fill_as_reference(model, "poster/");
  InputSpec input;
  input.size = 64;
  const OnnxModel onnx = onnx_model(model, input);
  CHECK(onnx.graph_name == "poster");
  CHECK(!encode_onnx(onnx).empty());
  // Two streams at three widths in two blocks, and the probabilities.
  CHECK(std::count_if(onnx.nodes.begin(), onnx.nodes.end(),
                      [](const OnnxNode& node) { return node.op_type == "Softmax"; }) == 2 * 3 * 2 + 1);
}

TEST_CASE("poster: the scores of each layer's map are the network's") {
  Poster model(tiny_poster());
  fill_as_reference(model, "poster/");
  model.eval();
  NoGrad no_grad;
  const Variable x(pictures(2, 64).value().to(DType::float32));
  CHECK(model.layers() == std::vector<std::string>{"stage1", "stage2", "stage3"});
  for (const std::string& layer : model.layers())
    CHECK(numbers(model.scores_from(layer, model.map_of(layer, x), x).value()) ==
          numbers(model(x).scores.value()));
  CHECK_THROWS_WITH_AS(model.map_of("stage4", x),
                       "unknown layer 'stage4'; known are stage1, stage2, stage3; did you mean 'stage1'?",
                       ConfigError);
}

TEST_CASE("poster: points come from the map of the landmark head") {
  PosterConfig config = tiny_poster();
  config.image_size = config.backbone_size = 112;
  Poster model(config);
  fill_as_reference(model, "poster/");
  model.eval();
  const Tensor x = pictures(1, 112).value().to(DType::float32);
  const Inference found = model.infer(x, /*with_points=*/true);
  NoGrad no_grad;
  CHECK(difference(found.points, (*model.landmark_net())(Variable(x)).value()) < 1e-5);
  Poster small(tiny_poster());
  CHECK_THROWS_WITH_AS(small.infer(pictures(1, 64).value(), true), "[poster] this network finds no landmarks",
                       ConfigError);
}

TEST_CASE("poster: the frozen landmark net has the same features, and is traced again when it changes") {
  Poster model(tiny_poster());
  const Variable x(pictures(2, 64).value().to(DType::float32));
  const Tensor eager = model.landmark_features(x).value();
  CHECK(eager.shape() == Shape{2, 2, 2, 32});
  model.freeze_landmarks();
  const Variable frozen = model.landmark_features(x);
  CHECK(difference(frozen.value(), eager) < 1e-5);
  CHECK_FALSE(frozen.requires_grad());
  fill_as_reference(model, "other/");
  CHECK(difference(model.landmark_features(x).value(), eager) > 0.01);
}

TEST_CASE("poster: the backbones see every n-th pixel") {
  PosterConfig config = tiny_poster();
  Poster model(config);
  config.image_size = 32;
  Poster whole(config);
  model.eval();
  whole.eval();
  whole.load_state_dict(model.state_dict());
  const Variable x(pictures(1, 64).value().to(DType::float32));
  const Variable seen = max_pool2d(x, 1, 2);
  CHECK(numbers(seen.value())[3] == numbers(x.value())[6]);                // row 0, pixel 1 of 2
  CHECK(numbers(seen.value())[32 * 3] == numbers(x.value())[2 * 64 * 3]);  // row 1
  CHECK(difference(model(x).scores.value(), whole(seen).scores.value()) == 0);
  CHECK_THROWS_WITH_AS(model(seen), "[poster] needs images N x 64 x 64 x 3, got (1, 32, 32, 3)", ShapeError);
}

TEST_CASE("poster: parameters start as the authors' do") {
  Poster model(tiny_poster());
  model.initialise(1);
  const StateDict state = model.state_dict();
  const auto check_uniform = [&](const char* name, double limit) {
    CAPTURE(name);
    const std::vector<double> values = numbers(*state.find(name));
    double largest = 0, squares = 0;
    for (const double value : values) {
      largest = std::max(largest, std::abs(value));
      squares += value * value;
    }
    CHECK(largest <= limit);
    CHECK(largest > 0.5 * limit);
    const double deviation = std::sqrt(squares / static_cast<double>(values.size()));
    if (values.size() > 100) CHECK(deviation == doctest::Approx(limit / std::sqrt(3.0)).epsilon(0.15));
  };
  check_uniform("ir_layer.weight", 1 / std::sqrt(64.0));
  check_uniform("ir_layer.bias", 1 / std::sqrt(64.0));
  check_uniform("pyramid_fuse.downsample_s.weight", 1 / std::sqrt(40.0));
  check_uniform("pyramid_fuse.downsample_s.bias", 1 / std::sqrt(40.0));
  check_uniform("pyramid_fuse.blocks.1.upsample_m.weight", 1 / std::sqrt(20.0));
  check_uniform("pyramid_fuse.blocks.1.upsample_m.bias", 1 / std::sqrt(20.0));
  check_uniform("pyramid_fuse.blocks.0.block_s.attn_lm.kv.weight", 1 / std::sqrt(8.0));
  check_uniform("head.linear.weight", 1 / std::sqrt(32.0));
  CHECK(norm(*state.find("pyramid_fuse.pos_embed")) == 0);
}

TEST_CASE("poster: a configuration that contradicts itself is refused by name") {
  const auto message = [](auto change, const char* expected) {
    PosterConfig config;
    change(config);
    CHECK_THROWS_WITH_AS(validate(config), expected, ConfigError);
  };
  message([](PosterConfig& c) { c.image_size = 200; },
          "image_size must be a multiple of backbone_size, 112; got 200");
  message([](PosterConfig& c) { c.backbone_size = 56; }, "backbone_size must be a multiple of 16, got 56");
  message([](PosterConfig& c) { c.heads = 7; },
          "heads must divide the width of the narrow tokens, 2 lm_width = 128; got 7");
  message([](PosterConfig& c) { c.heads = 0; },
          "heads must divide the width of the narrow tokens, 2 lm_width = 128; got 0");
  message(
      [](PosterConfig& c) {
        c.image.strides = {2, 2, 1};
      },
      "stem_stride and strides multiply to 4; POSTER needs an image map with sides of backbone_size / 8");
  message([](PosterConfig& c) { c.landmarks.head = false; },
          "POSTER's tokens come from the landmark backbone's head");
  message([](PosterConfig& c) { c.drop_path = 1; }, "drop_path must be in [0, 1), got 1");
  message([](PosterConfig& c) { c.depth = 0; }, "depth must be 1 or more, got 0");
  message([](PosterConfig& c) { c.classes = 0; }, "classes must be 1 or more, got 0");
  message([](PosterConfig& c) { c.mlp_ratio = 65; }, "mlp_ratio must be at most 64, got 65");
}

TEST_CASE("poster: the list of fields leaves none out") {
  const PosterConfig source = [] {
    PosterConfig c = tiny_poster(3);
    c.mlp_ratio = 5;
    c.drop_path = 0.25;
    c.unused = false;
    c.landmarks.outputs = 10;
    c.image.stem_stride = 4;
    c.image.strides = {1, 1, 2};
    return c;
  }();
  PosterConfig copy;
  std::set<std::string> names;
  visit_fields(source, [&](const char* name, const auto& from, const char* help) {
    CHECK(names.insert(name).second);
    CHECK(std::string(help).size() > 10);
    visit_fields(copy, [&](const char* other, auto& to, const char*) {
      if constexpr (std::is_same_v<std::remove_cvref_t<decltype(from)>, std::remove_cvref_t<decltype(to)>>) {
        if (std::string(name) == other) to = from;
      }
    });
  });
  CHECK(copy == source);
}

}  // namespace
}  // namespace fer
