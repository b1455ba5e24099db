#include "fer/data/examine.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>

#include "data/sets/dataset_parts.h"
#include "fer/error.h"

namespace fer {

bool parallel_samples(std::int64_t n, const ProgressFunction& progress,
                      const std::function<void(std::int64_t)>& body) {
  std::int64_t done = 0;
  std::atomic<bool> stop{false};
  std::mutex mutex;
  std::exception_ptr error;
#pragma omp parallel for schedule(dynamic, 8)
  for (std::int64_t i = 0; i < n; ++i) {
    if (stop) continue;
    try {
      body(i);
      const std::lock_guard lock(mutex);
      ++done;
      if (progress && !progress(done, n)) stop = true;
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
      stop = true;
    }
  }
  if (error) std::rethrow_exception(error);
  return !stop;
}

Examination examine(const Dataset& dataset, const ProgressFunction& progress, SampleCache* cache, int size) {
  Examination result;
  std::mutex mutex;
  std::atomic<bool> all_grey{true};
  const int channels = dataset.info().channels;
  result.finished = parallel_samples(dataset.size(), progress, [&](std::int64_t i) {
    try {
      Sample sample = dataset.sample(i);
      if (all_grey && !is_grey(sample.image)) all_grey = false;
      if (!cache) return;
      if (sample.image.height != size || sample.image.width != size)
        sample.image = resize(sample.image, size, size);
      sample.image = channels == 1 ? to_grey(sample.image) : to_rgb(sample.image);
      cache->keep(dataset.name(i), sample);
    } catch (const Error& error) {
      const std::lock_guard lock(mutex);
      result.bad.push_back({i, error.what()});
    }
  });
  std::sort(result.bad.begin(), result.bad.end(),
            [](const BadSample& a, const BadSample& b) { return a.index < b.index; });
  result.all_grey = all_grey;
  return result;
}

std::shared_ptr<const Dataset> without_bad(std::shared_ptr<const Dataset> dataset,
                                           const Examination& examination, std::int64_t allowed) {
  const auto bad = static_cast<std::int64_t>(examination.bad.size());
  std::vector<std::string> reasons;
  for (const BadSample& sample : examination.bad) reasons.push_back(sample.reason);
  const DatasetInfo& info = dataset->info();
  std::int64_t missing = 0;
  for (const LeftOut& entry : info.left_out) missing += entry.rule == "missing" ? entry.count : 0;
  require<DataError>(bad == 0 || bad + missing <= allowed, "data set '", info.name, "', ",
                     name_of(info.split), ": ", bad, " of ", dataset->size(), " pictures cannot be read:\n  ",
                     detail::first_ten(reasons), "\n--skip-bad ", bad + missing, " leaves them out");
  return without(std::move(dataset), examination.bad);
}

std::shared_ptr<const Dataset> open_readable(const DatasetOptions& options) {
  auto dataset = open_dataset(options);
  if (options.skip_bad == 0 || !dataset->reads_files()) return dataset;
  const Examination examination = examine(*dataset);
  return without_bad(std::move(dataset), examination, options.skip_bad);
}

std::shared_ptr<const Dataset> open_readable(const DatasetOptions& options, SampleCache& cache, int size) {
  auto dataset = open_dataset(options);
  if (!dataset->reads_files()) return dataset;
  const Examination examination = examine(*dataset, {}, &cache, size);
  return without_bad(std::move(dataset), examination, options.skip_bad);
}

}  // namespace fer
