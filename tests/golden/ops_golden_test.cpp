// Every case of ops.safetensors, outputs and gradients, in float64 and float32, on every device; and checks
// that the runner detects errors in cases.
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "tests/golden/golden.h"
#include "tests/golden/op_case.h"
#include "tests/ops/op_test.h"

namespace fer::test {
namespace {

using nlohmann::json;

OP_TEST("golden: ops") {
  for (DType dtype : {DType::float64, DType::float32}) {
    for (const std::filesystem::path& file : files_of(GoldenFile::ops)) {
      const OpsReport report = run_ops_file(file, device, dtype);
      for (const std::string& problem : report.problems) FAIL_CHECK(title_of(file), ": ", problem);
      CHECK(report.cases > 0);
      MESSAGE(title_of(file), ": ", report.cases, " cases on ", name_of(device), " in ", name_of(dtype),
              ": differ by at most ", report.worst, " (", report.worst_case, ")");
    }
  }
}

TEST_CASE("golden: the repository's own file has every operation that the runner knows") {
  const SafetensorsFile file(own_golden_folder() / "ops.safetensors");
  std::set<std::string> with_case;
  for (const json& description : json::parse(file.metadata().at("cases"))) {
    with_case.insert(description.at("op").get<std::string>());
  }
  for (const auto& [op, runner] : op_runners()) CHECK_MESSAGE(with_case.contains(op), op, " has no case");
}

/// A file of one case, removed at the end.
class OneCase {
 public:
  OneCase(const json& description, const StateDict& tensors)
      : path_(std::filesystem::temp_directory_path() / concat("fer_golden_", ::getpid(), ".safetensors")) {
    write_safetensors(path_, tensors, {{"cases", json::array({description}).dump()}});
  }
  ~OneCase() { std::filesystem::remove(path_); }

  /// One line each.
  std::string problems(DType dtype = DType::float64) const {
    std::string lines;
    for (const std::string& line : run_ops_file(path_, Device::cpu, dtype).problems) {
      lines += (lines.empty() ? "" : "\n") + line;
    }
    return lines;
  }

 private:
  std::filesystem::path path_;
};

json relu_case() {
  return {{"id", "relu_0"},  {"op", "relu"},     {"attrs", json::object()},
          {"inputs", {"x"}}, {"outputs", {"y"}}, {"grads", {"x"}}};
}

StateDict relu_tensors(double y1 = 2.0, double dx1 = 5.0) {
  StateDict tensors;
  tensors.insert("relu_0/in/x", Tensor::from<double>({2}, {-1.0, 2.0}));
  tensors.insert("relu_0/out/y", Tensor::from<double>({2}, {0.0, y1}));
  tensors.insert("relu_0/upstream/y", Tensor::from<double>({2}, {3.0, 5.0}));
  tensors.insert("relu_0/grad/x", Tensor::from<double>({2}, {0.0, dx1}));
  return tensors;
}

TEST_CASE("golden runner: a right case has no problems") {
  CHECK(OneCase(relu_case(), relu_tensors()).problems() == "");
  CHECK(OneCase(relu_case(), relu_tensors()).problems(DType::float32) == "");
}

TEST_CASE("golden runner: wrong outputs and gradients are found, by the tolerance of the type") {
  CHECK(OneCase(relu_case(), relu_tensors(4.0)).problems() ==
        "relu_0 on cpu in float64: output y of shape (2) differs by 0.5 from that of shape (2)");
  CHECK(OneCase(relu_case(), relu_tensors(2.0, 10.0)).problems() ==
        "relu_0 on cpu in float64: the gradient of x of shape (2) differs by 0.5 from that of shape (2)");
  CHECK(OneCase(relu_case(), relu_tensors(2.0 + 1e-8)).problems() != "");
  CHECK(OneCase(relu_case(), relu_tensors(2.0 + 1e-8)).problems(DType::float32) == "");
  CHECK(OneCase(relu_case(), relu_tensors(2.0 + 1e-3)).problems(DType::float32) != "");
}

TEST_CASE("golden runner: unknown operations, attributes, inputs and outputs are errors") {
  json unknown = relu_case();
  unknown["op"] = "swish";
  CHECK(OneCase(unknown, relu_tensors()).problems() ==
        "relu_0 on cpu in float64: the op swish is not known to the runner");
  json attribute = relu_case();
  attribute["attrs"]["slope"] = 0.1;
  CHECK(OneCase(attribute, relu_tensors()).problems() ==
        "relu_0 on cpu in float64: attribute slope is not known to the runner");
  json input = relu_case();
  input["inputs"].push_back("mask");
  CHECK(OneCase(input, relu_tensors()).problems() ==
        "relu_0 on cpu in float64: input mask is not known to the runner");
  json output = relu_case();
  output["outputs"].push_back("z");
  CHECK(OneCase(output, relu_tensors()).problems() ==
        "relu_0 on cpu in float64: output z is not known to the runner");
  json gradient = relu_case();
  gradient["grads"].push_back("z");
  CHECK(OneCase(gradient, relu_tensors()).problems() ==
        "relu_0 on cpu in float64: there is no gradient of z");
}

TEST_CASE("golden runner: a missing attribute or input is an error") {
  json softmax = relu_case();
  softmax["op"] = "softmax";
  CHECK(OneCase(softmax, relu_tensors()).problems() == "relu_0 on cpu in float64: there is no attribute dim");
  json linear = relu_case();
  linear["op"] = "linear";
  CHECK(OneCase(linear, relu_tensors()).problems() == "relu_0 on cpu in float64: there is no input weight");
}

TEST_CASE("golden runner: channels move to the end and back") {
  const Tensor x = Tensor::from<double>({1, 2, 1, 3}, {1, 2, 3, 4, 5, 6});
  check_values(channels_last(x), {1, 1, 3, 2}, {1, 4, 2, 5, 3, 6});
  CHECK(difference(channels_first(channels_last(x)), x) == 0.0);
  const Tensor rows = Tensor::zeros({2, 3});
  CHECK(channels_last(rows).shape() == rows.shape());
}

}  // namespace
}  // namespace fer::test
