// Module: parameters, buffers and children with names, so that a model can be trained, saved and described.
// The names equal PyTorch's ("attention.blocks.0.q_lm.weight").
//
//   struct Net : fer::Layer {
//     fer::Linear& first = register_module<fer::Linear>("first", 4, 8);
//     fer::Linear& second = register_module<fer::Linear>("second", 8, 2);
//     fer::Variable forward(const fer::Variable& x) override { return second(fer::relu(first(x))); }
//   };
//   Net net;                                                  // random weights, see manual_seed()
//   fer::save_state_dict("net.safetensors", net.state_dict());
//   net.load_state_dict(fer::load_state_dict("net.safetensors"));
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fer/autograd/variable.h"
#include "fer/formats/state_dict.h"

namespace fer {

/// How a parameter is initialised.
enum class Init {
  zeros,
  ones,
  kaiming,      ///< normal, variance 2 / fan_in: weights before a rectifier
  xavier,       ///< uniform, variance 2 / (fan_in + fan_out): weights of attention and of the head
  uniform,      ///< in +-1 / sqrt(fan_in), PyTorch's default: weights and biases
  prelu,        ///< 0.25
  class_token,  ///< normal, deviation 0.02
};

struct NamedVariable {
  std::string name;
  Variable variable;
};
/// A buffer is state that is saved but not trained (running statistics).
struct NamedBuffer {
  std::string name;
  Tensor* buffer;
};

/// While alive, limits the total size of the parameters and buffers that this thread creates. It protects
/// against sizes read from a damaged file: a model must not need far more than the `values` that the file's
/// tensors hold. The limit is 2 * values + 1,000,000, so that a few missing tensors can still be reported by
/// name. Beyond it, FormatError, beginning with `source`, is thrown before anything is allocated.
class ParameterLimit {
 public:
  ParameterLimit(std::int64_t values, std::string source);
  ~ParameterLimit();
  ParameterLimit(const ParameterLimit&) = delete;
  ParameterLimit& operator=(const ParameterLimit&) = delete;

 private:
  friend class Module;
  void take(const std::string& name, const Shape& shape);

  std::int64_t values_, left_;
  std::string source_;
  ParameterLimit* outer_;
};

/// While alive, parameters that this thread creates stay zero. Use it to save time if the values are loaded,
/// or drawn by initialise(), right afterwards.
class SkipInit {
 public:
  SkipInit();
  ~SkipInit();
  SkipInit(const SkipInit&) = delete;
  SkipInit& operator=(const SkipInit&) = delete;

 private:
  bool outer_;
};

/// Makes a module under SkipInit: FERNet net = uninitialised<FERNet>(config).
template <typename M, typename... Args>
M uninitialised(Args&&... args) {
  const SkipInit skip;
  return M(std::forward<Args>(args)...);
}

/// Names in which a StateDict and a module differ.
struct StateDifference {
  std::vector<std::string> missing;     ///< in the module but not in the StateDict
  std::vector<std::string> unexpected;  ///< in the StateDict but not in the module
};

class Module {
 public:
  Module() = default;
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  /// "Conv2d(64, 128, kernel 3, stride 2)": for `fer info` and errors.
  virtual std::string describe() const { return "Module"; }

  /// Depth first, a module's own parameters before its children's, in order of registration. Names are
  /// relative to this module and joined by dots. Sets each Variable's name() to its full path from the root.
  std::vector<NamedVariable> named_parameters() const;
  /// The same without the names.
  std::vector<Variable> parameters() const;
  std::vector<NamedBuffer> named_buffers();
  /// Every module with its path; this module first, with an empty path.
  std::vector<std::pair<std::string, Module*>> named_modules();
  const std::vector<std::pair<std::string, std::unique_ptr<Module>>>& children() const { return children_; }
  std::int64_t parameter_count() const;

  /// Parameters and buffers by name; the tensors are the module's own, not copies.
  StateDict state_dict() const;
  /// Copies the values of all parameters and buffers, whatever device they are on. ShapeError, naming all
  /// tensors of the wrong shape; ConfigError for missing or unexpected names, unless `strict` is false. If it
  /// throws, nothing is changed. load_state_dict() in formats/state_dict.h reads files.
  StateDifference load_state_dict(const StateDict& state, bool strict = true);

  /// The path of this module from the root of its model: "attention.blocks.0.q_lm"; empty for the root.
  std::string path() const;

  /// Sets training or evaluation mode, which batch norm and dropout depend on. A module may override it to
  /// keep a part frozen.
  virtual void train(bool mode = true);
  void eval() { train(false); }
  bool is_training() const { return training_; }

  void requires_grad(bool value);
  /// Whether any parameter requires a gradient.
  bool requires_grad() const;
  void zero_grad();
  /// Moves or converts parameters and buffers; gradients are dropped.
  void to(Device device);
  void to(DType dtype);
  /// Initialises all parameters by their Init, from Philox keyed by `seed` and each parameter's full name;
  /// running statistics are reset to mean 0 and variance 1.
  void initialise(std::uint64_t seed);

 protected:
  /// Registers a child constructed from `args` and returns it.
  template <typename M, typename... Args>
  M& register_module(const std::string& name, Args&&... args) {
    auto child = std::make_unique<M>(std::forward<Args>(args)...);
    M& reference = *child;
    adopt(name, std::move(child));
    return reference;
  }
  /// Registers a float32 CPU parameter of `shape`, initialised by `init` (see initial_value_key(), SkipInit).
  /// Convolution weights are O x kh x kw x I/groups. `fan_in` is the number of values that an output sums
  /// over; 0: what the shape says, numel / O. A bias has no other way to know it.
  Variable register_parameter(std::string name, const Shape& shape, Init init, std::int64_t fan_in = 0);
  /// Registers a buffer filled with `value`.
  Tensor& register_buffer(std::string name, const Shape& shape, double value);

 private:
  struct Parameter {
    std::string name;
    Variable variable;  // shares its state with the copy that register_parameter() returned
    Init init;
    std::int64_t fan_in;
  };
  struct Buffer {
    std::string name;
    std::unique_ptr<Tensor> tensor;  // its address is stable: register_buffer() returned a reference
    double initial;
  };

  void adopt(std::string name, std::unique_ptr<Module> child);
  using Visitor = std::function<void(const std::string& prefix, const Module&)>;
  void visit(const std::string& prefix, const Visitor& visitor) const;

  std::string name_;  // under which the parent registered it
  const Module* parent_ = nullptr;
  bool training_ = true;
  std::vector<Parameter> parameters_;
  std::vector<Buffer> buffers_;
  std::vector<std::pair<std::string, std::unique_ptr<Module>>> children_;

 public:
  /// The name under which the parent registered this module.
  const std::string& name() const { return name_; }
};

/// A module that maps one Variable to one Variable. Call it with (), which puts its name into errors.
class Layer : public Module {
 public:
  Variable operator()(const Variable& x) {
    ModuleScope scope(name());
    return forward(x);
  }
  virtual Variable forward(const Variable& x) = 0;
};

/// Runs its children, named "0", "1", ..., in order.
class Sequential : public Layer {
 public:
  std::string describe() const override { return "Sequential"; }
  template <typename M, typename... Args>
  M& append(Args&&... args) {
    M& layer = register_module<M>(std::to_string(layers_.size()), std::forward<Args>(args)...);
    layers_.push_back(&layer);
    return layer;
  }
  std::size_t size() const { return layers_.size(); }
  Layer& operator[](std::size_t i) { return *layers_.at(i); }
  Variable forward(const Variable& x) override;
  /// Runs the layers [begin, end) only.
  Variable forward_range(const Variable& x, std::size_t begin, std::size_t end);

 private:
  std::vector<Layer*> layers_;
};

}  // namespace fer
