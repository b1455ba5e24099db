// The gradient checks of layers, losses and whole models that fer ships; those of single operations are in
// fer/autograd/gradcheck_cases.h. `fer gradcheck` lists and runs them, and so do the tests.
//
//   for (const fer::ModuleGradcheckCase& c : fer::module_gradcheck_cases()) {
//     fer::GradcheckResult result = c.run(fer::Device::cpu, {.max_elements = 20});
//   }
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "fer/autograd/gradcheck.h"
#include "fer/tensor/device.h"

namespace fer {

struct ModuleGradcheckCase {
  std::string name;  ///< "layer/conv2d", "loss/neaa", "model/tiny"
  /// Creates the module in float64 with random values and checks the gradients of all its parameters and
  /// inputs, at most `options.max_elements` elements of each.
  std::function<GradcheckResult(Device device, const GradcheckOptions& options)> run;

  /// "layer", "loss" or "model".
  std::string_view subject() const { return std::string_view(name).substr(0, name.find('/')); }
};

std::vector<ModuleGradcheckCase> module_gradcheck_cases();

}  // namespace fer
