#include "autograd/gradcheck_cases.h"

#include <utility>

#include "fer/tensor/random.h"

namespace fer {

CaseInputs::CaseInputs(std::string case_name, Device device)
    : case_name_(std::move(case_name)), device_(device) {}

CaseInputs& CaseInputs::uniform(const std::string& name, const Shape& shape, double low, double high,
                                bool requires_grad) {
  Random random({0, fnv1a64(case_name_ + "/" + name), 0});
  std::vector<double> values(static_cast<std::size_t>(shape.numel()));
  for (double& value : values) value = random.uniform(low, high);
  add(name, shape, values, requires_grad);
  return *this;
}

CaseInputs& CaseInputs::apart(const std::string& name, const Shape& shape) {
  Random random({0, fnv1a64(case_name_ + "/" + name), 0});
  const std::size_t n = static_cast<std::size_t>(shape.numel());
  // An even number of places around zero, so that zero lies between two of them.
  const std::size_t places = n + n % 2;
  std::vector<double> values(n);
  for (std::size_t i = 0; i < n; ++i) {
    values[i] = (2.0 * static_cast<double>(i) + 1.0) / static_cast<double>(places) - 1.0;
  }
  for (std::size_t i = n; i > 1; --i) std::swap(values[i - 1], values[random.below(i)]);
  add(name, shape, values, true);
  return *this;
}

void CaseInputs::add(const std::string& name, const Shape& shape, const std::vector<double>& values,
                     bool requires_grad) {
  inputs_.emplace_back(Tensor::from(shape, values, device_), requires_grad, name);
}

std::vector<Variable> GradcheckCase::inputs(Device device) const {
  CaseInputs inputs(name, device);
  describe_inputs(inputs);
  return inputs.take();
}

std::vector<GradcheckCase> op_gradcheck_cases() {
  std::vector<GradcheckCase> cases;
  detail::add_basic_cases(cases);
  detail::add_layer_cases(cases);
  detail::add_loss_cases(cases);
  return cases;
}

GradcheckResult gradcheck(const GradcheckCase& gradcheck_case, Device device,
                          const GradcheckOptions& options) {
  return gradcheck(gradcheck_case.name, gradcheck_case.function, gradcheck_case.inputs(device), options);
}

}  // namespace fer
