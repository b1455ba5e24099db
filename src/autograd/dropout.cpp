// Dropout, y = x m / (1 - p), m[i] = [u(key, i) >= p]:  dx = dy m / (1 - p), the same function with the same
// key. Neither the mask nor y is kept; both are recomputed when they are needed. i is the number of the
// element or sample, in a GlobalBatch that in the whole batch.
#include "autograd/op_checks.h"
#include "fer/autograd/global_batch.h"
#include "fer/autograd/ops.h"

namespace fer {

using namespace detail;

namespace {

/// The number of the first element, or sample, of x in the whole batch.
std::int64_t first_drawn(const Tensor& x, DropoutMask mask) {
  const GlobalBatch* batch = GlobalBatch::current();
  if (!batch) return 0;
  const std::int64_t drawn = mask == DropoutMask::sample ? x.dim(0) : x.numel();
  require<ShapeError>(drawn % batch->samples() == 0, "[dropout] x of shape ", x.shape(),
                      " cannot be divided among this rank's ", batch->samples(), " samples");
  return drawn / batch->samples() * batch->first();
}

}  // namespace

Variable dropout(const Variable& x, double p, const RandomKey& key, DropoutMask mask) {
  check_operands("dropout", {{"x", value_or_none(x)}});
  require<ConfigError>(p >= 0.0 && p < 1.0, "[dropout] the probability ", p, " is outside of [0, 1)");
  require<ShapeError>(mask == DropoutMask::element || x.rank() >= 1,
                      "[dropout] x is a single number and has no samples to drop");
  if (p == 0.0) return x;
  Tensor y = Tensor::empty_like(x.value());
  const std::int64_t first = first_drawn(x.value(), mask);
  backend_of(y).dropout(x.value(), p, key, first, mask, y);
  const Saved x_saved = save_if(needs_gradient(x), x, "dropout", "x");
  return record(
      "dropout", std::move(y), {x},
      [p, key, first, mask](const Tensor& dy) -> std::vector<Tensor> {
        Tensor dx = over(dy);
        backend_of(dy).dropout(dy, p, key, first, mask, dx);
        return {dx};
      },
      [=] {
        const Tensor xs = x_saved.get();
        Tensor result = over(xs);  // in place if xs was recomputed, because then nothing else refers to it
        backend_of(xs).dropout(xs, p, key, first, mask, result);
        return result;
      });
}

}  // namespace fer
