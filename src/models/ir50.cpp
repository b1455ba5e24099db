#include "fer/models/ir50.h"

#include <numeric>

#include "fer/autograd/ops.h"
#include "fer/tensor/precision.h"
#include "models/size_checks.h"

namespace fer {

IRUnit::IRUnit(std::int64_t in, std::int64_t out, int stride) : in_(in), out_(out), stride_(stride) {
  if (in == out) {
    shortcut_layer_ = &register_module<MaxPool2d>("shortcut_layer", 1, stride);
  } else {
    Sequential& projection = register_module<Sequential>("shortcut_layer");
    projection.append<Conv2d>(in, out, 1, Conv2dOptions{.stride = stride});
    projection.append<BatchNorm>(out);
    shortcut_layer_ = &projection;
  }
  res_layer_ = &register_module<Sequential>("res_layer");
  res_layer_->append<BatchNorm>(in);
  res_layer_->append<Conv2d>(in, out, 3, Conv2dOptions{.padding = 1});
  res_layer_->append<PReLU>(out);
  res_layer_->append<Conv2d>(out, out, 3, Conv2dOptions{.stride = stride, .padding = 1});
  norm2_ = &res_layer_->append<BatchNorm>(out);
}

std::string IRUnit::describe() const {
  return concat("IRUnit(", in_, ", ", out_, stride_ == 1 ? "" : concat(", stride ", stride_), ")");
}

Variable IRUnit::forward(const Variable& x) {
  const auto run_res_layer = [this](auto&& part) {
    ModuleScope scope(res_layer_->name());
    return part();
  };
  const Variable y = run_res_layer([&] { return res_layer_->forward_range(x, 0, res_layer_->size() - 1); });
  const Variable shortcut = (*shortcut_layer_)(x);
  return run_res_layer([&] { return (*norm2_)(y, {}, shortcut); });
}

void validate(const IRBackboneConfig& config) {
  require<ConfigError>(
      !config.widths.empty() && config.units.size() == config.widths.size() &&
          config.strides.size() == config.widths.size(),
      "widths, units and strides of the image backbone need one entry per stage each; they have ",
      config.widths.size(), ", ", config.units.size(), " and ", config.strides.size(), " entries");
  detail::require_size("stages of the image backbone", static_cast<std::int64_t>(config.widths.size()), 16);
  detail::require_size("stem", config.stem, detail::most_channels);
  detail::require_size("stem_stride", config.stem_stride, detail::most_stride);
  for (const auto width : config.widths) detail::require_size("widths", width, detail::most_channels);
  for (const auto count : config.units) detail::require_size("units", count, detail::most_units);
  for (const auto stride : config.strides) detail::require_size("strides", stride, detail::most_stride);
}

namespace {

/// For member initialisers: returns `config` after checking it.
IRBackboneConfig checked(const IRBackboneConfig& config) {
  validate(config);
  return config;
}

}  // namespace

IRBackbone::IRBackbone(const IRBackboneConfig& config)
    : config_(checked(config)),
      input_layer_(register_module<Sequential>("input_layer")),
      body_(register_module<Sequential>("body")) {
  const int stem_stride = static_cast<int>(config_.stem_stride);
  input_layer_.append<Conv2d>(3, config_.stem, 3, Conv2dOptions{.stride = stem_stride, .padding = 1});
  stem_norm_ = &input_layer_.append<BatchNorm>(config_.stem);
  stem_prelu_ = &input_layer_.append<PReLU>(config_.stem);
  std::int64_t channels = config_.stem;
  for (std::size_t stage = 0; stage < config_.widths.size(); ++stage) {
    for (std::int64_t i = 0; i < config_.units[stage]; ++i) {
      const int stride = i == 0 ? static_cast<int>(config_.strides[stage]) : 1;
      units_.push_back(&body_.append<IRUnit>(channels, config_.widths[stage], stride));
      channels = config_.widths[stage];
    }
  }
}

std::string IRBackbone::describe() const {
  std::ostringstream text;
  text << "IRBackbone(stem " << config_.stem << ", stages";
  for (std::size_t i = 0; i < config_.widths.size(); ++i) {
    text << (i ? ", " : " ") << config_.units[i] << " x " << config_.widths[i];
  }
  text << ")";
  return text.str();
}

std::int64_t IRBackbone::grid(std::int64_t image_size) const {
  std::int64_t side = (image_size - 1) / config_.stem_stride + 1;
  for (const std::int64_t stride : config_.strides) side = (side - 1) / stride + 1;
  return side;
}

Variable IRBackbone::run_stem(const Variable& x) {
  ModuleScope scope(input_layer_.name());
  return (*stem_norm_)(input_layer_.forward_range(x, 0, 1), stem_prelu_->weight, {});
}

Variable IRBackbone::run_units(const Variable& x, std::size_t begin, std::size_t end) {
  ModuleScope scope(body_.name());
  return body_.forward_range(x, begin, end);
}

std::size_t IRBackbone::units_in(std::size_t stages) const {
  const auto end = config_.units.begin() + static_cast<std::ptrdiff_t>(stages);
  return static_cast<std::size_t>(std::accumulate(config_.units.begin(), end, std::int64_t{0}));
}

Variable IRBackbone::first_stages(const Variable& images, std::size_t stages) {
  return run_units(run_stem(cast(images, activation_type(images.value()))), 0, units_in(stages));
}

Variable IRBackbone::later_stages(const Variable& map, std::size_t stages) {
  return run_units(map, units_in(stages), units_.size());
}

Variable IRBackbone::forward(const Variable& images) {
  require<ShapeError>(images.rank() == 4 && images.dim(3) == 3,
                      "[image_backbone] needs images N x H x W x 3, got ", images.shape());
  const Variable x = cast(images, activation_type(images.value()));
  if (!checkpointing_) return body_(run_stem(x));
  // The stem and the units with a stride have the largest activations, so each is a segment of its own. The
  // rest of a stage is another segment.
  Variable y = checkpoint([this](const std::vector<Variable>& in) { return run_stem(in[0]); }, {x});
  const auto segment = [&](std::size_t begin, std::size_t end) {
    if (begin == end) return;
    y = checkpoint(
        [this, begin, end](const std::vector<Variable>& in) { return run_units(in[0], begin, end); }, {y});
  };
  std::size_t unit = 0;
  for (const std::int64_t count : config_.units) {
    segment(unit, unit + 1);
    segment(unit + 1, unit + static_cast<std::size_t>(count));
    unit += static_cast<std::size_t>(count);
  }
  return y;
}

}  // namespace fer
