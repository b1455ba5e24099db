// Operation: what record() is told of an operation beside its inputs, and Tracer, who listens to it.
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

/// A number, list or tensor that decides what an operation computes. It views what it names; the call of
/// record() is its whole life.
struct Attribute {
  std::string_view name;
  std::variant<std::int64_t, double, std::span<const int>, const Tensor*, const std::shared_ptr<Function>*>
      value;
};

/// The name of an operation and its attributes. An operation without attributes is its name alone.
struct Operation {
  std::string_view name;
  std::span<const Attribute> attributes;

  Operation(const char* name_) : name(name_) {}
  Operation(std::string_view name_) : name(name_) {}
  Operation(const std::string& name_) : name(name_) {}
  Operation(std::string_view name_, std::initializer_list<Attribute> attributes_)
      : name(name_), attributes(attributes_.begin(), attributes_.size()) {}
};

/// Is told of every operation that its thread records, in their order, while it is alive. One at a time.
class Tracer {
 public:
  Tracer();
  virtual ~Tracer();
  Tracer(const Tracer&) = delete;
  Tracer& operator=(const Tracer&) = delete;

  virtual void on_operation(const Operation& operation, const std::vector<Variable>& inputs,
                            const Variable& output) = 0;
  /// That of this thread, or null.
  static Tracer* current();
};

}  // namespace fer
