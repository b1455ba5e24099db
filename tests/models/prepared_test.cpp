// What is prepared for inference has the values of what it was made from, and follows it.
#include "fer/autograd/ops.h"
#include "fer/models/fernet.h"
#include "tests/models/reference_fill.h"
#include "tests/ops/op_test.h"

namespace fer {
namespace {

using test::difference;
using test::fill_as_reference;
using test::filled;

/// Of images of 32 x 32.
FERNetConfig tiny_config() {
  FERNetConfig config = preset("tiny", 3);
  config.image_size = 32;
  return config;
}

Variable image(std::int64_t n, std::int64_t size, DType dtype, Device device) {
  return Variable(filled("image", {n, size, size, 3}).to(dtype).to(device));
}

/// Plants what the prepared net must see: dead outputs, constants that are not zero, hidden channels unread,
/// and residual channels that are zero in all blocks but one.
void plant_dead_channels(MobileFaceNet& net) {
  const auto kill = [](ConvBlock& block, std::int64_t channel, float bias) {
    const std::int64_t per = block.conv().weight.shape().numel() / block.conv().out();
    float* w = block.conv().weight.mutable_value().mutable_data<float>() + channel * per;
    std::fill(w, w + per, 0.f);
    float* mean = block.bn().running_mean.mutable_data<float>();
    mean[channel] = 0;
    block.bn().bias.mutable_value().mutable_data<float>()[channel] = bias;
  };
  kill(net.conv1(), 0, 0);      // zero: the depthwise channel after it is constant
  kill(net.conv1(), 1, 0.7f);   // a constant in front of padding must stay
  kill(net.conv2_dw(), 2, -1);  // a constant that PReLU scales, read by a 1x1 convolution
  kill(net.conv2_dw(), 3, 0);
  for (DepthWise* block : net.feature_blocks()) {
    kill(block->conv(), 0, 0);
    kill(block->conv(), 3, 0.4f);
    kill(block->conv_dw(), 1, 0.3f);
    kill(block->project(), 5, block->residual() ? 0.25f : -0.5f);  // constant throughout
    if (!block->residual()) kill(block->project(), 6, 0);          // live from the next block on
    Tensor& w = block->project().conv().weight.mutable_value();
    for (std::int64_t o = 0; o < w.dim(0); ++o) w.mutable_data<float>()[o * w.dim(3) + 2] = 0;  // unread
  }
}

OP_TEST("models: the prepared landmark net is exact, with and without dead channels") {
  MobileFaceNetConfig config{.width = 8, .units = {2, 2, 1}};
  for (const bool dead : {false, true}) {
    for (const DType dtype : {DType::float64, DType::float32}) {
      MobileFaceNet net(config);
      fill_as_reference(net, "prepared/");
      if (dead) plant_dead_channels(net);
      net.eval();
      net.to(dtype);
      net.to(device);
      const Variable x = image(2, 40, dtype, device);
      NoGrad no_grad;
      const PreparedLandmarkNet prepared(net);
      CHECK(difference(prepared.features(x).value(), net.features(x).value()) <
            (dtype == DType::float64 ? 1e-13 : 1e-5));
      CHECK((prepared.channels_kept() < prepared.channels_before()) == dead);
      if (dead) {
        // conv1 loses 0 (1 stays for its border), conv2_dw 0, 2 and 3, which takes conv1's 2 and 3 along.
        // Each block: 0 and 1, 2 hidden (3 stays for its border) twice; conv_3's sum loses channel 5 in 3
        // projections.
        CHECK(prepared.channels_before() - prepared.channels_kept() == 3 + 3 + 6 * (3 + 3) + 3);
      }
    }
  }
}

TEST_CASE("models: a landmark net that is dead altogether still gives its constants") {
  MobileFaceNet net({.width = 4, .units = {1, 1, 1}});
  fill_as_reference(net, "dead/");
  for (NamedVariable& p : net.named_parameters()) {
    if (p.variable.rank() == 4) p.variable.mutable_value().fill(0);
  }
  net.eval();
  NoGrad no_grad;
  const Variable x = image(1, 32, DType::float32, Device::cpu);
  CHECK(difference(PreparedLandmarkNet(net).features(x).value(), net.features(x).value()) < 1e-6);
}

OP_TEST(
    "models: the prepared image net is exact, with every kind of unit, and where a norm's scale is zero") {
  const IRBackboneConfig config{.stem = 8, .widths = {8, 16, 24}, .units = {2, 1, 2}, .strides = {2, 2, 2}};
  for (const bool zero : {false, true}) {
    for (const DType dtype : {DType::float64, DType::float32}) {
      IRBackbone net(config);
      fill_as_reference(net, "prepared_image/");
      if (zero) net.units()[1]->parts().norm1->weight.mutable_value().mutable_data<float>()[3] = 0;
      net.eval();
      net.to(dtype);
      net.to(device);
      const Variable x = image(2, 24, dtype, device);
      NoGrad no_grad;
      const PreparedImageNet prepared(net);
      CHECK(difference(prepared.features(x).value(), net(x).value()) <
            (dtype == DType::float64 ? 1e-12 : 3e-5));
    }
  }
}

TEST_CASE("models: the prepared image net is used in evaluation without gradients, and follows its source") {
  FERNet model(tiny_config());
  fill_as_reference(model, "follow image/");
  model.eval();
  const Variable x = image(1, 32, DType::float32, Device::cpu);
  const Tensor with_graph = model.image_features(x).value();
  CHECK(model.image_features(x).requires_grad());
  NoGrad no_grad;
  const Tensor first = model.image_features(x).value();
  CHECK(difference(first, with_graph) < 1e-5);
  fill_as_reference(model, "other image/");
  const Tensor second = model.image_features(x).value();
  CHECK(difference(second, first) > 1e-3);
  model.set_prepared(false);
  CHECK(difference(second, model.image_features(x).value()) < 1e-5);
}

TEST_CASE("models: the prepared first block of the attention is exact, and follows its source") {
  using Config = DualAttentionConfig;
  const Config plain{.dim = 8, .heads = 2, .depth = 2, .mlp_ratio = 2};
  std::vector<Config> configs(5, plain);
  configs[1].qkv_bias = true;
  configs[2].pos_embed = configs[2].final_norm = true;
  configs[3].cross = configs[3].product = false;
  configs[4].depth = 3, configs[4].pos_embed = configs[4].qkv_bias = true;
  for (std::size_t i = 0; i < configs.size(); ++i) {
    for (const DType dtype : {DType::float64, DType::float32}) {
      CAPTURE(i);
      DualAttention attention(6, 4, 9, configs[i]);
      fill_as_reference(attention, "prepared_attention/");
      attention.eval();
      attention.to(dtype);
      const Variable f_img(filled("f_img", {3, 3, 3, 6}, -1, 1).to(dtype));
      const Variable f_lm(filled("f_lm", {3, 3, 3, 4}, -1, 1).to(dtype));
      const double tolerance = dtype == DType::float64 ? 1e-13 : 1e-5;
      CHECK(attention(f_img, f_lm).requires_grad());  // not from anything prepared
      NoGrad no_grad;
      const auto with = [&](bool prepared) {
        attention.set_prepared(prepared);
        MacCounter macs;
        const Tensor token = attention(f_img, f_lm).value();
        return std::pair(token, macs.total());
      };
      const auto [exact, all_macs] = with(false);
      const auto [first, macs] = with(true);
      CHECK(difference(first, exact) < tolerance);
      CHECK(macs != all_macs);  // it did go another way
      fill_as_reference(attention, "another/");
      attention.to(dtype);
      const Tensor second = with(true).first;
      CHECK(difference(second, first) > 1e-3);
      CHECK(difference(second, with(false).first) < tolerance);
    }
  }
}

TEST_CASE("models: the prepared landmark net follows its source") {
  FERNet model(tiny_config());
  fill_as_reference(model, "follow/");
  model.freeze_landmarks();
  const Variable x = image(1, 32, DType::float32, Device::cpu);
  const Tensor first = model.landmark_features(x).value();
  const PreparedLandmarkNet* prepared = model.prepared_landmarks();
  REQUIRE(prepared != nullptr);
  model.landmark_features(x);
  CHECK(model.prepared_landmarks() == prepared);  // made once
  fill_as_reference(model, "other/");
  CHECK_FALSE(prepared->is_current());
  const Tensor second = model.landmark_features(x).value();
  CHECK(difference(second, first) > 1e-3);
  model.set_prepared(false);
  CHECK(difference(second, model.landmark_features(x).value()) < 1e-5);
  model.set_prepared(true);
  model.landmark_backbone().conv1().bn().running_mean.fill(0.5);
  const Tensor third = model.landmark_features(x).value();
  model.to(DType::float64);
  const Tensor wide = model.landmark_features(Variable(x.value().to(DType::float64))).value();
  CHECK(wide.dtype() == DType::float64);
  CHECK(difference(third, wide) < 1e-5);
}

TEST_CASE("models: in training nothing prepared for inference is kept but the landmark net") {
  FERNet model(tiny_config());
  model.initialise(1);
  const Variable x = image(1, 32, DType::float32, Device::cpu);
  const auto live_after = [&](bool training) {
    model.train(training);
    NoGrad no_grad;
    if (!training) model(x);
    return backend(Device::cpu).memory_stats().live;
  };
  live_after(false);
  const std::size_t before = live_after(true);
  CHECK(live_after(false) > before);
  CHECK(live_after(true) == before);
}

}  // namespace
}  // namespace fer
