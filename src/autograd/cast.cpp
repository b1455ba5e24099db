// y = x in another floating type;  dx = dy in x's type.
#include "autograd/op_checks.h"
#include "fer/autograd/ops.h"
#include "fer/tensor/current_op.h"

namespace fer {

using namespace detail;

Variable cast(const Variable& x, DType dtype) {
  require<TypeError>(x.defined(), "[cast] x is undefined");
  set_current_op("cast");
  require<TypeError>(is_floating(dtype) && is_floating(x.dtype()), "[cast] ", x.dtype(), " to ", dtype,
                     ": only floating types have gradients");
  if (x.dtype() == dtype) return x;
  return record("cast", x.value().to(dtype), {x},
                [from = x.dtype()](const Tensor& dy) -> std::vector<Tensor> { return {dy.to(from)}; });
}

}  // namespace fer
