// Gradient checks of layers, losses and the whole tiny model, with all their parameters as inputs.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "fer/autograd/gradcheck.h"

namespace fer {

struct ModelGradcheck {
  std::string name;  ///< "layer/IRUnit stride 2", "model/tiny"
  std::function<GradcheckResult(Device, const GradcheckOptions&)> run;
};

/// Every layer, the losses as FERNet uses them, and the tiny model with each of its switches.
std::vector<ModelGradcheck> model_gradchecks();

}  // namespace fer
