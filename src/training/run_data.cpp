#include "training/run_data.h"

#include <algorithm>
#include <chrono>

namespace fer {
namespace {

using LookClock = std::chrono::steady_clock;

void note_warnings(const Dataset& dataset, TrainingObserver& observer) {
  for (const std::string& warning : dataset.info().warnings) {
    observer.on_note(concat(dataset.info().name, ", ", name_of(dataset.info().split), ": ", warning));
  }
}

/// Notes the progress every ten seconds.
ProgressFunction noting(TrainingObserver& observer) {
  return [&observer, noted = LookClock::now()](std::int64_t done, std::int64_t all) mutable {
    if (LookClock::now() - noted > std::chrono::seconds(10)) {
      noted = LookClock::now();
      observer.on_note(concat("examined ", done, " of ", all, " pictures"));
    }
    return !observer.wants_stop();
  };
}

}  // namespace

RunData open_data(const DatasetOptions& options) {
  const auto open = [&options](Split split) { return open_dataset(evaluation_data(options, split)); };
  return {open(Split::train), open(Split::test),
          options.validation_fraction > 0 ? open(Split::validation) : nullptr};
}

bool look_at_pictures(RunData& data, const RunConfig& config, SampleCache& cache, TrainingObserver& observer,
                      Communicator& ranks) {
  std::string problems;
  bool grey = data.train->info().channels == 1;
  for (std::shared_ptr<const Dataset>* part : {&data.train, &data.validation, &data.test}) {
    if (!*part || !(*part)->reads_files()) continue;
    const Examination examination =
        examine(**part, noting(observer), &cache, static_cast<int>(config.model.image_size()));
    if (ranks.agree(!examination.finished) != 0)
      throw Interrupted("interrupted while examining the pictures, before training");
    if (part == &data.train) grey = examination.all_grey;
    try {
      *part = without_bad(*part, examination, config.data.skip_bad);
    } catch (const DataError& error) {
      problems += (problems.empty() ? "" : "\n") + std::string(error.what());
    }
  }
  require<DataError>(problems.empty(), problems);
  for (const auto& part : {data.train, data.validation, data.test}) {
    if (part) note_warnings(*part, observer);
  }
  if (cache.is_full())
    observer.on_note(concat("the pictures do not all fit into half of the memory (",
                            SampleCache::half_of_memory() >> 20,
                            " MiB); those beyond it are read again in every epoch"));
  return grey;
}

}  // namespace fer
