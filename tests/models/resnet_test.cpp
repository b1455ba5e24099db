#include "fer/models/resnet.h"

#include <set>

#include "fer/graph/compiled.h"
#include "fer/models/info.h"
#include "fer/models/registry.h"
#include "tests/models/reference_fill.h"
#include "tests/ops/op_test.h"

namespace fer::test {
namespace {

ResNetConfig narrow() {
  ResNetConfig config;
  config.classes = 5;
  config.image_size = 32;
  config.widths = {8, 12, 16};
  config.units = {2, 1, 2};
  return config;
}

TEST_CASE("resnet: resnet18 has torchvision's names, 11.69 million parameters and 1.81 G multiply-adds") {
  ModelConfig config = model_config("resnet18");
  config.set_classes(1000);
  const std::unique_ptr<Network> net = make_network(config);
  CHECK(net->describe() == "ResNet-18(1000 classes)");
  CHECK(net->parameter_count() == 11'689'512);
  CHECK(describe_model(*net)[0].macs == 1'814'073'344);
  const StateDict state = net->state_dict();
  CHECK(state.size() == 20 * 4 + 20 + 2);  // 20 norms, 20 convolutions, and the last layer
  CHECK(state.at("conv1.weight").shape() == Shape{64, 7, 7, 3});
  CHECK(state.at("layer1.0.conv1.weight").shape() == Shape{64, 3, 3, 64});
  CHECK(state.at("layer2.0.downsample.0.weight").shape() == Shape{128, 1, 1, 64});
  CHECK(state.at("layer2.0.downsample.1.running_var").shape() == Shape{128});
  CHECK(state.at("layer4.1.bn2.weight").shape() == Shape{512});
  CHECK(state.at("fc.weight").shape() == Shape{1000, 512});
  CHECK_FALSE(state.contains("layer1.0.downsample.0.weight"));
}

OP_TEST("resnet: the compiled graph computes what the network computes") {
  ResNet net(narrow());
  fill_as_reference(net, "resnet/");
  net.to(DType::float64);
  net.to(device);
  net.eval();
  const Tensor x = filled("resnet/x", {3, 32, 32, 3}).to(device);
  NoGrad no_grad;
  const std::vector<double> expected = numbers(net(Variable(x)).scores.value());
  const std::vector<double> got = numbers(net.infer(x).scores);
  for (std::size_t i = 0; i < expected.size(); ++i)
    CHECK(got[i] == doctest::Approx(expected[i]).epsilon(1e-12));
  CHECK_THROWS_WITH_AS(net.infer(x, true), "[resnet] this network finds no landmarks", ConfigError);
}

OP_TEST("resnet: checkpointing changes no gradient") {
  ResNet net(narrow());
  fill_as_reference(net, "resnet/");
  net.to(DType::float64);
  net.to(device);
  const Variable x(filled("resnet/x", {3, 32, 32, 3}).to(device));
  const auto gradients = [&](bool checkpointing) {
    net.set_checkpointing(checkpointing);
    net.zero_grad();
    sum(net(x).scores).backward();
    std::vector<double> all;
    for (const Variable& p : net.parameters()) {
      const std::vector<double> part = numbers(p.grad());
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  };
  CHECK(gradients(true) == gradients(false));
}

TEST_CASE("resnet: the scores of each layer's map are the network's") {
  ResNet net(narrow());
  fill_as_reference(net, "resnet/");
  net.eval();
  NoGrad no_grad;
  const Variable x(filled("resnet/x", {2, 32, 32, 3}).to(DType::float32));
  CHECK(net.layers() == std::vector<std::string>{"layer1", "layer2", "layer3"});
  for (const std::string& layer : net.layers())
    CHECK(numbers(net.scores_from(layer, net.map_of(layer, x), x).value()) == numbers(net(x).scores.value()));
  CHECK_THROWS_WITH_AS(net.map_of("layer4", x),
                       "unknown layer 'layer4'; known are layer1, layer2, layer3; did you mean 'layer1'?",
                       ConfigError);
}

TEST_CASE("resnet: settings that contradict themselves are refused") {
  ResNetConfig config = narrow();
  config.units = {1, 1};
  CHECK_THROWS_WITH_AS(ResNet{config}, "widths and units of a ResNet have one entry per stage, got 3 and 2",
                       ConfigError);
  config = narrow();
  config.widths[1] = 0;
  CHECK_THROWS_WITH_AS(validate(ModelConfig(config)), "widths must be 1 or more, got 0", ConfigError);
}

TEST_CASE("registry: every model can be built, and each name leads to its settings") {
  std::set<std::string> names;
  for (const ModelEntry& entry : registered_models()) {
    CAPTURE(entry.name);
    CHECK(names.insert(entry.name).second);
    CHECK(model_config(entry.name) == entry.config);
    validate(entry.config);
  }
  CHECK(names.contains("small"));
  CHECK(model_config("small").for_faces());
  CHECK_FALSE(model_config("resnet18").for_faces());
  CHECK_FALSE(model_config("resnet18").same_kind(model_config("small")));
  CHECK_THROWS_WITH_AS(model_config("resnet18").fernet(), "this needs a FERNet; the model is of another kind",
                       ConfigError);
  CHECK_THROWS_AS(model_config("resnet81"), ConfigError);

  // What a network has none of, and what all of them must answer.
  CHECK(model_config("resnet18").landmark_net() == nullptr);
  ModelConfig poster = model_config("poster"), small = model_config("small");
  CHECK(poster.landmark_net() == &poster.as<PosterConfig>()->landmarks);
  CHECK(poster.backbone_size() == 112);
  CHECK(small.backbone_size() == small.image_size());
  REQUIRE(poster.as<PosterConfig>()->drop_path > 0);
  REQUIRE(small.fernet().attention.drop_mlp > 0);
  poster.switch_off_dropout();
  small.switch_off_dropout();
  CHECK(poster.as<PosterConfig>()->drop_path == 0);
  const DualAttentionConfig& attention = small.fernet().attention;
  CHECK((attention.drop_attention == 0 && attention.drop_hidden == 0 && attention.drop_mlp == 0));
}

}  // namespace
}  // namespace fer::test
