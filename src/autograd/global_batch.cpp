#include "fer/autograd/global_batch.h"

#include <numeric>

#include "autograd/op_checks.h"
#include "fer/autograd/ops.h"

namespace fer {
namespace {

thread_local const GlobalBatch* innermost = nullptr;

}  // namespace

GlobalBatch::GlobalBatch(Communicator& ranks, std::int64_t first, std::int64_t samples, std::int64_t all)
    : ranks_(ranks), first_(first), samples_(samples), all_(all), outer_(innermost) {
  require<ConfigError>(samples > 0, "rank ", ranks.rank(), " of ", ranks.size(),
                       " has no sample of a batch of ", all, "; a batch must have one for each process");
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
  if (!batch) return x;
  require<TypeError>(x.defined(), "[gather_rows] x is undefined");
  require<ShapeError>(x.rank() > 0 && x.dim(0) == batch->samples(), "[gather_rows] x of shape ", x.shape(),
                      " needs a row for each of this rank's ", batch->samples(), " samples");
  std::vector<std::int64_t> rows;
  Tensor all = batch->ranks().all_gather(x, &rows);
  const std::int64_t before =
      std::accumulate(rows.begin(), rows.begin() + batch->ranks().rank(), std::int64_t{0});
  require<ConfigError>(before == batch->first() && all.dim(0) == batch->all(), "[gather_rows] rank ",
                       batch->ranks().rank(), " has the samples from ", batch->first(), " on, of ",
                       batch->all(), ", but the ranks before it have ", before, ", and all of them ",
                       all.dim(0));
  return all;
}

Variable gather_rows(const Variable& x) {
  const GlobalBatch* batch = GlobalBatch::current();
  if (!batch) return x;
  Communicator& ranks = batch->ranks();
  const std::int64_t first = batch->first();
  return record("gather_rows", gather_rows(detail::value_or_none(x)), {x},
                [&ranks, first, shape = x.shape()](const Tensor& dy) -> std::vector<Tensor> {
                  Tensor sum = dy.clone();
                  ranks.all_reduce(sum);
                  Tensor dx = Tensor::empty_like(dy, shape);
                  backend_of(dx).slice(sum, 0, first, dx);
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
