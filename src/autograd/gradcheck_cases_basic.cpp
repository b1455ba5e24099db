// Cases of the elementwise operations, reductions, activations and layout operations.
#include "autograd/gradcheck_cases.h"
#include "fer/autograd/ops.h"

namespace fer::detail {
namespace {

using Binary = Variable (*)(const Variable&, const Variable&);
using Unary = Variable (*)(const Variable&);

void add_elementwise(Cases& cases) {
  const auto binary = [&](const std::string& name, const Shape& a, const Shape& b, Binary op) {
    cases.push_back({name, [=](CaseInputs& in) { in.uniform("a", a).uniform("b", b); },
                     [op](Inputs x) { return op(x[0], x[1]); }});
  };
  for (const auto& [name, op] :
       {std::pair<std::string, Binary>{"add", &fer::add}, {"sub", &fer::sub}, {"mul", &fer::mul}}) {
    binary(name + "/same shape", {3, 5}, {3, 5}, op);
    binary(name + "/one element", {1}, {1}, op);
    binary(name + "/bias over rows", {2, 7, 5}, {5}, op);
    binary(name + "/column over rows", {2, 3, 4}, {3, 1}, op);
    binary(name + "/heat map over channels", {2, 3, 3, 1}, {2, 3, 3, 7}, op);
    binary(name + "/both repeated", {4, 1, 3}, {1, 5, 1}, op);
    binary(name + "/a scalar", {}, {3, 2}, op);
  }
  // Divisors stay away from 0, where central differences are wrong.
  for (const auto& [label, a, b] : {std::tuple<std::string, Shape, Shape>{"same shape", {3, 5}, {3, 5}},
                                    {"bias over rows", {2, 7, 5}, {5}},
                                    {"column over rows", {2, 3, 4}, {3, 1}},
                                    {"both repeated", {4, 1, 3}, {1, 5, 1}},
                                    {"a scalar", {}, {3, 2}}}) {
    cases.push_back({"div/" + label,
                     [a = a, b = b](CaseInputs& in) { in.uniform("a", a).uniform("b", b, 0.5, 2.0); },
                     [](Inputs x) { return div(x[0], x[1]); }});
  }
  cases.push_back({"div/by itself", [](CaseInputs& in) { in.uniform("x", {13}, -2.0, -0.5); },
                   [](Inputs x) { return div(mul(x[0], x[0]), x[0]); }});
  cases.push_back({"mul/by itself", [](CaseInputs& in) { in.uniform("x", {13}); },
                   [](Inputs x) { return mul(x[0], x[0]); }});
  cases.push_back({"scale/by -2.5",
                   [](CaseInputs& in) {
                     in.uniform("x", {3, 7});
                   },
                   [](Inputs x) { return scale(x[0], -2.5); }});
  cases.push_back({"cast/the same number",
                   [](CaseInputs& in) {
                     in.uniform("x", {3, 7});
                   },
                   [](Inputs x) { return mul(x[0], cast(cast(x[0], DType::float64), x[0].dtype())); }});
  for (const auto& [label, from, to] :
       {std::tuple<std::string, Shape, Shape>{"a class token over a batch", {1, 1, 5}, {3, 1, 5}},
        {"rows", {5}, {4, 5}},
        {"columns", {3, 1}, {2, 3, 7}},
        {"the same shape", {2, 3}, {2, 3}}}) {
    cases.push_back({"broadcast_to/" + label, [from = from](CaseInputs& in) { in.uniform("x", from); },
                     [to = to](Inputs x) { return broadcast_to(x[0], to); }});
  }
}

void add_reductions(Cases& cases) {
  for (const Shape& shape : {Shape{1}, Shape{3, 5, 7}, Shape{257}}) {
    cases.push_back({"sum/" + shape.str(), [=](CaseInputs& in) { in.uniform("x", shape); },
                     [](Inputs x) { return sum(x[0]); }});
    cases.push_back({"mean/" + shape.str(), [=](CaseInputs& in) { in.uniform("x", shape); },
                     [](Inputs x) { return mean(x[0]); }});
  }
  for (const auto& [label, from, to] : {std::tuple<std::string, Shape, Shape>{"columns", {33, 5}, {5}},
                                        {"rows", {3, 7}, {3, 1}},
                                        {"middle", {2, 5, 3}, {2, 1, 3}},
                                        {"first and last", {4, 3, 5}, {1, 3, 1}},
                                        {"scalar", {2, 3}, {}}}) {
    cases.push_back({"sum_to/" + label, [from = from](CaseInputs& in) { in.uniform("x", from); },
                     [to = to](Inputs x) { return sum_to(x[0], to); }});
  }
}

void add_activations(Cases& cases) {
  for (const auto& [name, op] : {std::pair<std::string, Unary>{"relu", &fer::relu},
                                 {"gelu", &fer::gelu},
                                 {"sigmoid", &fer::sigmoid},
                                 {"abs", &fer::abs}}) {
    for (const Shape& shape : {Shape{1}, Shape{2, 3, 4, 5}, Shape{67}}) {
      cases.push_back({name + "/" + shape.str(), [=](CaseInputs& in) { in.apart("x", shape); },
                       [op = op](Inputs x) { return op(scale(x[0], 4.0)); }});
    }
  }
  for (const auto& [name, op, low, high] :
       {std::tuple<std::string, Unary, double, double>{"exp", &fer::exp, -3, 3},
        {"log", &fer::log, 0.1, 3},
        {"sqrt", &fer::sqrt, 0.1, 3}}) {
    for (const Shape& shape : {Shape{1}, Shape{2, 3, 4, 5}, Shape{67}}) {
      cases.push_back({name + "/" + shape.str(),
                       [=, low = low, high = high](CaseInputs& in) { in.uniform("x", shape, low, high); },
                       [op = op](Inputs x) { return op(x[0]); }});
    }
  }
  for (const Shape& shape : {Shape{1, 1}, Shape{2, 3, 5, 7}, Shape{33, 17}}) {
    cases.push_back({"prelu/" + shape.str(),
                     [=](CaseInputs& in) { in.apart("x", shape).uniform("slope", {shape[-1]}, -0.3, 0.6); },
                     [](Inputs x) { return prelu(x[0], x[1]); }});
  }
  for (const auto& [name, op] :
       {std::pair<std::string, Unary>{"softmax", &fer::softmax}, {"log_softmax", &fer::log_softmax}}) {
    for (const Shape& shape : {Shape{1}, Shape{5, 7}, Shape{2, 3, 33}}) {
      cases.push_back({name + "/" + shape.str(), [=](CaseInputs& in) { in.uniform("x", shape, -4.0, 4.0); },
                       [op = op](Inputs x) { return op(x[0]); }});
    }
  }
}

void add_layout(Cases& cases) {
  const auto unary = [&](const std::string& name, const Shape& shape,
                         const std::function<Variable(const Variable&)>& op) {
    cases.push_back(
        {name, [=](CaseInputs& in) { in.uniform("x", shape); }, [=](Inputs x) { return op(x[0]); }});
  };
  unary("reshape/image to tokens", {2, 3, 4, 5}, [](const Variable& x) { return reshape(x, {2, -1, 5}); });
  unary("reshape/to a vector", {3, 1, 2}, [](const Variable& x) { return reshape(x, {6}); });
  unary("permute/channels first", {2, 3, 5, 7}, [](const Variable& x) { return permute(x, {0, 3, 1, 2}); });
  unary("permute/reversed", {2, 1, 5}, [](const Variable& x) { return permute(x, {2, 1, 0}); });
  unary("transpose/matrix", {3, 7}, [](const Variable& x) { return transpose(x); });
  unary("transpose/batch", {2, 3, 5, 4}, [](const Variable& x) { return transpose(x); });
  unary("slice/class token", {3, 5, 4}, [](const Variable& x) { return slice(x, 1, 0, 1); });
  unary("slice/samples", {7, 3}, [](const Variable& x) { return slice(x, 0, 2, 3); });
  unary("slice/channels, from the back", {2, 3, 9}, [](const Variable& x) { return slice(x, -1, 4, 5); });
  const auto concatenation = [&](const std::string& name, const Shape& a, const Shape& b, const Shape& c,
                                 int dim) {
    cases.push_back({name, [=](CaseInputs& in) { in.uniform("a", a).uniform("b", b).uniform("c", c); },
                     [dim](Inputs x) {
                       return concat({x[0], x[1], x[2]}, dim);
                     }});
  };
  concatenation("concat/tokens", {2, 1, 4}, {2, 5, 4}, {2, 2, 4}, 1);
  concatenation("concat/samples", {1, 3}, {4, 3}, {2, 3}, 0);
  concatenation("concat/channels, from the back", {3, 1}, {3, 7}, {3, 2}, -1);
  cases.push_back({"concat/one part twice",
                   [](CaseInputs& in) {
                     in.uniform("x", {2, 3});
                   },
                   [](Inputs x) {
                     return concat({x[0], x[0]}, 0);
                   }});
}

}  // namespace

void add_basic_cases(Cases& cases) {
  add_elementwise(cases);
  add_reductions(cases);
  add_activations(cases);
  add_layout(cases);
}

}  // namespace fer::detail
