#include "tests/golden/op_case.h"

#include <algorithm>

#include "tests/ops/op_test.h"

namespace fer::test {
namespace {

/// max |a - b| / max(1, max |b|): the tolerances of the golden files' README.
double tolerance(DType dtype) {
  return dtype == DType::float64 ? 1e-9 : 1e-4;
}

Tensor permuted(const Tensor& x, const std::vector<int>& order) {
  NoGrad no_grad;
  return permute(Variable(x), order).value();
}

}  // namespace

Tensor channels_last(const Tensor& x) {
  if (x.rank() < 3) return x;
  std::vector<int> order = {0};
  for (int i = 2; i < x.rank(); ++i) order.push_back(i);
  order.push_back(1);
  return permuted(x, order);
}

Tensor channels_first(const Tensor& x) {
  if (x.rank() < 3) return x;
  std::vector<int> order = {0, x.rank() - 1};
  for (int i = 1; i < x.rank() - 1; ++i) order.push_back(i);
  return permuted(x, order);
}

OpCase::OpCase(const SafetensorsFile& file, const nlohmann::json& description, Device device, DType dtype)
    : file_(file),
      id_(description.at("id").get<std::string>()),
      attributes_(description.at("attrs")),
      description_(description),
      device_(device),
      dtype_(dtype) {}

Tensor OpCase::read(const std::string& kind, const std::string& name) const {
  return file_.read(id_ + "/" + kind + "/" + name);
}

bool OpCase::lists(const char* list, const std::string& name) const {
  const auto names = description_.at(list).get<std::vector<std::string>>();
  return std::find(names.begin(), names.end(), name) != names.end();
}

Variable OpCase::input(const std::string& name, Layout layout) {
  used_.insert("input " + name);
  if (!lists("inputs", name)) throw DataError("there is no input " + name);
  Tensor value = read("in", name);
  if (layout == Layout::channels_moved) value = channels_last(value);
  Variable x(value.to(dtype_).to(device_), lists("grads", name), name);
  inputs_.push_back({name, x, layout});
  return x;
}

Variable OpCase::optional_input(const std::string& name, Layout layout) {
  return lists("inputs", name) ? input(name, layout) : Variable();
}

Tensor OpCase::integers(const std::string& name) {
  used_.insert("input " + name);
  if (!lists("inputs", name)) throw DataError("there is no input " + name);
  return read("in", name).to(device_);
}

void OpCase::output(const std::string& name, const Variable& y, Layout layout) {
  used_.insert("output " + name);
  if (!lists("outputs", name)) throw DataError("there is no output " + name);
  outputs_.push_back({name, y, layout});
}

void OpCase::compare(const std::string& what, const Tensor& got, Layout layout, const Tensor& expected) {
  const Tensor host = got.to(Device::cpu);
  const Tensor ours = layout == Layout::channels_moved ? channels_first(host) : host;
  const double error = difference(ours, expected);
  worst_ = std::max(worst_, error);
  if (error <= tolerance(dtype_)) return;
  problems_.push_back(concat(what, " of shape ", ours.shape(), " differs by ", error, " from that of shape ",
                             expected.shape()));
}

void OpCase::check_all_used() {
  const auto check = [&](const std::string& what) {
    if (!used_.contains(what)) problems_.push_back(what + " is not known to the runner");
  };
  for (const auto& [name, value] : attributes_.items()) check("attribute " + name);
  for (const auto& name : description_.at("inputs")) check("input " + name.get<std::string>());
  for (const auto& name : description_.at("outputs")) check("output " + name.get<std::string>());
}

std::vector<std::string> OpCase::problems() {
  check_all_used();
  for (const Named& y : outputs_) {
    compare("output " + y.name, y.variable.value(), y.layout, read("out", y.name));
    if (!file_.contains(id_ + "/upstream/" + y.name)) continue;
    Tensor upstream = read("upstream", y.name);
    if (y.layout == Layout::channels_moved) upstream = channels_last(upstream);
    y.variable.backward(upstream.to(dtype_).to(device_), /*retain_graph=*/true);
  }
  for (const auto& grad : description_.at("grads")) {
    const auto name = grad.get<std::string>();
    const auto x =
        std::find_if(inputs_.begin(), inputs_.end(), [&](const Named& i) { return i.name == name; });
    if (x == inputs_.end() || !x->variable.grad().defined()) {
      problems_.push_back("there is no gradient of " + name);
    } else {
      compare("the gradient of " + x->name, x->variable.grad(), x->layout, read("grad", x->name));
    }
  }
  return problems_;
}

OpsReport run_ops_file(const std::filesystem::path& path, Device device, DType dtype) {
  const SafetensorsFile file(path);
  OpsReport report;
  for (const nlohmann::json& description : nlohmann::json::parse(file.metadata().at("cases"))) {
    ++report.cases;
    const std::string id = description.at("id").get<std::string>(),
                      op = description.at("op").get<std::string>();
    const std::string where = concat(id, " on ", device, " in ", dtype, ": ");
    const auto runner = op_runners().find(op);
    if (runner == op_runners().end()) {
      report.problems.push_back(where + "the op " + op + " is not known to the runner");
      continue;
    }
    try {
      OpCase op_case(file, description, device, dtype);
      runner->second(op_case);
      for (const std::string& problem : op_case.problems()) report.problems.push_back(where + problem);
      if (op_case.worst() >= report.worst) {
        report.worst = op_case.worst();
        report.worst_case = id;
      }
    } catch (const std::exception& error) {
      report.problems.push_back(where + error.what());
    }
  }
  return report;
}

}  // namespace fer::test
