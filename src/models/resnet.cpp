#include "fer/models/resnet.h"

#include <algorithm>

#include "fer/autograd/ops.h"
#include "fer/nearest.h"
#include "fer/tensor/precision.h"
#include "models/size_checks.h"

namespace fer {

void validate(const ResNetConfig& config) {
  require<ConfigError>(!config.widths.empty() && config.widths.size() == config.units.size(),
                       "widths and units of a ResNet have one entry per stage, got ", config.widths.size(),
                       " and ", config.units.size());
  detail::require_size("stages of a ResNet", static_cast<std::int64_t>(config.widths.size()), 16);
  detail::require_size("classes", config.classes, detail::most_channels);
  detail::require_size("image_size", config.image_size, detail::most_pixels);
  for (const auto width : config.widths) detail::require_size("widths", width, detail::most_channels);
  for (const auto count : config.units) detail::require_size("units", count, detail::most_units);
}

BasicBlock::BasicBlock(std::int64_t in, std::int64_t out, int stride)
    : in_(in),
      out_(out),
      stride_(stride),
      conv1_(register_module<Conv2d>("conv1", in, out, 3, Conv2dOptions{.stride = stride, .padding = 1})),
      bn1_(register_module<BatchNorm>("bn1", out)),
      conv2_(register_module<Conv2d>("conv2", out, out, 3, Conv2dOptions{.padding = 1})),
      bn2_(register_module<BatchNorm>("bn2", out)) {
  if (stride == 1 && in == out) return;
  downsample_ = &register_module<Sequential>("downsample");
  downsample_->append<Conv2d>(in, out, 1, Conv2dOptions{.stride = stride});
  downsample_->append<BatchNorm>(out);
}

std::string BasicBlock::describe() const {
  return concat("BasicBlock(", in_, ", ", out_, stride_ == 1 ? "" : concat(", stride ", stride_), ")");
}

Variable BasicBlock::forward(const Variable& x) {
  const Variable y = conv2_(relu(bn1_(conv1_(x))));
  return relu(bn2_(y, {}, downsample_ ? (*downsample_)(x) : x));
}

namespace {

ResNetConfig checked_resnet(const ResNetConfig& config) {
  validate(config);
  return config;
}

}  // namespace

ResNet::ResNet(const ResNetConfig& config)
    : config_(checked_resnet(config)),
      conv1_(register_module<Conv2d>("conv1", 3, config_.widths[0], 7,
                                     Conv2dOptions{.stride = 2, .padding = 3})),
      bn1_(register_module<BatchNorm>("bn1", config_.widths[0])),
      stages_([this] {
        std::vector<Sequential*> stages;
        std::int64_t channels = config_.widths[0];
        for (std::size_t i = 0; i < config_.widths.size(); ++i) {
          stages.push_back(&register_module<Sequential>(concat("layer", i + 1)));
          for (std::int64_t unit = 0; unit < config_.units[i]; ++unit) {
            stages.back()->append<BasicBlock>(channels, config_.widths[i], i > 0 && unit == 0 ? 2 : 1);
            channels = config_.widths[i];
          }
        }
        return stages;
      }()),
      fc_(register_module<Linear>("fc", config_.widths.back(), config_.classes)) {}

std::string ResNet::describe() const {
  std::int64_t layers = 2;
  for (const std::int64_t count : config_.units) layers += 2 * count;
  return concat("ResNet-", layers, "(", config_.classes, " classes)");
}

Variable ResNet::stem(const Variable& x) {
  return max_pool2d(relu(bn1_(conv1_(x))), 3, 2, 1);
}

Variable ResNet::run(const Variable& x, std::size_t begin, std::size_t end) {
  Variable y = x;
  for (std::size_t i = begin; i < end; ++i) {
    Sequential& stage = *stages_[i];
    const auto forward = [&stage](const std::vector<Variable>& in) { return stage(in[0]); };
    y = checkpointing_ ? checkpoint(forward, {y}) : forward({y});
  }
  return y;
}

NetworkOutput ResNet::classify(const Variable& map) {
  const Variable mean = global_avg_pool2d(map);
  const Variable token = cast(mean, widened(mean.dtype()));  // for the losses
  return {fc_(token), token};
}

NetworkOutput ResNet::forward(const Variable& x) {
  return classify(map_of(layers().back(), x));
}

std::vector<std::string> ResNet::layers() const {
  std::vector<std::string> names;
  for (const Sequential* stage : stages_) names.push_back(stage->name());
  return names;
}

Variable ResNet::map_of(const std::string& layer, const Variable& x) {
  require<ShapeError>(x.rank() == 4 && x.dim(3) == 3, "[resnet] needs images N x H x W x 3, got ", x.shape());
  return run(stem(cast(x, activation_type(x.value()))), 0, stage_end(layer));
}

Variable ResNet::scores_from(const std::string& layer, const Variable& map, const Variable&) {
  return classify(run(map, stage_end(layer), stages_.size())).scores;
}

std::size_t ResNet::stage_end(const std::string& layer) const {
  const std::vector<std::string> names = layers();
  const auto found = std::find(names.begin(), names.end(), layer);
  require<ConfigError>(found != names.end(), unknown_name("layer", layer, names));
  return static_cast<std::size_t>(found - names.begin()) + 1;
}

}  // namespace fer
