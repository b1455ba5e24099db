// Reads every picture of a data set, so that a damaged one does not end a training run after hours.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "fer/data/dataset.h"
#include "fer/data/loader.h"

namespace fer {

/// Called after each sample, by any thread but only one at a time, with the number done and the total. Stops
/// the work by returning false.
using ProgressFunction = std::function<bool(std::int64_t done, std::int64_t all)>;

struct Examination {
  std::vector<BadSample> bad;  ///< in the data set's order
  bool all_grey = true;        ///< of the pictures that were read
  bool finished = true;        ///< false: ended by the progress function
};

/// Reads every sample, on all threads. With a cache, it stores the pictures there at `size` x `size`, so that
/// they need not be read again.
Examination examine(const Dataset& dataset, const ProgressFunction& progress = {},
                    SampleCache* cache = nullptr, int size = 0);

/// Calls body(i) for i = 0 .. n - 1 on all threads, in any order, until `progress` returns false; then
/// returns false. Rethrows an exception from a body.
bool parallel_samples(std::int64_t n, const ProgressFunction& progress,
                      const std::function<void(std::int64_t)>& body);

/// The data set without its bad samples. DataError, naming the first ten, if there are more than `allowed`,
/// including the files that were missing when the data set was opened.
std::shared_ptr<const Dataset> without_bad(std::shared_ptr<const Dataset> dataset,
                                           const Examination& examination, std::int64_t allowed);

/// open_dataset() and, if DatasetOptions::skip_bad allows bad pictures, without_bad(): the samples that
/// training with these options uses.
std::shared_ptr<const Dataset> open_readable(const DatasetOptions& options);
/// The same, but reads every picture now, so that a bad one is found at once; `cache` keeps them at
/// `size` x `size`.
std::shared_ptr<const Dataset> open_readable(const DatasetOptions& options, SampleCache& cache, int size);

}  // namespace fer
