#include "fer/models/prepared_landmark_net.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "fer/autograd/ops.h"
#include "fer/tensor/precision.h"
#include "models/folding.h"

namespace fer {
namespace {

/// What is known of each channel of a map: a value that it has at every pixel of every image, or nothing.
using Constants = std::vector<std::optional<double>>;

/// A convolution with its batch norm folded in, in float64: y = act(W x + bias).
struct PrunableConv {
  std::string name;
  std::int64_t out = 0, taps = 1, in = 0;  // weight: out x taps x in; in is 1 if depthwise
  std::vector<double> weight, bias, slope;
  Conv2dOptions options;

  double& at(std::int64_t o, std::int64_t tap, std::int64_t i) { return weight[(o * taps + tap) * in + i]; }
  double at(std::int64_t o, std::int64_t tap, std::int64_t i) const {
    return weight[(o * taps + tap) * in + i];
  }
  double activated(std::int64_t o, double x) const { return slope.empty() || x > 0 ? x : slope[o] * x; }
  bool reads_nothing(std::int64_t o) const {
    return std::all_of(weight.begin() + o * taps * in, weight.begin() + (o + 1) * taps * in,
                       [](double w) { return w == 0.0; });
  }
  bool reads(std::int64_t i) const {
    for (std::int64_t o = 0; o < out; ++o) {
      if (at(o, 0, i) != 0.0) return true;
    }
    return false;
  }
};

PrunableConv fold(const ConvBlock& block, std::string name) {
  PrunableConv folded;
  const Conv2d& conv = block.conv();
  const BatchNorm& bn = block.bn();
  const Shape& shape = conv.weight.shape();
  folded.name = std::move(name);
  folded.out = shape[0];
  folded.taps = shape[1] * shape[2];
  folded.in = shape[3];
  folded.weight = values_of(conv.weight.value());
  folded.bias = values_of(bn.bias.value());
  folded.options = conv.options();
  if (block.prelu()) folded.slope = values_of(block.prelu()->weight.value());
  const std::vector<double> gamma = values_of(bn.weight.value());
  const std::vector<double> mean = values_of(bn.running_mean), var = values_of(bn.running_var);
  const std::int64_t per_output = folded.taps * folded.in;
  for (std::int64_t o = 0; o < folded.out; ++o) {
    const double factor = gamma[o] / std::sqrt(var[o] + bn.eps());
    for (std::int64_t i = 0; i < per_output; ++i) folded.weight[o * per_output + i] *= factor;
    folded.bias[o] -= mean[o] * factor;
  }
  return folded;
}

/// A 1x1 convolution reads constants: they move into its bias, and their weights become zero.
void absorb(PrunableConv& conv, const Constants& constants) {
  for (std::int64_t i = 0; i < conv.in; ++i) {
    if (!constants[i]) continue;
    for (std::int64_t o = 0; o < conv.out; ++o) {
      conv.bias[o] += conv.at(o, 0, i) * *constants[i];
      conv.at(o, 0, i) = 0.0;
    }
  }
}

/// The outputs of a dense convolution that are the same everywhere.
Constants constants_after(const PrunableConv& conv) {
  Constants constants(conv.out);
  for (std::int64_t o = 0; o < conv.out; ++o) {
    if (conv.reads_nothing(o)) constants[o] = conv.activated(o, conv.bias[o]);
  }
  return constants;
}

/// Those of a depthwise convolution. A constant other than zero meets the zeros of the padding at the border,
/// so it comes out constant only if its kernel is zero.
Constants constants_after_depthwise(const PrunableConv& conv, const Constants& before) {
  Constants constants(conv.out);
  for (std::int64_t c = 0; c < conv.out; ++c) {
    if ((before[c] && *before[c] == 0.0) || conv.reads_nothing(c)) {
      constants[c] = conv.activated(c, conv.bias[c]);
    }
  }
  return constants;
}

struct FoldedBlock {
  PrunableConv conv, conv_dw, project;
  bool residual = false;
};

/// A chain of blocks whose outputs add up in one map: a first block and the residual ones after it.
using Chain = std::vector<FoldedBlock>;

using Channels = std::vector<std::int64_t>;

Channels all_channels(std::int64_t count) {
  Channels channels(count);
  for (std::int64_t i = 0; i < count; ++i) channels[i] = i;
  return channels;
}

/// Indices of the channels that `constants` says nothing of; at least one, as a map cannot be empty: then the
/// first is treated as if nothing were known.
Channels kept_channels(Constants& constants) {
  Channels kept;
  for (std::size_t i = 0; i < constants.size(); ++i) {
    if (!constants[i]) kept.push_back(static_cast<std::int64_t>(i));
  }
  if (kept.empty()) {
    constants[0].reset();
    kept.push_back(0);
  }
  return kept;
}

PrunableConv select(const PrunableConv& conv, const Channels& outputs, const Channels& inputs) {
  PrunableConv small = conv;
  small.out = static_cast<std::int64_t>(outputs.size());
  small.in = static_cast<std::int64_t>(inputs.size());
  small.weight.clear();
  small.bias.clear();
  small.slope.clear();
  for (const std::int64_t o : outputs) {
    small.bias.push_back(conv.bias[o]);
    if (!conv.slope.empty()) small.slope.push_back(conv.slope[o]);
    for (std::int64_t tap = 0; tap < conv.taps; ++tap) {
      for (const std::int64_t i : inputs) small.weight.push_back(conv.at(o, tap, i));
    }
  }
  if (conv.options.groups > 1) small.options.groups = static_cast<int>(outputs.size());
  return small;
}

/// A block without its dead hidden channels; constants of its input go into its biases. Its output, and what
/// is known of it, keep all their channels.
struct PrunedBlock {
  FoldedBlock block;
  Constants output;
};

PrunedBlock prune(const FoldedBlock& full, const Constants& input) {
  FoldedBlock block = full;
  absorb(block.conv, input);
  Constants hidden = constants_after_depthwise(block.conv_dw, constants_after(block.conv));
  for (std::int64_t h = 0; h < block.project.in; ++h) {
    if (!hidden[h] && !block.project.reads(h)) hidden[h] = 0.0;  // nobody will see which value it has
  }
  const Channels kept = kept_channels(hidden);
  absorb(block.project, hidden);
  PrunedBlock pruned{block, constants_after(block.project)};
  Constants inputs = input;
  pruned.block.conv = select(block.conv, kept, kept_channels(inputs));
  pruned.block.conv_dw = select(block.conv_dw, kept, {0});
  pruned.block.project = select(block.project, all_channels(block.project.out), kept);
  return pruned;
}

/// Runs through the chain with the knowledge of `input`, and of the channels of its sum that `dropped` names.
/// Returns the pruned blocks and what is known of the sum at the end.
std::pair<Chain, Constants> prune_chain(const Chain& chain, const Constants& input,
                                        const std::vector<bool>& dropped) {
  Chain pruned_chain;
  Constants sum;
  for (const FoldedBlock& block : chain) {
    PrunedBlock pruned = prune(block, block.residual ? sum : input);
    if (!block.residual) sum.assign(pruned.output.size(), 0.0);
    for (std::size_t c = 0; c < sum.size(); ++c) {
      if (!dropped[c] || !pruned.output[c]) {
        sum[c].reset();
      } else if (sum[c]) {
        *sum[c] += *pruned.output[c];
      }
    }
    pruned_chain.push_back(std::move(pruned.block));
  }
  return {std::move(pruned_chain), std::move(sum)};
}

/// Drops from the chain's sum the channels that are constant in every summand. A channel that turns out not
/// to be is kept from the first block on, which may make others vary: so until nothing changes. `keep_all`:
/// the sum is f_lm, which keeps its channels.
Constants prune_to_fixpoint(Chain& chain, const Constants& input, bool keep_all) {
  const auto width = static_cast<std::size_t>(chain.front().project.out);
  std::vector<bool> dropped(width, !keep_all);
  for (;;) {
    auto [pruned, sum] = prune_chain(chain, input, dropped);
    std::vector<bool> still(width);
    for (std::size_t c = 0; c < width; ++c) still[c] = sum[c].has_value();
    if (!keep_all && std::find(still.begin(), still.end(), false) == still.end()) still[0] = false;
    if (still == dropped) {
      const Channels kept = kept_channels(sum);
      for (FoldedBlock& block : pruned) {
        block.project = select(block.project, kept, all_channels(block.project.in));
      }
      chain = std::move(pruned);
      return sum;
    }
    dropped = still;
  }
}

}  // namespace

/// Makes the variables of a prepared net from folded convolutions.
class PreparedLandmarkNet::Builder {
 public:
  Builder(PreparedLandmarkNet& net, DType dtype, Device device) : net_(net), dtype_(dtype), device_(device) {}

  PreparedConv2d conv(const PrunableConv& folded, std::int64_t kernel) {
    net_.channels_kept_ += folded.out;
    return PreparedConv2d({.name = folded.name,
                           .weight = make({folded.out, kernel, kernel, folded.in}, folded.weight),
                           .bias = make({folded.out}, folded.bias),
                           .slope = folded.slope.empty() ? Tensor() : make({folded.out}, folded.slope),
                           .border = {},
                           .options = folded.options});
  }

 private:
  Tensor make(const Shape& shape, const std::vector<double>& values) const {
    return Tensor::from<double>(shape, values).to(dtype_).to(device_);
  }

  PreparedLandmarkNet& net_;
  DType dtype_;
  Device device_;
};

PreparedLandmarkNet::PreparedLandmarkNet(MobileFaceNet& net) : made_from_(net) {
  PrunableConv conv1 = fold(net.conv1(), net.conv1().name());
  PrunableConv conv2_dw = fold(net.conv2_dw(), net.conv2_dw().name());
  channels_before_ = conv1.out + conv2_dw.out;
  std::vector<Chain> chains;
  for (const DepthWise* block : net.feature_blocks()) {
    const std::string path = block->path().substr(net.path().empty() ? 0 : net.path().size() + 1) + ".";
    if (!block->residual()) chains.emplace_back();
    chains.back().push_back({fold(block->conv(), path + "conv"), fold(block->conv_dw(), path + "conv_dw"),
                             fold(block->project(), path + "project"), block->residual()});
    const FoldedBlock& folded = chains.back().back();
    channels_before_ += folded.conv.out + folded.conv_dw.out + folded.project.out;
  }

  Constants known = constants_after_depthwise(conv2_dw, constants_after(conv1));
  for (std::int64_t c = 0; c < conv2_dw.out; ++c) {
    if (!known[c] && !chains.front().front().conv.reads(c)) known[c] = 0.0;
  }
  const Channels kept = kept_channels(known);
  for (Chain& chain : chains) known = prune_to_fixpoint(chain, known, &chain == &chains.back());

  const Tensor& like = net.conv1().conv().weight.value();
  Builder builder(*this, like.dtype(), like.device());
  conv1_ = builder.conv(select(conv1, kept, all_channels(conv1.in)), 3);
  conv2_dw_ = builder.conv(select(conv2_dw, kept, {0}), 3);
  for (const Chain& chain : chains) {
    for (const FoldedBlock& block : chain) {
      blocks_.push_back({builder.conv(block.conv, 1), builder.conv(block.conv_dw, 3),
                         builder.conv(block.project, 1), block.residual});
    }
  }
}

Variable PreparedLandmarkNet::features(const Variable& x) const {
  NoGrad no_grad;
  const auto run = [this](const Variable& images) {
    Variable y = conv2_dw_(conv1_(cast(images, activation_type(images.value()))));
    for (const Block& block : blocks_) {
      const Variable hidden = block.conv_dw(block.conv(y));
      y = block.project(hidden, block.residual ? y : Variable());
    }
    return y;
  };
  // A layer does little with each number that it reads. A processor's caches hold the maps of a few images
  // from one layer to the next, but not those of a batch; a GPU wants the batch.
  constexpr std::int64_t group = 4;
  if (x.device() != Device::cpu || x.rank() != 4 || x.dim(0) <= group) return run(x);
  Tensor all;
  for (std::int64_t first = 0; first < x.dim(0); first += group) {
    const std::int64_t count = std::min(group, x.dim(0) - first);
    const Tensor some = run(Variable(x.value().slice(first, count))).value();
    if (!all.defined()) {
      Shape shape = some.shape();
      shape.set(0, x.dim(0));
      all = Tensor::empty_like(some, shape);
    }
    all.slice(first, count).copy_from(some);
  }
  return Variable(all);
}

}  // namespace fer
