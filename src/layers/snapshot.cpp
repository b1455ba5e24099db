#include "fer/layers/snapshot.h"

#include <algorithm>

namespace fer {

Snapshot::Snapshot(Module& module) {
  for (const NamedVariable& p : module.named_parameters()) {
    sources_.push_back({p.variable, nullptr, p.variable.value(), p.variable.value().version()});
  }
  for (const NamedBuffer& b : module.named_buffers()) {
    sources_.push_back({{}, b.buffer, *b.buffer, b.buffer->version()});
  }
}

bool Snapshot::is_current() const {
  return !sources_.empty() && std::all_of(sources_.begin(), sources_.end(), [](const Source& source) {
    const Tensor& now = source.buffer ? *source.buffer : source.variable.value();
    return now.shares_memory_with(source.tensor) && now.version() == source.version;
  });
}

}  // namespace fer
