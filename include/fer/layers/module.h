// Module: parameters, buffers and children with names, so that a model can be trained, saved and described.
// The names equal PyTorch's ("attention.blocks.0.q_lm.weight").
//
//   struct Net : fer::Layer {
//     fer::Linear& first = register_module<fer::Linear>("first", 4, 8);
//     fer::Linear& second = register_module<fer::Linear>("second", 8, 2);
//     fer::Variable forward(const fer::Variable& x) override { return second(fer::relu(first(x))); }
//   };
//   Net net;                                                  // with random weights, see manual_seed()
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

/// How a fresh parameter is filled.
enum class Init {
  zeros,
  ones,
  kaiming,      ///< normal, variance 2 / fan_in: weights in front of a rectifier
  xavier,       ///< uniform, variance 2 / (fan_in + fan_out): weights of attention and of the head
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

/// While one is alive, it bounds the modules that this thread makes: for sizes that come from a file, which
/// must not ask for far more than the `values` that its tensors have. Twice as many and a million are
/// allowed, so that a few that are missing can be named. What is beyond is refused before it is allocated,
/// with a FormatError that begins with `source`.
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

/// While one is alive, parameters that this thread makes stay zero: their values are loaded or drawn by
/// initialise() right after, and drawing them twice takes time.
class SkipInit {
 public:
  SkipInit();
  ~SkipInit();
  SkipInit(const SkipInit&) = delete;
  SkipInit& operator=(const SkipInit&) = delete;

 private:
  bool outer_;
};

/// A module made so: FERNet net = uninitialised<FERNet>(config).
template <typename M, typename... Args>
M uninitialised(Args&&... args) {
  const SkipInit skip;
  return M(std::forward<Args>(args)...);
}

/// Names in which a StateDict and a module differ.
struct StateDifference {
  std::vector<std::string> missing;     ///< that the module has and the StateDict lacks
  std::vector<std::string> unexpected;  ///< that the StateDict has and the module lacks
};

class Module {
 public:
  Module() = default;
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  /// "Conv2d(64, 128, kernel 3, stride 2)": for `fer info` and errors.
  virtual std::string describe() const { return "Module"; }

  /// Depth first, a module's own before its children's, in the order of registration, names joined by dots
  /// and relative to this module. Each Variable's own name() becomes its full path below the root.
  std::vector<NamedVariable> named_parameters() const;
  /// The same without their names.
  std::vector<Variable> parameters() const;
  std::vector<NamedBuffer> named_buffers();
  /// Every module below with its path; the root itself first, with an empty path.
  std::vector<std::pair<std::string, Module*>> named_modules();
  const std::vector<std::pair<std::string, std::unique_ptr<Module>>>& children() const { return children_; }
  std::int64_t parameter_count() const;

  /// Parameters and buffers by name; the tensors are the module's own, not copies.
  StateDict state_dict() const;
  /// Copies the values of all parameters and buffers, whatever device they are on. ShapeError, naming all of
  /// them, for other shapes; unless `strict` is false, ConfigError for missing or unexpected names. Nothing
  /// is changed then. Files are read by the function of the same name in formats/state_dict.h.
  StateDifference load_state_dict(const StateDict& state, bool strict = true);

  /// Of this module, below the root of the model it belongs to: "attention.blocks.0.q_lm". The root's is
  /// empty.
  std::string path() const;

  /// Training mode changes batch norm and dropout. A module may override it to keep a part frozen.
  virtual void train(bool mode = true);
  void eval() { train(false); }
  bool is_training() const { return training_; }

  void requires_grad(bool value);
  /// Whether any parameter requires a gradient.
  bool requires_grad() const;
  void zero_grad();
  /// Moves parameters and buffers; gradients are dropped.
  void to(Device device);
  void to(DType dtype);
  /// Fills all parameters by their Init, from Philox keyed by `seed` and each parameter's full name; running
  /// statistics return to mean 0 and variance 1.
  void initialise(std::uint64_t seed);

 protected:
  /// Registers a child made of `args` and returns it.
  template <typename M, typename... Args>
  M& register_module(const std::string& name, Args&&... args) {
    auto child = std::make_unique<M>(std::forward<Args>(args)...);
    M& reference = *child;
    adopt(name, std::move(child));
    return reference;
  }
  /// Registers a float32 CPU parameter of `shape`, with a fresh value by `init` (initial_value_key(),
  /// SkipInit); conv weights are O x kh x kw x I/groups.
  Variable register_parameter(std::string name, const Shape& shape, Init init);
  /// Registers a buffer filled with `value`.
  Tensor& register_buffer(std::string name, const Shape& shape, double value);

 private:
  struct Parameter {
    std::string name;
    Variable variable;  // shares its state with the copy that register_parameter() returned
    Init init;
  };
  struct Buffer {
    std::string name;
    std::unique_ptr<Tensor> tensor;  // the reference handed out must stay
    double initial;
  };

  void adopt(std::string name, std::unique_ptr<Module> child);
  using Visitor = std::function<void(const std::string& prefix, const Module&)>;
  void visit(const std::string& prefix, const Visitor& visitor) const;

  std::string name_;  // under which the parent knows it
  const Module* parent_ = nullptr;
  bool training_ = true;
  std::vector<Parameter> parameters_;
  std::vector<Buffer> buffers_;
  std::vector<std::pair<std::string, std::unique_ptr<Module>>> children_;

 public:
  /// The name under which the parent registered this module.
  const std::string& name() const { return name_; }
};

/// A module that maps one variable to one. Call it with (): that is what puts its name into errors.
class Layer : public Module {
 public:
  Variable operator()(const Variable& x) {
    ModuleScope scope(name());
    return forward(x);
  }
  virtual Variable forward(const Variable& x) = 0;
};

/// Children named "0", "1", ... run one after the other.
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
