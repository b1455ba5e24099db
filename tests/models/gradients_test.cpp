// Gradients of every layer, loss and variant of the tiny model against central differences, on every device;
// and checks that a wrong one is caught.
#include "fer/autograd/function.h"
#include "fer/autograd/ops.h"
#include "fer/layers/layers.h"
#include "fer/models/gradcheck_cases.h"
#include "tests/ops/op_test.h"

namespace fer {
namespace {

/// The executor runs kernels thread by thread, so there are fewer elements there. For whole models it checks
/// directional derivatives over all parameters, with two forward passes each. (tests/golden compares single
/// gradients of whole models with PyTorch's.)
GradcheckOptions effort(Device device, const ModuleGradcheckCase& c) {
  if (device == Device::cpu) return {.max_elements = 40};
  if (device == Device::simt && c.subject() == "model") return {.directions = 3};
  return {.max_elements = 8};
}

// One subcase per device and case, so that CTest can distribute them: "simt model/tiny".
TEST_CASE("gradients: layers, losses and models") {
  for (const Device device : test::test_devices()) {
    for (const ModuleGradcheckCase& c : module_gradcheck_cases()) {
      SUBCASE(concat(name_of(device), " ", c.name).c_str()) {
        const GradcheckResult result = c.run(device, effort(device, c));
        CHECK_MESSAGE(result.ok, result.message);
        CHECK(result.checked > 0);
      }
    }
  }
}

TEST_CASE("gradients: on the CPU, models are right along directions, too") {
  for (const ModuleGradcheckCase& c : module_gradcheck_cases()) {
    if (c.subject() != "model") continue;
    const GradcheckResult result = c.run(Device::cpu, {.directions = 3});
    CHECK_MESSAGE(result.ok, result.message);
    CHECK(result.checked == 3);
  }
}

/// The identity, whose gradient is 1 % too large.
struct Planted : Function {
  std::string name() const override { return "planted"; }
  Tensor forward(FunctionContext&, const std::vector<Tensor>& x) override { return x[0].clone(); }
  std::vector<Tensor> backward(FunctionContext&, const Tensor& dy) override {
    Tensor dx = Tensor::empty_like(dy);
    backend_of(dy).scale(dy, 1.01, dx);
    return {dx};
  }
};

TEST_CASE("gradients: a planted error inside of a net is found, by the name of the parameter") {
  struct Net : Layer {
    Linear& first = register_module<Linear>("first", 3, 4);
    Linear& second = register_module<Linear>("second", 4, 2);
    Variable forward(const Variable& x) override {
      return second(apply(std::make_shared<Planted>(), {first(x)}));
    }
  } net;
  net.to(DType::float64);
  net.initialise(1);
  std::vector<Variable> inputs;
  for (const NamedVariable& p : net.named_parameters()) inputs.push_back(p.variable);
  const Variable x(Tensor::full({2, 3}, 0.7, DType::float64));
  const GradcheckResult result = gradcheck(
      "net", [&](const std::vector<Variable>&) { return net(x); }, inputs);
  REQUIRE_FALSE(result.ok);
  for (const GradcheckFailure& failure : result.failures) {
    CHECK(failure.input.rfind("first.", 0) == 0);
    CHECK(failure.got == doctest::Approx(1.01 * failure.expected));
  }
  const GradcheckResult along =
      gradcheck("net", [&](const std::vector<Variable>&) { return net(x); }, inputs, {.directions = 1});
  CHECK_FALSE(along.ok);
  CHECK(along.checked == 1);
  CHECK(along.message.find("along random direction 0 through all inputs: expected") != std::string::npos);
}

}  // namespace
}  // namespace fer
