// Losses and whole networks in a GlobalBatch: several ranks compute what one process computes for the whole
// batch.
#include "fer/layers/checkpoint.h"
#include "fer/losses/losses.h"
#include "fer/models/registry.h"
#include "tests/models/reference_fill.h"
#include "tests/support/shared_batch.h"

namespace fer {
namespace {

using test::BatchFunction;
using test::BatchInputs;
using test::BatchResults;
using test::check_ranks;
using test::Share;

constexpr std::int64_t neutral = 2;

/// rows: scores 7 x 5, tokens 7 x 4, labels, soft targets 7 x 5.
BatchInputs loss_inputs(const std::vector<std::int64_t>& label, Device device) {
  BatchInputs in;
  in.rows =
      CaseInputs("shared losses", device).uniform("scores", {7, 5}, -2, 2).uniform("tokens", {7, 4}).take();
  in.rows.emplace_back(test::labels(label, device));
  in.rows.push_back(CaseInputs("shared losses", device).uniform("votes", {7, 5}, 0, 1, false).take()[0]);
  return in;
}

/// Class 1 and the neutral class on one rank only, and on several; one neutral sample; none.
const std::vector<std::vector<std::int64_t>> label_lists{{0, 1, 0, 2, 2, 2, 3},
                                                         {2, 2, 1, 0, 0, 4, 3},
                                                         {2, 1, 1, 0, 3, 0, 2},
                                                         {0, 1, 3, 3, 2, 1, 0},
                                                         {0, 1, 1, 0, 3, 0, 4}};

OP_TEST("global batch: each part of the loss") {
  using Part = Variable FERLossParts::*;
  for (const auto& label : label_lists) {
    const BatchInputs in = loss_inputs(label, device);
    for (const AuxiliaryLoss kind : {AuxiliaryLoss::none, AuxiliaryLoss::anchor, AuxiliaryLoss::neaa}) {
      for (const bool soft : {false, true}) {
        const FERLoss loss({.auxiliary = kind, .weight = 0.7, .neutral = neutral, .label_smoothing = 0.1});
        std::vector<Part> parts{&FERLossParts::total};
        if (kind == AuxiliaryLoss::neaa && !soft)
          parts = {&FERLossParts::total, &FERLossParts::cross_entropy, &FERLossParts::anchor,
                   &FERLossParts::neutral};
        for (const Part part : parts) {
          CAPTURE(std::string(name_of(kind)));
          CAPTURE(soft);
          check_ranks(
              [&](const auto& x, const auto&, auto&) {
                // Reads scores and tokens, so that each has a gradient whatever the part.
                const Variable zero = scale(add(sum(x[0]), sum(x[1])), 0.0);
                return add(loss(x[0], x[1], x[2].value(), soft ? x[3].value() : Tensor()).*part, zero);
              },
              in);
        }
      }
    }
  }
}

OP_TEST("global batch: losses by themselves") {
  const std::vector<std::function<Variable(const std::vector<Variable>&)>> losses{
      [](const auto& x) { return CrossEntropyLoss()(x[0], x[2].value()); },
      [](const auto& x) { return CrossEntropyLoss().soft(x[0], x[3].value()); },
      [](const auto& x) { return AnchorLoss()(x[1], x[0], x[2].value()); },
      [](const auto& x) { return NeutralLoss(neutral)(x[1], x[2].value()); },
      [](const auto& x) { return NeAALoss(neutral)(x[1], x[0], x[2].value()); },
      [](const auto& x) { return LandmarkLoss(LandmarkLossKind::mse)(x[0], x[3].value()); },
      [](const auto& x) { return LandmarkLoss(LandmarkLossKind::smooth_l1, 0.4)(x[0], x[3].value()); }};
  const BatchInputs in = loss_inputs(label_lists[0], device);
  for (std::size_t i = 0; i < losses.size(); ++i) {
    CAPTURE(i);
    check_ranks([&](const auto& x, const auto&,
                    auto&) { return add(losses[i](x), scale(add(sum(x[0]), sum(x[1])), 0.0)); },
                in);
  }
}

/// One training step of a network on the samples of a rank.
BatchResults network_step(const ModelConfig& config, bool checkpointing, Device device, const Share& share) {
  const std::unique_ptr<Network> network = make_network(config);
  test::fill_as_reference(*network, "global batch/");
  network->to(DType::float64);
  network->to(device);
  network->train();
  network->set_checkpointing(checkpointing);
  const RandomScope random(3, 4);
  const std::int64_t side = config.image_size();
  const std::vector<Variable> images =
      CaseInputs("global batch", device).uniform("x", {share.all, side, side, 3}).take();
  const Variable x(share.of(images[0].value()), true);
  const Tensor labels = share.of(test::labels({0, 1, 2, 2, 0, 1, 1}, device).slice(0, share.all));
  const NetworkOutput out = (*network)(x);
  const Variable loss = FERLoss({.weight = 0.3, .neutral = neutral})(out.scores, out.token, labels).total;
  loss.backward();
  BatchResults results{{out.scores.value(), x.grad()}, {loss.value()}, {}};
  for (const NamedVariable& p : network->named_parameters()) results.sums.push_back(p.variable.grad());
  for (const NamedBuffer& b : network->named_buffers()) results.common.push_back(b.buffer->clone());
  return results;
}

void check_network(const ModelConfig& config, Device device) {
  for (const bool checkpointing : {false, true}) {
    CAPTURE(checkpointing);
    const auto step = [&](const Share& share) { return network_step(config, checkpointing, device, share); };
    check_ranks(step, {3, 1}, 1e-9);
    if (device != Device::simt) check_ranks(step, {2, 1, 4}, 1e-9);
  }
}

OP_TEST("global batch: a step of the tiny network with dropout") {
  FERNetConfig config = preset("tiny", 3);
  config.image_size = 24;
  config.attention.drop_attention = config.attention.drop_hidden = config.attention.drop_mlp = 0.2;
  check_network(config, device);
}

TEST_CASE("global batch: a step of ResNet, and of POSTER with branches dropped") {
  ResNetConfig resnet;
  resnet.classes = 3;
  resnet.image_size = 20;
  resnet.widths = {4, 6};
  resnet.units = {1, 2};
  check_network(resnet, Device::cpu);
  PosterConfig poster = tiny_poster(3);
  poster.drop_path = 0.3;
  check_network(poster, Device::cpu);
}

TEST_CASE("global batch: a checkpoint goes back only within the batch of its forward pass") {
  const auto messages = test::on_ranks(2, [](Communicator& ranks) {
    const CheckpointedFunction f = [](const std::vector<Variable>& in) {
      return dropout(in[0], 0.5, {1, 2, 3});
    };
    Variable y;
    {
      const GlobalBatch batch(ranks, 2 * ranks.rank(), 2, 4);
      y = checkpoint(f, {Variable(Tensor::zeros({2, 3}), true)});
    }
    try {
      y.backward(Tensor::zeros({2, 3}));
    } catch (const AutogradError& error) {
      return std::string(error.what());
    }
    return std::string();
  });
  for (const std::string& message : messages)
    CHECK(message == "[checkpoint] backward must run in the GlobalBatch of forward");
}

}  // namespace
}  // namespace fer
