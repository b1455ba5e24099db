// One case of ops.safetensors: returns inputs and attributes by name, collects outputs, and compares them and
// the gradients with the file. It is an error if the runner requests something that the case does not list,
// or does not use something that it lists.
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

/// Conversions between the files' layout, N x C x ..., and fer's, N x ... x C, from rank 3 on. Lower ranks
/// stay as they are.
Tensor channels_last(const Tensor& x);
Tensor channels_first(const Tensor& x);

enum class Layout { as_it_is, channels_moved };

class OpCase {
 public:
  OpCase(const SafetensorsFile& file, const nlohmann::json& description, Device device, DType dtype);

  /// An input, of the run's type and on its device. It requires a gradient if and only if the file has one.
  Variable input(const std::string& name, Layout layout = Layout::as_it_is);
  /// Undefined if the case has no input of this name.
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

  /// Differentiates, compares, and returns the problems; empty if there are none.
  std::vector<std::string> problems();
  /// The largest difference in problems().
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

/// The function that runs a case, by op.
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
