#include "fer/models/gradcheck_cases.h"

#include <algorithm>

#include "fer/autograd/ops.h"
#include "fer/losses/losses.h"
#include "fer/models/fernet.h"
#include "fer/models/points_net.h"
#include "fer/models/poster.h"
#include "fer/models/resnet.h"

namespace fer {
namespace {

/// A float64 leaf of uniform values in [-1, 1), the same in every run.
Variable random_leaf(const std::string& name, const Shape& shape, Device device, bool requires_grad = true) {
  Random random({0, fnv1a64(name), 0});
  std::vector<double> values(static_cast<std::size_t>(shape.numel()));
  for (double& value : values) value = random.uniform(-1.0, 1.0);
  return Variable(Tensor::from<double>(shape, values, device), requires_grad, name);
}

/// Moves the module to float64 and the device. Moves parameters away from values that hide a wrong gradient
/// (zero biases, unit scales), and running statistics away from 0 and 1.
void prepare(Module& module, Device device) {
  module.to(DType::float64);
  module.initialise(1);
  for (NamedVariable& parameter : module.named_parameters()) {
    const Variable jitter = random_leaf("jitter." + parameter.name, parameter.variable.shape(), Device::cpu);
    backend(Device::cpu).accumulate(jitter.value(), 0.1, parameter.variable.mutable_value());
  }
  for (NamedBuffer& buffer : module.named_buffers()) {
    const Variable jitter = random_leaf("jitter." + buffer.name, buffer.buffer->shape(), Device::cpu);
    backend(Device::cpu).accumulate(jitter.value(), 0.2, *buffer.buffer);
  }
  module.to(device);
}

using Forward = std::function<Variable(const std::vector<Variable>& inputs)>;

/// Checks the gradients of `inputs` and of every parameter of `module`, which gradcheck changes in place.
GradcheckResult check(const std::string& name, Module& module, std::vector<Variable> inputs,
                      const Forward& forward, const GradcheckOptions& options) {
  const std::size_t count = inputs.size();
  for (const NamedVariable& parameter : module.named_parameters()) inputs.push_back(parameter.variable);
  return gradcheck(
      name,
      [&](const std::vector<Variable>& all) {
        return forward({all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count)});
      },
      inputs, options);
}

template <typename Make>
ModuleGradcheckCase layer_case(const std::string& kind, const Shape& input, Make make, bool training = true) {
  const std::string name = "layer/" + kind;
  return {name, [=](Device device, const GradcheckOptions& options) {
            const auto layer = make();
            prepare(*layer, device);
            layer->train(training);
            return check(
                name, *layer, {random_leaf("x", input, device)},
                [&](const std::vector<Variable>& in) { return (*layer)(in[0]); }, options);
          }};
}

template <typename L, typename... Args>
auto maker(Args... args) {
  return [=] { return std::make_unique<L>(args...); };
}

void add_layers(std::vector<ModuleGradcheckCase>& cases) {
  cases.push_back(layer_case("linear", {3, 4, 5}, maker<Linear>(5, 3)));
  cases.push_back(layer_case("linear without bias", {4, 5}, maker<Linear>(5, 3, false)));
  const Conv2dOptions strided{.stride = 2, .padding = 1}, depthwise{.padding = 1, .groups = 4};
  cases.push_back(
      layer_case("conv2d stride 2", {2, 6, 5, 3}, maker<Conv2d>(3, 4, 3, strided, /*bias=*/true)));
  cases.push_back(layer_case("conv2d depthwise", {2, 5, 5, 4}, maker<Conv2d>(4, 4, 3, depthwise)));
  cases.push_back(layer_case("batch_norm training", {3, 2, 2, 4}, maker<BatchNorm>(4)));
  cases.push_back(layer_case("batch_norm evaluation", {3, 2, 2, 4}, maker<BatchNorm>(4), false));
  cases.push_back(layer_case("layer_norm", {2, 3, 6}, maker<LayerNorm>(6)));
  cases.push_back(layer_case("prelu", {5, 4}, maker<PReLU>(4)));
  cases.push_back(layer_case("dropout", {6, 5}, maker<Dropout>(0.4)));
  cases.push_back(layer_case("max_pool2d", {2, 4, 4, 3}, maker<MaxPool2d>(2, 2)));
  cases.push_back(layer_case("ir_unit stride 2", {2, 6, 6, 3}, maker<IRUnit>(3, 4, 2)));
  cases.push_back(layer_case("ir_unit equal widths", {2, 5, 5, 3}, maker<IRUnit>(3, 3, 1)));
  cases.push_back(layer_case("depth_wise residual", {2, 5, 5, 3}, maker<DepthWise>(3, 3, 6, 1, true)));
  cases.push_back(layer_case("depth_wise stride 2", {2, 5, 5, 3}, maker<DepthWise>(3, 4, 6, 2, false)));
  cases.push_back(layer_case("landmark_head", {3, 7, 7, 4}, maker<LandmarkHead>(4, 6)));
}

/// Classes 0, 1, 2; class 2 is neutral, class 0 has a single sample.
constexpr std::int64_t neutral = 2, batch = 5;
Tensor loss_labels(Device device) {
  return Tensor::from<std::int64_t>({batch}, {2, 1, 2, 0, 1}, device);
}

template <typename F>
ModuleGradcheckCase loss_case(const std::string& kind, F loss) {
  const std::string name = "loss/" + kind;
  return {name, [=](Device device, const GradcheckOptions& options) {
            const Tensor labels = loss_labels(device);
            return gradcheck(
                name, [&](const std::vector<Variable>& in) { return loss(in[0], in[1], labels); },
                {random_leaf("scores", {batch, 3}, device), random_leaf("features", {batch, 4}, device)},
                options);
          }};
}

void add_losses(std::vector<ModuleGradcheckCase>& cases) {
  // Adding a multiple of both inputs keeps both in the graph of a loss that reads only one.
  const auto both = [](const Variable& loss, const Variable& a, const Variable& b) {
    return add(loss, scale(add(sum(a), sum(b)), 0.01));
  };
  cases.push_back(loss_case("cross_entropy smoothed", [both](const auto& s, const auto& f, const Tensor& l) {
    return both(CrossEntropyLoss(0.2)(s, l), s, f);
  }));
  cases.push_back(loss_case("cross_entropy soft", [both](const auto& s, const auto& f, const Tensor&) {
    const Tensor target = softmax(random_leaf("target", s.shape(), s.device(), false)).value();
    return both(CrossEntropyLoss(0.1).soft(s, target), s, f);
  }));
  cases.push_back(loss_case("anchor", [both](const auto& s, const auto& f, const Tensor& l) {
    return both(AnchorLoss()(f, s, l), s, f);
  }));
  cases.push_back(loss_case("neutral", [both](const auto& s, const auto& f, const Tensor& l) {
    return both(NeutralLoss(neutral)(f, l), s, f);
  }));
  cases.push_back(loss_case("neaa", [both](const auto& s, const auto& f, const Tensor& l) {
    return both(NeAALoss(neutral)(f, s, l), s, f);
  }));
  cases.push_back(loss_case("total", [](const auto& s, const auto& f, const Tensor& l) {
    return FERLoss({.weight = 0.3, .neutral = neutral})(s, f, l).total;
  }));
  for (const LandmarkLossKind kind : {LandmarkLossKind::mse, LandmarkLossKind::smooth_l1}) {
    cases.push_back(loss_case(
        concat("landmarks ", name_of(kind)), [both, kind](const auto& s, const auto& f, const Tensor&) {
          const Tensor target = random_leaf("target", f.shape(), f.device(), false).value();
          return both(LandmarkLoss(kind, 0.4)(f, target), s, f);
        }));
  }
}

/// A deep net has thousands of rectifiers and maxima; a small step crosses hardly any of their kinks.
/// Rounding allows a small step because the function's values are of order 1.
GradcheckOptions for_deep(GradcheckOptions options) {
  options.step = 1e-7;
  if (options.max_elements <= 0 || options.max_elements > 2) options.max_elements = 2;
  return options;
}

/// The whole model, landmark backbone included, from 24 x 24 images to the loss of Eq. 11.
ModuleGradcheckCase model_case(const std::string& preset_name, bool checkpointing = false) {
  const std::string name = "model/" + preset_name + (checkpointing ? " checkpointed" : "");
  return {
      name, [=](Device device, const GradcheckOptions& options) {
        FERNetConfig config = preset(preset_name, 3);
        config.image_size = 24;
        config.attention.drop_attention = config.attention.drop_hidden = config.attention.drop_mlp = 0.2;
        FERNet model(config);
        prepare(model, device);
        model.train();
        model.set_checkpointing(checkpointing);
        const FERLoss loss({.weight = 0.1, .neutral = neutral});
        const Tensor labels = loss_labels(device);
        const auto forward = [&](const std::vector<Variable>& in) {
          const NetworkOutput out = model(in[0]);
          return loss(out.scores, out.token, labels).total;
        };
        const Variable image = random_leaf("image", {batch, config.image_size, config.image_size, 3}, device);
        const double size = std::max(1.0, forward({image}).item());  // large where heat maps are sums
        return check(
            name, model, {image},
            [&](const std::vector<Variable>& in) { return scale(forward(in), 1.0 / size); },
            for_deep(options));
      }};
}

ModuleGradcheckCase resnet_case() {
  const std::string name = "model/resnet";
  return {
      name, [=](Device device, const GradcheckOptions& options) {
        ResNetConfig config;
        config.classes = 3;
        config.widths = {4, 6};
        config.units = {1, 2};
        ResNet net(config);
        prepare(net, device);
        net.train();
        const Tensor labels = loss_labels(device);
        return check(
            name, net, {random_leaf("image", {batch, 20, 20, 3}, device)},
            [&](const std::vector<Variable>& in) { return CrossEntropyLoss()(net(in[0]).scores, labels); },
            for_deep(options));
      }};
}

ModuleGradcheckCase landmark_case() {
  const std::string name = "model/landmark net with head";
  return {name, [=](Device device, const GradcheckOptions& options) {
            MobileFaceNet net({.width = 4, .units = {1, 1, 1}, .head = true, .outputs = 6});
            prepare(net, device);
            net.train();
            const Tensor target = random_leaf("target", {3, 6}, device, false).value();
            return check(
                name, net, {random_leaf("image", {3, 112, 112, 3}, device)},
                [&](const std::vector<Variable>& in) { return LandmarkLoss()(net(in[0]), target); },
                for_deep(options));
          }};
}

/// POSTER, landmark backbone included, with branches dropped.
ModuleGradcheckCase poster_case(bool checkpointing) {
  const std::string name = concat("model/poster", checkpointing ? " checkpointed" : "");
  return {name, [=](Device device, const GradcheckOptions& options) {
            PosterConfig config = tiny_poster(3);
            config.drop_path = 0.3;
            Poster model(config);
            prepare(model, device);
            for (NamedVariable& parameter : model.named_parameters()) {
              // What reads the points from the landmark head is no part of the scores.
              if (parameter.name.starts_with("face_landback.output_layer."))
                parameter.variable.set_requires_grad(false);
            }
            model.train();
            model.set_checkpointing(checkpointing);
            const FERLoss loss({.weight = 0.1, .neutral = neutral});
            const Tensor labels = loss_labels(device);
            const std::int64_t side = config.image_size;
            return check(
                name, model, {random_leaf("image", {batch, side, side, 3}, device)},
                [&](const std::vector<Variable>& in) {
                  const NetworkOutput out = model(in[0]);
                  return loss(out.scores, out.token, labels).total;
                },
                for_deep(options));
          }};
}

ModuleGradcheckCase points_case() {
  const std::string name = "model/points net";
  return {name, [=](Device device, const GradcheckOptions& options) {
            PointsNet net(preset("tiny", 3).image, 24);
            prepare(net, device);
            net.train();
            const Tensor target = random_leaf("target", {3, 2 * PointsNet::points}, device, false).value();
            return check(
                name, net, {random_leaf("image", {3, 24, 24, 3}, device)},
                [&](const std::vector<Variable>& in) { return LandmarkLoss()(net(in[0]), target); },
                for_deep(options));
          }};
}

}  // namespace

std::vector<ModuleGradcheckCase> module_gradcheck_cases() {
  std::vector<ModuleGradcheckCase> cases;
  add_layers(cases);
  add_losses(cases);
  for (const char* name :
       {"tiny", "tiny_sum", "tiny_abs_sum", "tiny_no_product", "tiny_no_cross", "tiny_extras"}) {
    cases.push_back(model_case(name));
  }
  cases.push_back(model_case("tiny", /*checkpointing=*/true));
  cases.push_back(resnet_case());
  cases.push_back(landmark_case());
  cases.push_back(points_case());
  cases.push_back(poster_case(false));
  cases.push_back(poster_case(true));
  return cases;
}

}  // namespace fer
