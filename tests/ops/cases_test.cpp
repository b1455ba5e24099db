// Properties of every operation on every device, checked on the cases that fer ships (gradcheck_cases.h).
#include <omp.h>

#include <fstream>
#include <regex>
#include <set>

#include "fer/autograd/gradcheck_cases.h"
#include "tests/ops/op_test.h"
#include "tests/paths.h"

namespace fer {
namespace {

using test::difference;

const std::vector<GradcheckCase>& cases() {
  static const std::vector<GradcheckCase> all = op_gradcheck_cases();
  return all;
}

/// The executor is slow, so cases have fewer elements there; they cover the same code.
GradcheckOptions effort(Device device) {
  GradcheckOptions options;
  if (device == Device::simt) options.max_elements = 8;
  return options;
}

struct Outcome {
  Tensor y;
  std::vector<Tensor> gradients;  // undefined where none is required
};

Outcome differentiate(const GradcheckCase& c, const std::vector<Variable>& inputs) {
  const Variable y = c.function(inputs);
  y.backward(test::random_cotangent(y.value()));
  Outcome outcome{y.value(), {}};
  for (const Variable& input : inputs) outcome.gradients.push_back(input.grad());
  return outcome;
}

Outcome differentiate(const GradcheckCase& c, Device device) {
  return differentiate(c, c.inputs(device));
}

/// Largest difference of two outcomes; infinite if one has a gradient that the other lacks.
double difference(const Outcome& a, const Outcome& b) {
  double worst = difference(a.y, b.y);
  for (std::size_t i = 0; i < a.gradients.size(); ++i) {
    if (a.gradients[i].defined() != b.gradients[i].defined()) return INFINITY;
    if (a.gradients[i].defined()) worst = std::max(worst, difference(a.gradients[i], b.gradients[i]));
  }
  return worst;
}

/// Fills the blocks that the allocator will return next with NaN, so that unwritten elements show.
void poison_free_memory(Device device) {
  std::vector<Tensor> blocks;
  for (std::int64_t bytes = 256; bytes <= 64 << 10; bytes += std::max<std::int64_t>(256, bytes / 8)) {
    for (int copy = 0; copy < 6; ++copy) {
      blocks.push_back(Tensor::full({bytes / 8}, NAN, DType::float64, device));
    }
  }
}

OP_TEST("every op: gradients agree with central differences") {
  for (const GradcheckCase& c : cases()) {
    const GradcheckResult result = gradcheck(c, device, effort(device));
    CHECK_MESSAGE(result.ok, result.message);
    CHECK(result.checked > 0);
  }
}

OP_TEST("every op: float32 agrees with float64") {
  for (const GradcheckCase& c : cases()) {
    CAPTURE(c.name);
    std::vector<Variable> doubles, floats;
    for (const Variable& input : c.inputs(device)) {
      // Both start from values that are exact in float32.
      const Tensor rounded = input.value().to(DType::float32);
      floats.emplace_back(rounded, input.requires_grad());
      doubles.emplace_back(rounded.to(DType::float64), input.requires_grad());
    }
    const Outcome single = differentiate(c, floats), exact = differentiate(c, doubles);
    CHECK(single.y.dtype() == DType::float32);
    CHECK(difference(single, exact) < 5e-5);
  }
}

OP_TEST("every op: the devices agree") {
  if (device == Device::cpu) return;
  for (const GradcheckCase& c : cases()) {
    CAPTURE(c.name);
    CHECK(difference(differentiate(c, device), differentiate(c, Device::cpu)) < 1e-11);
  }
}

OP_TEST("every op: a gradient is the same whether it is requested alone or with the others") {
  for (const GradcheckCase& c : cases()) {
    const Outcome together = differentiate(c, device);
    for (std::size_t i = 0; i < together.gradients.size(); ++i) {
      if (!together.gradients[i].defined()) continue;
      CAPTURE(c.name);
      CAPTURE(i);
      std::vector<Variable> inputs = c.inputs(device);
      for (std::size_t j = 0; j < inputs.size(); ++j) inputs[j].set_requires_grad(i == j);
      const Outcome alone = differentiate(c, inputs);
      REQUIRE(alone.gradients[i].defined());
      CHECK(difference(alone.gradients[i], together.gradients[i]) < 1e-12);
      for (std::size_t j = 0; j < inputs.size(); ++j) CHECK((i == j || !alone.gradients[j].defined()));
    }
  }
}

OP_TEST("every op: backward notices a changed input, or does not need it") {
  for (const GradcheckCase& c : cases()) {
    const Outcome undisturbed = differentiate(c, device);
    for (std::size_t i = 0; i < undisturbed.gradients.size(); ++i) {
      CAPTURE(c.name);
      CAPTURE(i);
      const std::vector<Variable> inputs = c.inputs(device);
      const Variable y = c.function(inputs);
      Variable input = inputs[i];
      input.mutable_value().fill(0.5);
      try {
        y.backward(test::random_cotangent(undisturbed.y));
      } catch (const AutogradError& error) {
        CHECK(std::string(error.what()).find("saved for backward, was changed in place") !=
              std::string::npos);
        continue;
      }
      for (std::size_t j = 0; j < inputs.size(); ++j) {
        if (!undisturbed.gradients[j].defined()) continue;
        CHECK(difference(inputs[j].grad(), undisturbed.gradients[j]) == 0.0);
      }
    }
  }
}

OP_TEST("every op: a constant that backward does not read is not kept") {
  for (const GradcheckCase& c : cases()) {
    const std::size_t count = c.inputs(device).size();
    for (std::size_t i = 0; i < count; ++i) {
      for (std::size_t j = 0; j < count; ++j) {
        CAPTURE(c.name);
        CAPTURE(i);
        CAPTURE(j);
        std::vector<Variable> inputs = c.inputs(device);
        if (i == j || !inputs[i].requires_grad()) continue;
        for (std::size_t k = 0; k < count; ++k) inputs[k].set_requires_grad(k == i);
        Tensor constant = inputs[j].value();
        const Variable y = c.function(inputs);
        inputs.clear();
        if (constant.sole_owner()) continue;
        constant.fill(0.5);
        CHECK_THROWS_AS(y.backward(test::random_cotangent(y.value())), AutogradError);
      }
    }
  }
}

OP_TEST("every op: outputs are written in full") {
  for (const GradcheckCase& c : cases()) {
    CAPTURE(c.name);
    const Outcome first = differentiate(c, device);
    poison_free_memory(device);
    CHECK(difference(differentiate(c, device), first) == 0.0);
  }
}

OP_TEST("every op: nothing is recorded under NoGrad or for constants") {
  for (const GradcheckCase& c : cases()) {
    CAPTURE(c.name);
    std::vector<Variable> inputs = c.inputs(device);
    {
      NoGrad no_grad;
      CHECK_FALSE(c.function(inputs).requires_grad());
    }
    for (Variable& input : inputs) input.set_requires_grad(false);
    const Variable y = c.function(inputs);
    CHECK_FALSE(y.requires_grad());
    CHECK(y.node() == nullptr);
  }
}

TEST_CASE("every op: the number of threads changes no bit") {
  const int before = omp_get_max_threads();
  for (const GradcheckCase& c : cases()) {
    CAPTURE(c.name);
    omp_set_num_threads(1);
    const Outcome one = differentiate(c, Device::cpu);
    for (int threads : {2, 3}) {
      omp_set_num_threads(threads);
      CHECK(difference(differentiate(c, Device::cpu), one) == 0.0);
    }
  }
  omp_set_num_threads(before);
}

TEST_CASE("every op of ops.h has a case, and every case an op") {
  std::ifstream header(test::source_folder() / "include/fer/autograd/ops.h");
  REQUIRE(header.is_open());
  std::set<std::string> declared;
  const std::regex declaration(R"(^Variable (\w+)\()");
  for (std::string line; std::getline(header, line);) {
    std::smatch match;
    if (std::regex_search(line, match, declaration)) declared.insert(match[1]);
  }
  CHECK(declared.size() > 30);
  std::set<std::string> covered, names;
  for (const GradcheckCase& c : cases()) {
    covered.insert(std::string(c.subject()));
    CHECK_MESSAGE(names.insert(c.name).second, c.name, " is the name of two cases");
  }
  for (const std::string& op : declared) {
    CHECK_MESSAGE(covered.contains(op), op, " has no case in src/autograd/gradcheck_cases_*.cpp");
  }
  for (const std::string& op : covered) CHECK_MESSAGE(declared.contains(op), op, " is not in ops.h");
}

}  // namespace
}  // namespace fer
