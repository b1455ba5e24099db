#include "fer/autograd/global_batch.h"

#include "autograd/op_checks.h"
#include "fer/autograd/ops.h"

namespace fer {
namespace {

thread_local const GlobalBatch* innermost = nullptr;

}  // namespace

GlobalBatch::GlobalBatch(Communicator& ranks, std::int64_t first, std::int64_t samples, std::int64_t all)
    : ranks_(ranks), first_(first), samples_(samples), all_(all), outer_(innermost) {
  require<ConfigError>(samples > 0, "a batch of ", all, " samples cannot be shared by ", ranks.size(),
                       " processes: rank ", ranks.rank(), " has none");
  require<ConfigError>(first >= 0 && first + samples <= all, "samples ", first, " to ", first + samples,
                       " are no part of a batch of ", all);
  innermost = this;
}

GlobalBatch::~GlobalBatch() {
  innermost = outer_;
}

const GlobalBatch* GlobalBatch::current() {
  return innermost && innermost->ranks_.size() > 1 ? innermost : nullptr;
}

Tensor gather_rows(const Tensor& x) {
  const GlobalBatch* batch = GlobalBatch::current();
  return batch ? batch->ranks().all_gather(x) : x;
}

Variable gather_rows(const Variable& x) {
  const GlobalBatch* batch = GlobalBatch::current();
  if (!batch) return x;
  const Shape shape = x.shape();
  require<ShapeError>(x.value().rank() > 0 && x.dim(0) == batch->samples(), "[gather_rows] x of shape ", shape,
                      " needs a row for each of this rank's ", batch->samples(), " samples");
  return record("gather_rows", gather_rows(x.value()), {x},
                [batch, shape](const Tensor& dy) -> std::vector<Tensor> {
                  Tensor sum = dy.clone();
                  batch->ranks().all_reduce(sum);
                  Tensor dx = Tensor::empty(shape, dy.dtype(), dy.device());
                  backend_of(dx).slice(sum, 0, batch->first(), dx);
                  return {dx};
                });
}

Variable share_of_mean(const Variable& mean) {
  const GlobalBatch* batch = GlobalBatch::current();
  if (!batch) return mean;
  return scale(mean, static_cast<double>(batch->samples()) / static_cast<double>(batch->all()));
}

Variable share_of_common(const Variable& loss) {
  const GlobalBatch* batch = GlobalBatch::current();
  return batch ? scale(loss, 1.0 / batch->ranks().size()) : loss;
}

}  // namespace fer
