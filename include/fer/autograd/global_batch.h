// GlobalBatch: the batch of this process as a part of a larger batch, which the processes of a run share. While
// one is alive, this thread computes what one process would compute for the whole batch: batch norm takes its
// statistics from all samples, dropout masks a sample by its place in the whole batch, and losses are shares of
// the loss of the whole batch, so that gradients summed over the ranks are its gradients. The first dimension
// of all data is that of the samples, or of several rows for each.
//
//   const fer::GlobalBatch batch(ranks, first, samples, all);   // samples first .. first + samples of `all`
//   criterion(model(x), labels).backward();
//   ...                                                         // sums the gradients over the ranks
//
// Some of these operations communicate, also in backward, so all ranks run the same ones in the same order.
// Backward of what checkpoint() has wrapped runs forward again, and must do so within the same GlobalBatch.
#pragma once

#include <cstdint>

#include "fer/autograd/variable.h"
#include "fer/tensor/communicator.h"

namespace fer {

class GlobalBatch {
 public:
  /// ConfigError if there is no sample here, as a mean over none is undefined.
  GlobalBatch(Communicator& ranks, std::int64_t first, std::int64_t samples, std::int64_t all);
  ~GlobalBatch();
  GlobalBatch(const GlobalBatch&) = delete;
  GlobalBatch& operator=(const GlobalBatch&) = delete;

  /// The innermost one of this thread; null if there is none, or if it has a single rank.
  static const GlobalBatch* current();

  Communicator& ranks() const { return ranks_; }
  std::int64_t first() const { return first_; }      ///< place of this rank's first sample in the whole batch
  std::int64_t samples() const { return samples_; }  ///< of this rank
  std::int64_t all() const { return all_; }          ///< samples of the whole batch

 private:
  Communicator& ranks_;
  std::int64_t first_, samples_, all_;
  const GlobalBatch* outer_;
};

/// The rows of the whole batch, in order, given this rank's, one for each sample; x itself outside of a
/// GlobalBatch. Gradient: the sum of all ranks' dy, of which each takes its own rows.
Variable gather_rows(const Variable& x);
Tensor gather_rows(const Tensor& x);

/// What this rank contributes to the mean over the whole batch, given the mean over its own samples: the
/// shares of all ranks add up to it. `mean` itself outside of a GlobalBatch.
Variable share_of_mean(const Variable& mean);
/// The same for a loss that every rank computes for the whole batch.
Variable share_of_common(const Variable& loss);

}  // namespace fer
