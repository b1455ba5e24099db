// Looking at every picture of a data set, so that a damaged one does not end a training after hours.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "fer/data/dataset.h"
#include "fer/data/loader.h"

namespace fer {

/// Told after each sample how many of how many are done, by any thread but by one at a time; false ends the
/// work.
using ProgressFunction = std::function<bool(std::int64_t done, std::int64_t all)>;

struct Examination {
  std::vector<BadSample> bad;  ///< in their order
  bool all_grey = true;        ///< of the pictures that were read
  bool finished = true;        ///< false: ended by the progress function
};

/// Reads every sample, on all threads. With a cache, pictures are kept in it at `size` x `size`, so that they
/// need not be read again.
Examination examine(const Dataset& dataset, const ProgressFunction& progress = {},
                    SampleCache* cache = nullptr, int size = 0);

/// Calls body(i) for i = 0 .. n - 1 on all threads, in no order, until `progress` says no; false if it did.
/// Rethrows what a body throws.
bool parallel_samples(std::int64_t n, const ProgressFunction& progress,
                      const std::function<void(std::int64_t)>& body);

/// The data set without its bad samples. DataError, naming the first ten, if they and the files that were
/// missing when it was opened are more than `allowed`.
std::shared_ptr<const Dataset> without_bad(std::shared_ptr<const Dataset> dataset,
                                           const Examination& examination, std::int64_t allowed);

/// open_dataset() and, where DatasetOptions::skip_bad allows bad pictures, without_bad(): the samples that a
/// training with these options has.
std::shared_ptr<const Dataset> open_readable(const DatasetOptions& options);
/// The same, and every picture is read now, so that a bad one is not met after a long while; `cache` keeps
/// them at `size` x `size`.
std::shared_ptr<const Dataset> open_readable(const DatasetOptions& options, SampleCache& cache, int size);

}  // namespace fer
