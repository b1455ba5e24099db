// The gradient checks that fer ships: every operation on awkward shapes. `fer gradcheck` lists and runs them;
// the tests run them on every device.
//
//   for (const fer::GradcheckCase& c : fer::op_gradcheck_cases()) {
//     if (!fer::gradcheck(c, fer::Device::cpu).ok) ...
//   }
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "fer/autograd/gradcheck.h"

namespace fer {

/// Makes the inputs of a case: float64 leaves whose values depend only on the names of case and input.
class CaseInputs {
 public:
  CaseInputs(std::string case_name, Device device);

  /// Uniform in [low, high); a constant unless it `requires_grad`.
  CaseInputs& uniform(const std::string& name, const Shape& shape, double low = -1.0, double high = 1.0,
                      bool requires_grad = true);
  /// Evenly spaced in (-1, 1) and shuffled. No two values are close and none is close to zero, so central
  /// differences do not cross the kinks of maxima, rectifiers and absolute values.
  CaseInputs& apart(const std::string& name, const Shape& shape);

  std::vector<Variable> take() { return std::move(inputs_); }

 private:
  void add(const std::string& name, const Shape& shape, const std::vector<double>& values,
           bool requires_grad);

  std::string case_name_;
  Device device_;
  std::vector<Variable> inputs_;
};

struct GradcheckCase {
  std::string name;  ///< "conv2d/3x3 stride 2": the subject and the case
  std::function<void(CaseInputs&)> describe_inputs;
  /// Takes float32 or float64 inputs, on any device.
  DifferentiableFunction function;

  /// The part of the name before the first slash.
  std::string_view subject() const { return std::string_view(name).substr(0, name.find('/')); }
  std::vector<Variable> inputs(Device device) const;
};

/// Every function of fer/autograd/ops.h, losses included.
std::vector<GradcheckCase> op_gradcheck_cases();

/// Checks one case on one device.
GradcheckResult gradcheck(const GradcheckCase& gradcheck_case, Device device,
                          const GradcheckOptions& options = {});

}  // namespace fer
