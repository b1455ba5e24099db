// The loader's threads: workers claim batch numbers in order, prepare batches in parallel and store them
// under their numbers, from where the consumer takes them.
#include "fer/data/loader.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>

#include "fer/error.h"
#include "fer/tensor/random.h"

namespace fer {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

struct DataLoader::State {
  /// A batch, or the error that occurred while preparing it.
  struct Outcome {
    std::optional<Batch> batch;
    std::exception_ptr error;
  };

  std::shared_ptr<const Dataset> dataset;
  LoaderOptions options;
  int channels = 3;
  std::int64_t batches = 0;

  std::mutex mutex;
  std::condition_variable work, ready;
  bool stopping = false;
  std::uint64_t generation = 0;  // incremented when the consumer jumps; older results are dropped
  std::int64_t claimed = 0;      // next global batch number (epoch * batches + number) to claim
  std::int64_t consumed = 0;     // the batch number that next() returns next
  std::int64_t epoch_end = 0;    // where next() returns nothing
  bool started = false;
  std::map<std::int64_t, Outcome> finished;
  std::map<std::int64_t, std::shared_ptr<const std::vector<std::int64_t>>> orders;  // by epoch
  double waiting = 0;

  std::mutex orders_mutex;

  std::vector<std::thread> threads;

  /// Also runs if the loader's constructor fails to start a later thread.
  ~State() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    work.notify_all();
    for (std::thread& thread : threads) thread.join();
  }

  std::vector<std::int64_t> make_order(std::int64_t epoch) const;
  std::shared_ptr<const std::vector<std::int64_t>> order(std::int64_t epoch);
  Batch prepare(std::int64_t global);
  Sample shaped_sample(std::int64_t i);
  void run_worker();
};

void LoaderOptions::follow(const InputSpec& spec) {
  image_size = static_cast<int>(spec.size);
  channels = spec.colour == InputColour::grey ? 1 : 0;  // one channel suffices for a grey data set
  normalisation = spec.normalisation;
}

Image network_picture(const Image& image, int side, int channels) {
  const auto coloured = [channels](const Image& sized) {
    return channels == 1 ? to_grey(sized) : to_rgb(sized);
  };
  const bool fits = image.height == side && image.width == side;
  return fits ? coloured(image) : coloured(resize(image, side, side));
}

SampleCache::SampleCache(std::size_t most_bytes) : most_bytes_(most_bytes) {}

std::size_t SampleCache::half_of_memory() {
  const auto pages = ::sysconf(_SC_PHYS_PAGES), page = ::sysconf(_SC_PAGESIZE);
  return pages > 0 && page > 0 ? static_cast<std::size_t>(pages) / 2 * static_cast<std::size_t>(page)
                               : std::size_t{1} << 30;
}

bool SampleCache::is_full() const {
  const std::lock_guard lock(mutex_);
  return full_;
}

std::optional<Sample> SampleCache::find(const std::string& name, int side, int channels) const {
  const std::lock_guard lock(mutex_);
  const auto found = samples_.find(name);
  if (found == samples_.end()) return std::nullopt;
  const Image& image = found->second.image;
  if (image.height != side || image.width != side) return std::nullopt;
  Sample sample = found->second;
  if (channels == 1) sample.image = to_grey(sample.image);
  return sample.image.channels == channels ? std::optional(std::move(sample)) : std::nullopt;
}

void SampleCache::keep(const std::string& name, const Sample& sample) {
  constexpr std::size_t besides = 512;  // a sample's other fields and its table entry
  const std::lock_guard lock(mutex_);
  const std::size_t bytes = sample.image.pixels.size() + name.size() + besides;
  full_ = full_ || bytes_ + bytes > most_bytes_;
  if (full_ || !samples_.emplace(name, sample).second) return;
  bytes_ += bytes;
}

std::vector<std::int64_t> DataLoader::State::make_order(std::int64_t epoch) const {
  const std::int64_t n = dataset->size();
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) order[static_cast<std::size_t>(i)] = i;
  if (options.balanced) {
    std::vector<std::int64_t> counts(static_cast<std::size_t>(dataset->classes()), 0);
    for (std::int64_t i = 0; i < n; ++i) ++counts[static_cast<std::size_t>(dataset->label(i))];
    std::vector<double> cumulative(static_cast<std::size_t>(n));
    double sum = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      sum += 1.0 / static_cast<double>(counts[static_cast<std::size_t>(dataset->label(i))]);
      cumulative[static_cast<std::size_t>(i)] = sum;
    }
    Random random({options.seed, fnv1a64("order.balanced"), static_cast<std::uint64_t>(epoch)});
    for (std::int64_t& i : order) {
      const auto found = std::upper_bound(cumulative.begin(), cumulative.end(), random.uniform() * sum);
      i = std::min<std::int64_t>(found - cumulative.begin(), n - 1);
    }
  } else if (options.shuffle) {
    Random random({options.seed, fnv1a64("order.shuffle"), static_cast<std::uint64_t>(epoch)});
    for (std::int64_t i = n - 1; i > 0; --i) {
      std::swap(order[static_cast<std::size_t>(i)], order[random.below(static_cast<std::uint64_t>(i) + 1)]);
    }
  }
  return order;
}

std::shared_ptr<const std::vector<std::int64_t>> DataLoader::State::order(std::int64_t epoch) {
  std::lock_guard lock(orders_mutex);
  auto& entry = orders[epoch];
  if (!entry) entry = std::make_shared<const std::vector<std::int64_t>>(make_order(epoch));
  auto result = entry;
  orders.erase(orders.begin(), orders.lower_bound(epoch - 1));
  return result;
}

Sample DataLoader::State::shaped_sample(std::int64_t i) {
  const int side = options.image_size;
  const std::string name = options.cache ? dataset->name(i) : "";
  if (options.cache) {
    if (std::optional<Sample> cached = options.cache->find(name, side, channels)) return std::move(*cached);
  }
  Sample sample = dataset->sample(i);
  sample.image = network_picture(sample.image, side, channels);
  if (options.cache) options.cache->keep(name, sample);
  return sample;
}

Batch DataLoader::State::prepare(std::int64_t global) {
  Batch batch;
  batch.epoch = global / batches;
  batch.number = global % batches;
  batch.normalisation = options.normalisation;
  const auto epoch_order = order(batch.epoch);
  const std::int64_t begin = batch.number * options.batch_size;
  const std::int64_t end =
      std::min<std::int64_t>(begin + options.batch_size, static_cast<std::int64_t>(epoch_order->size()));
  batch.global_size = end - begin;
  const std::int64_t first = begin + batch.global_size * options.rank / options.world;
  const std::int64_t last = begin + batch.global_size * (options.rank + 1) / options.world;
  batch.first = first - begin;
  const std::int64_t n = last - first, side = options.image_size;
  const DatasetInfo& info = dataset->info();
  batch.images = Tensor::empty({n, side, side, channels}, DType::uint8);
  batch.labels = Tensor::empty({n}, DType::int64);
  if (info.soft_labels) batch.targets = Tensor::empty({n, dataset->classes()});
  if (info.has_landmarks) batch.landmarks = Tensor::empty({n, 136});
  if (info.has_arousal) batch.arousal = Tensor::empty({n});
  auto* pixels = batch.images.mutable_data<std::uint8_t>();
  auto* labels = batch.labels.mutable_data<std::int64_t>();
  float* targets = info.soft_labels ? batch.targets.mutable_data<float>() : nullptr;
  float* landmarks = info.has_landmarks ? batch.landmarks.mutable_data<float>() : nullptr;
  float* arousal = info.has_arousal ? batch.arousal.mutable_data<float>() : nullptr;
  for (std::int64_t k = 0; k < n; ++k) {
    // A sample drawn twice in a balanced epoch is augmented differently each time, because augmentation
    // depends on the place in the order.
    const std::int64_t place = first + k, i = (*epoch_order)[static_cast<std::size_t>(place)];
    const Sample sample = shaped_sample(i);
    const Augmentation augmentation = draw_augmentation(options.augment, options.seed, batch.epoch,
                                                        options.balanced ? place : i, options.image_size);
    const Image augmented = fer::apply(augmentation, sample.image);
    std::copy(augmented.pixels.begin(), augmented.pixels.end(), pixels + k * side * side * channels);
    batch.transforms.push_back(augmentation.transform);
    batch.indices.push_back(i);
    labels[k] = sample.label;
    if (targets) std::copy(sample.target.begin(), sample.target.end(), targets + k * dataset->classes());
    if (arousal) arousal[k] = sample.arousal.value_or(std::nanf(""));
    if (landmarks) {
      require<DataError>(sample.landmarks.has_value(), dataset->name(i), ": has no landmarks");
      const Landmarks points = fer::apply(augmentation, *sample.landmarks);
      for (std::size_t p = 0; p < points.size(); ++p) {
        landmarks[k * 136 + static_cast<std::int64_t>(2 * p)] = points[p].x;
        landmarks[k * 136 + static_cast<std::int64_t>(2 * p) + 1] = points[p].y;
      }
    }
  }
  return batch;
}

void DataLoader::State::run_worker() {
  std::unique_lock lock(mutex);
  for (;;) {
    work.wait(lock, [this] { return stopping || (started && claimed < consumed + options.prefetch); });
    if (stopping) return;
    const std::int64_t mine = claimed++;
    const std::uint64_t my_generation = generation;
    lock.unlock();
    Outcome outcome;
    try {
      outcome.batch = prepare(mine);
    } catch (...) {
      outcome.error = std::current_exception();
    }
    lock.lock();
    if (my_generation == generation) {
      finished[mine] = std::move(outcome);
      ready.notify_all();
    }
  }
}

DataLoader::DataLoader(std::shared_ptr<const Dataset> dataset, const LoaderOptions& options)
    : state_(std::make_unique<State>()) {
  require<ConfigError>(dataset && dataset->size() > 0, "loader: the data set is empty");
  require<ConfigError>(options.batch_size > 0, "loader: batch_size must be positive, got ",
                       options.batch_size);
  require<ConfigError>(options.image_size > 0 && options.image_size <= 4096,
                       "loader: image_size must be 1 to 4096, got ", options.image_size);
  require<ConfigError>(options.channels == 0 || options.channels == 1 || options.channels == 3,
                       "loader: channels must be 1 or 3, got ", options.channels);
  require<ConfigError>(options.threads >= 0 && options.prefetch > 0,
                       "loader: threads must not be negative, prefetch positive");
  require<ConfigError>(options.world > 0 && options.rank >= 0 && options.rank < options.world,
                       "loader: rank ", options.rank, " of ", options.world, " processes");
  options.augment.check();
  for (std::int64_t i = 0; options.balanced && i < dataset->size(); ++i) {
    require<ConfigError>(dataset->label(i) >= 0, "loader: balanced sampling needs labels, '",
                         dataset->name(i), "' has none");
  }
  state_->dataset = std::move(dataset);
  state_->options = options;
  state_->channels = options.channels != 0 ? options.channels : state_->dataset->info().channels;
  const std::int64_t n = state_->dataset->size(), b = options.batch_size;
  // A data set smaller than one batch still gives one batch.
  state_->batches = options.drop_last ? std::max<std::int64_t>(1, n / b) : (n + b - 1) / b;
  try {
    for (int i = 0; i < options.threads; ++i)
      state_->threads.emplace_back([s = state_.get()] { s->run_worker(); });
  } catch (const std::system_error& error) {
    throw ConfigError(concat("loader: cannot start thread ", state_->threads.size() + 1, " of ",
                             options.threads, ": ", error.code().message(),
                             "; ask for fewer 'loader_threads', or raise the limit (ulimit -u)"));
  }
}

DataLoader::~DataLoader() = default;

const Dataset& DataLoader::dataset() const {
  return *state_->dataset;
}
const LoaderOptions& DataLoader::options() const {
  return state_->options;
}
std::int64_t DataLoader::batches() const {
  return state_->batches;
}

std::int64_t DataLoader::samples() const {
  return std::min(state_->dataset->size(), state_->batches * state_->options.batch_size);
}

std::vector<std::int64_t> DataLoader::order(std::int64_t epoch) const {
  return state_->make_order(epoch);
}

void DataLoader::start(std::int64_t epoch, std::int64_t batch) {
  State& s = *state_;
  require<ConfigError>(epoch >= 0 && batch >= 0 && batch <= s.batches, "loader: no batch ", batch,
                       " in epoch ", epoch);
  std::lock_guard lock(s.mutex);
  const std::int64_t wanted = epoch * s.batches + batch;
  if (!s.started || s.consumed != wanted) {
    ++s.generation;
    s.finished.clear();
    s.claimed = s.consumed = wanted;
    s.started = true;
  }
  s.epoch_end = (epoch + 1) * s.batches;
  s.work.notify_all();
}

std::optional<Batch> DataLoader::next() {
  State& s = *state_;
  std::unique_lock lock(s.mutex);
  require<ConfigError>(s.started, "loader: next() before start()");
  if (s.consumed >= s.epoch_end) return std::nullopt;
  const Clock::time_point begin = Clock::now();
  State::Outcome outcome;
  if (s.threads.empty()) {
    try {
      outcome.batch = s.prepare(s.consumed);
    } catch (...) {
      outcome.error = std::current_exception();
    }
  } else {
    s.ready.wait(lock, [&s] { return s.finished.count(s.consumed) > 0; });
    outcome = std::move(s.finished.extract(s.consumed).mapped());
  }
  s.waiting += std::chrono::duration<double>(Clock::now() - begin).count();
  ++s.consumed;
  s.work.notify_all();
  if (outcome.error) std::rethrow_exception(outcome.error);
  return std::move(outcome.batch);
}

double DataLoader::seconds_waiting() const {
  std::lock_guard lock(state_->mutex);
  return state_->waiting;
}

void DataLoader::reset_waiting() {
  std::lock_guard lock(state_->mutex);
  state_->waiting = 0;
}

}  // namespace fer
