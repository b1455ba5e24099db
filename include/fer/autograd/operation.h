// Operation: the name and attributes that record() gets besides the inputs. Tracer: observes these calls.
// GradientListener: observes the gradients that backward() gives to leaves.
//
//   return record({"conv2d", {{"stride", options.stride}}}, std::move(y), {x, weight}, backward);
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "fer/tensor/tensor.h"

namespace fer {

class Function;
class Variable;

/// A number, list or tensor that determines what an operation computes. It does not own its value and is
/// valid only during the call of record().
struct Attribute {
  std::string_view name;
  std::variant<std::int64_t, double, std::span<const int>, const Tensor*, const std::shared_ptr<Function>*>
      value;
};

/// The name of an operation and its attributes, if any.
struct Operation {
  std::string_view name;
  std::span<const Attribute> attributes;

  Operation(const char* name_) : name(name_) {}
  Operation(std::string_view name_) : name(name_) {}
  Operation(const std::string& name_) : name(name_) {}
  Operation(std::string_view name_, std::initializer_list<Attribute> attributes_)
      : name(name_), attributes(attributes_.begin(), attributes_.size()) {}
};

/// While alive, observes every operation that its thread records, in order. One at a time per thread.
class Tracer {
 public:
  Tracer();
  virtual ~Tracer();
  Tracer(const Tracer&) = delete;
  Tracer& operator=(const Tracer&) = delete;

  virtual void on_operation(const Operation& operation, const std::vector<Variable>& inputs,
                            const Variable& output) = 0;
  /// The tracer of this thread, or null.
  static Tracer* current();
};

/// While alive, is told of every gradient that a leaf gets in this thread. One at a time per thread.
class GradientListener {
 public:
  GradientListener();
  virtual ~GradientListener();
  GradientListener(const GradientListener&) = delete;
  GradientListener& operator=(const GradientListener&) = delete;

  /// A gradient was added to leaf.grad(); others may follow.
  virtual void on_gradient(const Variable& leaf) = 0;
  /// The listener of this thread, or null.
  static GradientListener* current();
};

}  // namespace fer
