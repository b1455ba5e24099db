#include "fer/error.h"

#include <vector>

namespace fer {
namespace {

std::vector<std::string>& module_path() {
  thread_local std::vector<std::string> path;
  return path;
}

}  // namespace

Error::Error(const std::string& message)
    : std::runtime_error(ModuleScope::path().empty() ? message
                                                     : message + " (in module " + ModuleScope::path() + ")") {
}

ModuleScope::ModuleScope(std::string_view name) {
  module_path().emplace_back(name);
}
ModuleScope::~ModuleScope() {
  module_path().pop_back();
}

std::string ModuleScope::path() {
  std::string joined;
  for (const std::string& name : module_path()) {
    if (name.empty()) continue;  // the root of a model has no name
    if (!joined.empty()) joined += '.';
    joined += name;
  }
  return joined;
}

}  // namespace fer
