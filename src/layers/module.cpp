#include "fer/layers/module.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>
#include <utility>

#include "fer/tensor/random.h"

namespace fer {
namespace {

thread_local ParameterLimit* parameter_limit = nullptr;  // the innermost
thread_local bool skip_init = false;

std::string join(const std::string& prefix, const std::string& name) {
  return prefix.empty() ? name : prefix + "." + name;
}

/// Uniform in [0, 1) with 53 bits from two words.
double unit_double(std::uint32_t high, std::uint32_t low) {
  return static_cast<double>(((static_cast<std::uint64_t>(high) << 32) | low) >> 11) * 0x1p-53;
}

/// values[i] = f(uniform pair of element i). A value depends only on the key and the index, so threads may
/// share the work.
template <typename F>
void fill_from_pairs(std::span<double> values, const RandomKey& key, F f) {
  const auto n = static_cast<std::int64_t>(values.size());
#pragma omp parallel for schedule(static) if (n > 4096)
  for (std::int64_t i = 0; i < n; ++i) {
    const PhiloxBlock block = philox(key, static_cast<std::uint64_t>(i));
    values[i] = f(unit_double(block.v[0], block.v[1]), unit_double(block.v[2], block.v[3]));
  }
}

void fill_normal(std::span<double> values, const RandomKey& key, double deviation) {
  fill_from_pairs(values, key, [=](double u, double v) {
    return deviation * std::sqrt(-2.0 * std::log(1.0 - u)) * std::cos(2.0 * std::numbers::pi * v);
  });
}

void fill_uniform(std::span<double> values, const RandomKey& key, double limit) {
  fill_from_pairs(values, key, [=](double u, double) { return limit * (2.0 * u - 1.0); });
}

/// The number of inputs that one output sums over.
std::int64_t fan_in_of(const Shape& shape) {
  return shape.rank() == 0 ? 1 : shape.numel() / std::max<std::int64_t>(1, shape[0]);
}

/// The number of outputs that one input feeds: O x kh x kw for a convolution, O for a linear layer.
double fan_out(const Shape& shape) {
  return static_cast<double>(shape.numel()) / static_cast<double>(std::max<std::int64_t>(1, shape[-1]));
}

Tensor initial_value(const Shape& shape, Init init, std::int64_t fan_in, const RandomKey& key) {
  Tensor tensor = Tensor::empty(shape, DType::float64, Device::cpu);
  const std::span<double> values(tensor.mutable_data<double>(), static_cast<std::size_t>(shape.numel()));
  const auto inputs = static_cast<double>(fan_in);
  switch (init) {
    case Init::zeros:
      std::fill(values.begin(), values.end(), 0.0);
      break;
    case Init::ones:
      std::fill(values.begin(), values.end(), 1.0);
      break;
    case Init::prelu:
      std::fill(values.begin(), values.end(), 0.25);
      break;
    case Init::kaiming:
      fill_normal(values, key, std::sqrt(2.0 / inputs));
      break;
    case Init::xavier:
      fill_uniform(values, key, std::sqrt(6.0 / (inputs + fan_out(shape))));
      break;
    case Init::uniform:
      fill_uniform(values, key, 1.0 / std::sqrt(inputs));
      break;
    case Init::class_token:
      fill_normal(values, key, 0.02);
      break;
  }
  return tensor;
}

}  // namespace

void Module::visit(const std::string& prefix, const Visitor& visitor) const {
  visitor(prefix, *this);
  for (const auto& [name, child] : children_) child->visit(join(prefix, name), visitor);
}

std::vector<NamedVariable> Module::named_parameters() const {
  std::vector<NamedVariable> all;
  const std::string parent_path = path();
  visit("", [&](const std::string& prefix, const Module& module) {
    for (const Parameter& parameter : module.parameters_) {
      all.push_back({join(prefix, parameter.name), parameter.variable});
      all.back().variable.set_name(join(parent_path, all.back().name));
    }
  });
  return all;
}

std::vector<Variable> Module::parameters() const {
  std::vector<Variable> all;
  for (NamedVariable& parameter : named_parameters()) all.push_back(std::move(parameter.variable));
  return all;
}

StateDict Module::state_dict() const {
  StateDict state;
  for (const NamedVariable& parameter : named_parameters()) {
    state.insert(parameter.name, parameter.variable.value());
  }
  visit("", [&](const std::string& prefix, const Module& module) {
    for (const Buffer& buffer : module.buffers_) state.insert(join(prefix, buffer.name), *buffer.tensor);
  });
  return state;
}

StateDifference Module::load_state_dict(const StateDict& state, bool strict) {
  const StateDict own = state_dict();
  StateDifference difference;
  std::vector<std::string> misshapen;
  for (const auto& [name, tensor] : own) {
    const Tensor* found = state.find(name);
    if (found == nullptr) {
      difference.missing.push_back(name);
    } else if (!(found->shape() == tensor.shape())) {
      misshapen.push_back(concat(name, " is ", tensor.shape(), " and would be ", found->shape()));
    }
  }
  for (const auto& [name, tensor] : state) {
    if (!own.contains(name)) difference.unexpected.push_back(name);
  }
  require<ShapeError>(misshapen.empty(), "load_state_dict: other shapes: ", some_of(misshapen));
  const bool same = difference.missing.empty() && difference.unexpected.empty();
  require<ConfigError>(
      same || !strict, "load_state_dict: ", difference.missing.empty() ? "" : "missing ",
      some_of(difference.missing), difference.missing.empty() || difference.unexpected.empty() ? "" : "; ",
      difference.unexpected.empty() ? "" : "not of this module ", some_of(difference.unexpected));
  for (const auto& [name, tensor] : own) {
    Tensor target = tensor;  // shares its memory
    if (const Tensor* found = state.find(name)) target.copy_from(*found);
  }
  return difference;
}

std::vector<NamedBuffer> Module::named_buffers() {
  std::vector<NamedBuffer> all;
  visit("", [&](const std::string& prefix, const Module& module) {
    for (const Buffer& buffer : module.buffers_) {
      all.push_back({join(prefix, buffer.name), buffer.tensor.get()});
    }
  });
  return all;
}

std::vector<std::pair<std::string, Module*>> Module::named_modules() {
  std::vector<std::pair<std::string, Module*>> all;
  visit("", [&](const std::string& prefix, const Module& module) {
    all.emplace_back(prefix, const_cast<Module*>(&module));  // *this, which owns the module, is not const
  });
  return all;
}

std::int64_t Module::parameter_count() const {
  std::int64_t count = 0;
  visit("", [&](const std::string&, const Module& module) {
    for (const Parameter& parameter : module.parameters_) count += parameter.variable.shape().numel();
  });
  return count;
}

std::string Module::path() const {
  return parent_ ? join(parent_->path(), name_) : std::string();
}

void Module::train(bool mode) {
  training_ = mode;
  for (const auto& [name, child] : children_) child->train(mode);
}

void Module::requires_grad(bool value) {
  for (NamedVariable& parameter : named_parameters()) {
    parameter.variable.set_requires_grad(value);
    if (!value) parameter.variable.zero_grad();
  }
}

bool Module::requires_grad() const {
  bool any = false;
  visit("", [&](const std::string&, const Module& module) {
    for (const Parameter& parameter : module.parameters_) any = any || parameter.variable.requires_grad();
  });
  return any;
}

void Module::zero_grad() {
  for (NamedVariable& parameter : named_parameters()) parameter.variable.zero_grad();
}

void Module::to(Device device) {
  for (NamedVariable& parameter : named_parameters()) {
    parameter.variable.mutable_value() = parameter.variable.value().to(device);
    parameter.variable.zero_grad();
  }
  for (NamedBuffer& buffer : named_buffers()) *buffer.buffer = buffer.buffer->to(device);
}

void Module::to(DType dtype) {
  require<TypeError>(dtype == DType::float32 || dtype == DType::float64, "a module computes in float32 or ",
                     "float64, not in ", dtype);
  for (NamedVariable& parameter : named_parameters()) {
    parameter.variable.mutable_value() = parameter.variable.value().to(dtype);
    parameter.variable.zero_grad();
  }
  for (NamedBuffer& buffer : named_buffers()) *buffer.buffer = buffer.buffer->to(dtype);
}

void Module::initialise(std::uint64_t seed) {
  visit("", [&](const std::string& prefix, const Module& module) {
    for (const Parameter& parameter : module.parameters_) {
      Variable variable = parameter.variable;
      const RandomKey key{seed, fnv1a64(join(prefix, parameter.name)), 0};
      variable.mutable_value().copy_from(
          initial_value(variable.shape(), parameter.init, parameter.fan_in, key));
      variable.zero_grad();
    }
    for (const Buffer& buffer : module.buffers_) buffer.tensor->fill(buffer.initial);
  });
}

SkipInit::SkipInit() : outer_(std::exchange(skip_init, true)) {}

SkipInit::~SkipInit() {
  skip_init = outer_;
}

ParameterLimit::ParameterLimit(std::int64_t values, std::string source)
    : values_(values),
      left_(2 * values + 1'000'000),
      source_(std::move(source)),
      outer_(std::exchange(parameter_limit, this)) {}

ParameterLimit::~ParameterLimit() {
  parameter_limit = outer_;
}

void ParameterLimit::take(const std::string& name, const Shape& shape) {
  require<FormatError>(shape.numel() <= left_, source_, ": its sizes are of a larger network than its ",
                       values_, values_ == 1 ? " value fills" : " values fill", "; a '", name, "' of shape ",
                       shape, " is beyond them");
  left_ -= shape.numel();
}

Variable Module::register_parameter(std::string name, const Shape& shape, Init init, std::int64_t fan_in) {
  if (parameter_limit) parameter_limit->take(name, shape);
  if (fan_in == 0) fan_in = fan_in_of(shape);
  const Tensor value =
      skip_init ? Tensor::zeros(shape)
                : initial_value(shape, init, fan_in, initial_value_key(fnv1a64(name))).to(DType::float32);
  Variable variable(value, /*requires_grad=*/true, name);
  parameters_.push_back({std::move(name), variable, init, fan_in});
  return variable;
}

Tensor& Module::register_buffer(std::string name, const Shape& shape, double value) {
  if (parameter_limit) parameter_limit->take(name, shape);
  buffers_.push_back({std::move(name), std::make_unique<Tensor>(Tensor::full(shape, value)), value});
  return *buffers_.back().tensor;
}

void Module::adopt(std::string name, std::unique_ptr<Module> child) {
  child->name_ = name;
  child->parent_ = this;
  children_.emplace_back(std::move(name), std::move(child));
}

Variable Sequential::forward(const Variable& x) {
  return forward_range(x, 0, layers_.size());
}

Variable Sequential::forward_range(const Variable& x, std::size_t begin, std::size_t end) {
  Variable y = x;
  for (std::size_t i = begin; i < end; ++i) y = (*layers_[i])(y);
  return y;
}

}  // namespace fer
