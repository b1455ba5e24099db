// Snapshot: which values a module had, to know later whether something that was made of them is still true.
#pragma once

#include <vector>

#include "fer/layers/module.h"

namespace fer {

class Snapshot {
 public:
  Snapshot() = default;
  /// Of all parameters and buffers of `module`, which must outlive this.
  explicit Snapshot(Module& module);
  /// Whether all of them still have the values, type and device that they had then. A default one never is.
  bool is_current() const;

 private:
  struct Source {
    Variable variable;     // undefined for a buffer
    const Tensor* buffer;  // null for a parameter
    Tensor tensor;         // what it was
    std::uint64_t version;
  };
  std::vector<Source> sources_;
};

}  // namespace fer
