// One case of ops.safetensors: hands out inputs and attributes by name, collects outputs, and compares them
// and the gradients with what the file holds. Whatever the case lists and nobody asked for is an error, and
// so is whatever was asked for and the case does not list.
#pragma once

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "fer/autograd/ops.h"
#include "fer/formats/safetensors.h"

namespace fer::test {

/// The files are N x C x ..., fer computes on N x ... x C. Both moves, for any rank from 3; others stay.
Tensor channels_last(const Tensor& x);
Tensor channels_first(const Tensor& x);

enum class Layout { as_it_is, channels_moved };

class OpCase {
 public:
  OpCase(const SafetensorsFile& file, const nlohmann::json& description, Device device, DType dtype);

  /// An input in the type and on the device of the run; it requires a gradient iff the file has one.
  Variable input(const std::string& name, Layout layout = Layout::as_it_is);
  /// Undefined if the case has none of the name.
  Variable optional_input(const std::string& name, Layout layout = Layout::as_it_is);
  /// An int64 input.
  Tensor integers(const std::string& name);

  template <typename T>
  T attribute(const std::string& name) {
    used_.insert("attribute " + name);
    if (!attributes_.contains(name)) throw DataError("there is no attribute " + name);
    return attributes_.at(name).get<T>();
  }
  template <typename T>
  T attribute_or(const std::string& name, T fallback) {
    return attributes_.contains(name) ? attribute<T>(name) : fallback;
  }

  void output(const std::string& name, const Variable& y, Layout layout = Layout::as_it_is);

  /// Differentiates, compares, and returns what is wrong; nothing if all is well.
  std::vector<std::string> problems();
  /// The largest difference that problems() met.
  double worst() const { return worst_; }

 private:
  struct Named {
    std::string name;
    Variable variable;
    Layout layout;
  };

  Tensor read(const std::string& kind, const std::string& name) const;
  bool lists(const char* list, const std::string& name) const;
  void compare(const std::string& what, const Tensor& got, Layout layout, const Tensor& expected);
  void check_all_used();

  const SafetensorsFile& file_;
  std::string id_;
  nlohmann::json attributes_, description_;
  Device device_;
  DType dtype_;
  std::vector<Named> inputs_, outputs_;
  std::set<std::string> used_;
  std::vector<std::string> problems_;
  double worst_ = 0;
};

/// What to do for each op.
using OpRunners = std::map<std::string, std::function<void(OpCase&)>>;
const OpRunners& op_runners();

struct OpsReport {
  int cases = 0;
  double worst = 0;
  std::string worst_case;
  std::vector<std::string> problems;
};

/// Runs all cases of an ops.safetensors.
OpsReport run_ops_file(const std::filesystem::path& path, Device device, DType dtype);

}  // namespace fer::test
