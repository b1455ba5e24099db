// Grad-CAM runs the forward pass up to the layer without a graph, makes the layer's value a leaf, and runs
// backward only down to that leaf. Meanwhile parameters require no gradient.
#include "fer/report/explain.h"

#include <algorithm>
#include <numeric>

#include "fer/autograd/ops.h"

namespace fer {
namespace {

/// While alive, no parameter of the model requires a gradient.
class FrozenParameters {
 public:
  explicit FrozenParameters(Module& model) {
    for (NamedVariable& p : model.named_parameters()) {
      if (!p.variable.requires_grad()) continue;
      p.variable.set_requires_grad(false);
      thawed_.push_back(p.variable);
    }
  }
  ~FrozenParameters() {
    for (Variable& p : thawed_) p.set_requires_grad(true);
  }
  FrozenParameters(const FrozenParameters&) = delete;
  FrozenParameters& operator=(const FrozenParameters&) = delete;

 private:
  std::vector<Variable> thawed_;
};

/// The map of sample n: pixels by channels, `a` and its gradient `da`.
HeatMap weigh(const float* a, const float* da, int height, int width, std::int64_t channels) {
  const std::int64_t pixels = static_cast<std::int64_t>(height) * width;
  std::vector<double> weight(static_cast<std::size_t>(channels), 0.0);
  for (std::int64_t p = 0; p < pixels; ++p) {
    for (std::int64_t c = 0; c < channels; ++c) weight[static_cast<std::size_t>(c)] += da[p * channels + c];
  }
  HeatMap map{height, width, std::vector<float>(static_cast<std::size_t>(pixels))};
  for (std::int64_t p = 0; p < pixels; ++p) {
    double sum = 0;
    for (std::int64_t c = 0; c < channels; ++c) {
      sum += weight[static_cast<std::size_t>(c)] / static_cast<double>(pixels) * a[p * channels + c];
    }
    map.values[static_cast<std::size_t>(p)] = static_cast<float>(std::max(0.0, sum));
  }
  return map;
}

std::vector<double> mean_heads(const float* a, std::int64_t heads, std::int64_t tokens) {
  const auto size = static_cast<std::size_t>(tokens * tokens);
  std::vector<double> mean(size, 0.0);
  for (std::int64_t h = 0; h < heads; ++h) {
    for (std::size_t i = 0; i < size; ++i) mean[i] += a[static_cast<std::size_t>(h) * size + i];
  }
  for (double& v : mean) v /= static_cast<double>(heads);
  return mean;
}

/// (a + I) / 2
std::vector<double> with_residual(std::vector<double> a, std::int64_t tokens) {
  for (double& v : a) v /= 2;
  for (std::int64_t i = 0; i < tokens; ++i) a[static_cast<std::size_t>(i * tokens + i)] += 0.5;
  return a;
}

std::vector<double> product(const std::vector<double>& a, const std::vector<double>& b, std::int64_t tokens) {
  const auto t = static_cast<std::size_t>(tokens);
  std::vector<double> c(a.size(), 0.0);
  for (std::size_t i = 0; i < t; ++i) {
    for (std::size_t k = 0; k < t; ++k) {
      for (std::size_t j = 0; j < t; ++j) c[i * t + j] += a[i * t + k] * b[k * t + j];
    }
  }
  return c;
}

}  // namespace

std::vector<HeatMap> grad_cam(const Tensor& features, const std::function<Variable(const Variable&)>& rest,
                              const std::vector<std::int64_t>& classes) {
  require<ShapeError>(features.rank() == 4 && features.dim(0) == static_cast<std::int64_t>(classes.size()),
                      "[grad_cam] needs features N x h x w x C and N classes, got ", features.shape(),
                      " and ", classes.size());
  EnableGrad enable;
  Variable leaf(features, /*requires_grad=*/true, "features");
  const Variable scores = rest(leaf);
  std::vector<float> choice(static_cast<std::size_t>(scores.shape().numel()), 0.0f);
  for (std::size_t n = 0; n < classes.size(); ++n) {
    require<DataError>(classes[n] >= 0 && classes[n] < scores.dim(1), "[grad_cam] there is no class ",
                       classes[n], " among ", scores.dim(1));
    choice[n * static_cast<std::size_t>(scores.dim(1)) + static_cast<std::size_t>(classes[n])] = 1;
  }
  scores.backward(Tensor::from<float>(scores.shape(), choice).to(features.device()));
  const auto a = features.to_vector<float>(), da = leaf.grad().to_vector<float>();
  const int height = static_cast<int>(features.dim(1)), width = static_cast<int>(features.dim(2));
  const auto size = static_cast<std::size_t>(features.numel()) / classes.size();
  std::vector<HeatMap> maps;
  for (std::size_t n = 0; n < classes.size(); ++n) {
    maps.push_back(weigh(a.data() + n * size, da.data() + n * size, height, width, features.dim(3)));
  }
  return maps;
}

std::vector<HeatMap> grad_cam(Network& network, const Tensor& x, const std::string& layer,
                              const std::vector<std::int64_t>& classes) {
  const FrozenParameters frozen(network);
  const Variable input(x);
  const Tensor map = [&] {
    NoGrad no_grad;
    return network.map_of(layer, input).value();
  }();
  return grad_cam(
      map, [&](const Variable& a) { return network.scores_from(layer, a, input); }, classes);
}

std::vector<HeatMap> landmark_heat(FERNet& model, const Tensor& x) {
  require<ConfigError>(model.config().attention.product,
                       "this network has no heat map: its dot-product attention is switched off");
  NoGrad no_grad;
  AttentionTrace trace;
  const Variable input(x);
  model.attention().fuse(model.image_features(input), model.landmark_features(input), &trace);
  const Tensor& heat = trace.heat;
  const auto values = heat.to_vector<float>();
  const auto channels = static_cast<std::size_t>(heat.dim(3));
  const auto pixels = static_cast<std::size_t>(heat.dim(1) * heat.dim(2));
  std::vector<HeatMap> maps;
  for (std::size_t n = 0; n < static_cast<std::size_t>(heat.dim(0)); ++n) {
    HeatMap map{static_cast<int>(heat.dim(1)), static_cast<int>(heat.dim(2)), std::vector<float>(pixels)};
    for (std::size_t p = 0; p < pixels; ++p) {
      const auto first = values.begin() + static_cast<std::ptrdiff_t>((n * pixels + p) * channels);
      map.values[p] = std::accumulate(first, first + static_cast<std::ptrdiff_t>(channels), 0.0f) /
                      static_cast<float>(channels);
    }
    maps.push_back(std::move(map));
  }
  return maps;
}

std::vector<Tensor> attention_rollout(const std::vector<Tensor>& attention) {
  require<ShapeError>(!attention.empty(), "[attention_rollout] there are no blocks");
  const Shape& shape = attention[0].shape();
  for (const Tensor& a : attention) {
    require<ShapeError>(a.rank() == 4 && a.shape() == shape && a.dim(2) == a.dim(3),
                        "[attention_rollout] needs all rows of every block, N x heads x T x T; got ",
                        a.shape());
  }
  const std::int64_t heads = shape[1], tokens = shape[3];
  const auto square = static_cast<std::size_t>(tokens * tokens);
  std::vector<std::vector<float>> values;
  values.reserve(attention.size());
  for (const Tensor& a : attention) values.push_back(a.to_vector<float>());
  std::vector<Tensor> rollouts;
  for (std::size_t n = 0; n < static_cast<std::size_t>(shape[0]); ++n) {
    const std::size_t offset = n * static_cast<std::size_t>(heads) * square;
    std::vector<double> earlier;
    for (std::size_t l = 0; l + 1 < values.size(); ++l) {
      std::vector<double> a = with_residual(mean_heads(values[l].data() + offset, heads, tokens), tokens);
      earlier = earlier.empty() ? std::move(a) : product(a, earlier, tokens);
    }
    std::vector<float> rollout;
    rollout.reserve(static_cast<std::size_t>(heads) * square);
    for (std::int64_t h = 0; h < heads; ++h) {
      const float* head = values.back().data() + offset + static_cast<std::size_t>(h) * square;
      std::vector<double> last = with_residual(std::vector<double>(head, head + square), tokens);
      if (!earlier.empty()) last = product(last, earlier, tokens);
      rollout.insert(rollout.end(), last.begin(), last.end());
    }
    rollouts.push_back(Tensor::from<float>({heads, tokens, tokens}, rollout));
  }
  return rollouts;
}

HeatMap rollout_map(const Tensor& rollout, std::int64_t head, std::int64_t query, int height, int width) {
  require<ShapeError>(rollout.rank() == 3 && rollout.dim(2) == static_cast<std::int64_t>(height) * width + 1,
                      "[rollout_map] needs heads x T x T with T = ", height * width + 1, ", got ",
                      rollout.shape());
  require<ShapeError>(head >= 0 && head < rollout.dim(0) && query >= 0 && query < rollout.dim(1),
                      "[rollout_map] head ", head, " and query ", query, " are not in ", rollout.shape());
  const float* attention = rollout.data<float>() + (head * rollout.dim(1) + query) * rollout.dim(2);
  HeatMap map{height, width, std::vector<float>(attention + 1, attention + rollout.dim(2))};
  if (query == 0) return map;
  const int own = static_cast<int>(query) - 1, y0 = own / width, x0 = own % width;
  float sum = 0;
  int count = 0;
  for (int y = std::max(0, y0 - 1); y <= std::min(height - 1, y0 + 1); ++y) {
    for (int x = std::max(0, x0 - 1); x <= std::min(width - 1, x0 + 1); ++x) {
      if (y == y0 && x == x0) continue;
      const std::size_t row = static_cast<std::size_t>(y) * static_cast<std::size_t>(width);
      sum += map.values[row + static_cast<std::size_t>(x)];
      ++count;
    }
  }
  map.values[static_cast<std::size_t>(own)] = count > 0 ? sum / static_cast<float>(count) : 0;
  return map;
}

}  // namespace fer
