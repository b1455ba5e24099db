#include "fer/layers/dropout.h"

#include "fer/autograd/ops.h"
#include "fer/tensor/random.h"

namespace fer {

Dropout::Dropout(double p, DropoutMask mask) : p_(p), mask_(mask) {
  require<ConfigError>(p >= 0.0 && p < 1.0, "Dropout(", p, "): the probability is outside of [0, 1)");
}

std::string Dropout::describe() const {
  return concat("Dropout(", p_, mask_ == DropoutMask::sample ? ", by sample)" : ")");
}

Variable Dropout::forward(const Variable& x) {
  if (!is_active()) return x;
  return dropout(x, p_, RandomScope::key(fnv1a64(path())), mask_);
}

}  // namespace fer
