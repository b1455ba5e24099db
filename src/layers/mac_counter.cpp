#include "fer/layers/mac_counter.h"

#include "fer/error.h"

namespace fer {
namespace {

thread_local MacCounter* active = nullptr;

bool is_below(std::string_view path, std::string_view ancestor) {
  return ancestor.empty() || path == ancestor ||
         (path.size() > ancestor.size() && path.substr(0, ancestor.size()) == ancestor &&
          path[ancestor.size()] == '.');
}

}  // namespace

MacCounter::MacCounter() : before_(active) {
  active = this;
}

MacCounter::~MacCounter() {
  active = before_;
}

std::int64_t MacCounter::total() const {
  return under("");
}

std::int64_t MacCounter::under(std::string_view path) const {
  std::int64_t sum = 0;
  for (const auto& [module, macs] : macs_) {
    if (is_below(module, path)) sum += macs;
  }
  return sum;
}

void MacCounter::add(std::int64_t macs) {
  if (active) active->macs_[ModuleScope::path()] += macs;
}

}  // namespace fer
