#include "fer/models/gradcheck_cases.h"

#include <memory>

#include "fer/autograd/ops.h"
#include "fer/losses/losses.h"
#include "fer/models/fernet.h"

namespace fer {
namespace {

/// A float64 leaf whose values depend on its name alone.
Variable input(const std::string& name, const Shape& shape, Device device, bool requires_grad = true) {
  Random random({1, fnv1a64(name), 0});
  std::vector<double> values(static_cast<std::size_t>(shape.numel()));
  for (double& value : values) value = random.uniform(-1, 1);
  return Variable(Tensor::from<double>(shape, values, device), requires_grad, name);
}

/// `inputs` and all parameters of `module` that require gradients.
std::vector<Variable> with_parameters(std::vector<Variable> inputs, const Module& module) {
  for (const NamedVariable& p : module.named_parameters()) {
    if (p.variable.requires_grad()) inputs.push_back(p.variable);
  }
  return inputs;
}

/// Check of a layer in training mode. Batch norms update their running statistics at each call, which their
/// output in training does not depend on.
template <typename Make>
ModelGradcheck layer_check(const std::string& name, const Shape& shape, Make make) {
  return {"layer/" + name, [=](Device device, const GradcheckOptions& options) {
            std::unique_ptr<Layer> layer = make();
            layer->initialise(1);
            layer->to(DType::float64);
            layer->to(device);
            const auto inputs = with_parameters({input("x", shape, device)}, *layer);
            return gradcheck(
                name, [&](const std::vector<Variable>& x) { return (*layer)(x[0]); }, inputs, options);
          }};
}

ModelGradcheck model_check(const std::string& preset_name) {
  return {"model/" + preset_name, [=](Device device, const GradcheckOptions& options) {
            FERNet model(preset(preset_name));
            model.initialise(1);
            model.freeze_landmarks();
            model.to(DType::float64);
            model.to(device);
            model.train();
            const Variable x = input("image", {3, 112, 112, 3}, device, false);
            const Tensor labels = Tensor::from<std::int64_t>({3}, {6, 6, 2}, device);
            FERLossConfig config;
            config.neutral = 6;
            const FERLoss loss(config);
            GradcheckOptions few = options;
            // A forward pass of the whole model an element: a few of each parameter must do. A smaller step
            // keeps rectifiers and maxima from changing sides.
            few.max_elements = std::min<std::int64_t>(options.max_elements > 0 ? options.max_elements : 2, 2);
            few.step = 1e-6;
            few.tolerance = 1e-5;
            return gradcheck(
                preset_name,
                [&](const std::vector<Variable>&) {
                  const FERNetOutput out = model(x);
                  return loss(out.scores, out.token, labels).total;
                },
                with_parameters({}, model), few);
          }};
}

}  // namespace

std::vector<ModelGradcheck> model_gradchecks() {
  std::vector<ModelGradcheck> checks{
      layer_check("Linear", {3, 5}, [] { return std::make_unique<Linear>(5, 4); }),
      layer_check("Conv2d stride 2", {2, 5, 7, 3}, [] { return std::make_unique<Conv2d>(3, 4, Conv2dConfig{3, 2, 1, 1, true}); }),
      layer_check("BatchNorm", {3, 4, 5}, [] { return std::make_unique<BatchNorm>(5); }),
      layer_check("PReLU", {3, 5}, [] { return std::make_unique<PReLU>(5); }),
      layer_check("LayerNorm", {4, 7}, [] { return std::make_unique<LayerNorm>(7); }),
      layer_check("IRUnit", {2, 6, 6, 4}, [] { return std::make_unique<IRUnit>(4, 4, 1); }),
      layer_check("IRUnit with shortcut", {2, 6, 6, 4}, [] { return std::make_unique<IRUnit>(4, 6, 2); }),
      layer_check("DepthWise residual", {2, 5, 5, 4},
                  [] { return std::make_unique<DepthWise>(4, 4, 8, 1, true); }),
  };
  for (const char* name :
       {"tiny", "tiny_sum", "tiny_abs_sum", "tiny_no_product", "tiny_no_cross", "tiny_extras"}) {
    checks.push_back(model_check(name));
  }
  return checks;
}

}  // namespace fer
