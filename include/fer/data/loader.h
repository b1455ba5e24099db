// DataLoader: batches of a data set, prepared ahead by worker threads. Order and augmentation depend only on
// (seed, epoch), so batches are the same for any number of threads, and an epoch can start at any batch.
//
//   fer::DataLoader train(dataset, {.batch_size = 144, .shuffle = true, .seed = 1});
//   for (const fer::Batch& batch : train.epoch(epoch, device))
//     loss = fer::cross_entropy(net(batch.x), batch.labels);
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "fer/data/augment.h"
#include "fer/data/dataset.h"
#include "fer/formats/input_spec.h"
#include "fer/tensor/tensor.h"

namespace fer {

/// Keeps pictures in their final size in memory, so that they are read (or drawn) and resized only once.
/// Loaders may share a cache if their data sets have the same samples under the same names, as the splits of
/// `faces` do.
class SampleCache {
 public:
  /// Keeps up to `most_bytes` of pictures, by default half of this machine's memory. Later pictures are not
  /// kept.
  explicit SampleCache(std::size_t most_bytes = half_of_memory());
  static std::size_t half_of_memory();
  bool is_full() const;

  /// The sample of this name, if it was kept with a picture of this size; converted to grey if `channels` is
  /// 1.
  std::optional<Sample> find(const std::string& name, int side, int channels) const;
  void keep(const std::string& name, const Sample& sample);

 private:
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Sample> samples_;
  std::size_t most_bytes_, bytes_ = 0;
  bool full_ = false;
};

struct LoaderOptions {
  std::int64_t batch_size = 144;  ///< over all ranks
  int image_size = 112;           ///< pictures are resized to image_size x image_size
  int channels = 0;               ///< 1: grey; 3; 0: as the data set says (DatasetInfo::channels)
  Normalisation normalisation{};  ///< of Batch
  bool shuffle = false;
  bool balanced = false;  ///< draw with replacement, weights 1 / class count, size() draws an epoch; shuffles
  bool drop_last = false;  ///< leave out a last batch that is not full
  AugmentOptions augment = AugmentOptions::none();
  std::uint64_t seed = 1;
  int threads = 2;   ///< 0: prepare each batch when it is asked for
  int prefetch = 4;  ///< batches ready or in preparation ahead of the consumer
  std::shared_ptr<SampleCache>
      cache{};              ///< keeps the resized pictures, image_size^2 * channels bytes each; may be null
  int rank = 0, world = 1;  ///< each rank gets its contiguous share of every batch

  /// Sets size, colour and normalisation of the batches to those of `spec`.
  void follow(const InputSpec& spec);
};

/// N samples (this rank's share of the batch).
struct Batch {
  Tensor x;  ///< float32 N x S x S x 3, network_input() on the device; only from DataLoader::epoch()
  std::int64_t epoch = 0, number = 0;      ///< number: of the batch within its epoch
  std::int64_t global_size = 0;            ///< samples of the batch over all ranks
  std::int64_t first = 0;                  ///< place of this rank's first sample among them
  Tensor images;                           ///< uint8 N x S x S x C
  std::vector<ImageTransform> transforms;  ///< N, for Backend::preprocess_images
  Normalisation normalisation;             ///< that the network expects, for the same
  Tensor labels;                           ///< int64 N
  Tensor targets;                          ///< float32 N x K; only where the data set has soft labels
  Tensor landmarks;  ///< float32 N x 136, x y x y ... in [0, 1] after flip and warp; if known
  Tensor arousal;    ///< float32 N, NaN where unknown; only where the data set has it
  std::vector<std::int64_t> indices;  ///< N, of the samples in the data set
};

/// A picture as a network's input bytes: resized to side x side, then grey or RGB according to `channels`.
Image network_picture(const Image& image, int side, int channels);

/// The pictures of a batch (uint8) as network input on `device`, float32 N x S x S x 3: flipped, normalised
/// by Batch::normalisation, erased (Backend::preprocess_images). The three channels of a grey picture are
/// equal before normalisation.
Tensor network_input(const Batch& batch, Device device);

class BatchFeed;
class DataLoader;

/// The batches of an epoch on a device; a range to loop over once. See DataLoader::epoch().
class EpochBatches {
 public:
  class Iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using value_type = Batch;
    using difference_type = std::ptrdiff_t;

    const Batch& operator*() const { return *batch_; }
    const Batch* operator->() const { return &*batch_; }
    Iterator& operator++();
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return !batch_; }

   private:
    friend class EpochBatches;
    std::shared_ptr<BatchFeed> feed_;
    Device device_ = Device::cpu;
    std::optional<Batch> batch_;
  };

  /// Starts the epoch.
  Iterator begin() const;
  std::default_sentinel_t end() const { return {}; }

 private:
  friend class DataLoader;
  EpochBatches(DataLoader& loader, std::int64_t epoch, Device device)
      : loader_(&loader), epoch_(epoch), device_(device) {}

  DataLoader* loader_;
  std::int64_t epoch_;
  Device device_;
};

class DataLoader {
 public:
  /// ConfigError for options out of range or an empty data set.
  DataLoader(std::shared_ptr<const Dataset> dataset, const LoaderOptions& options);
  ~DataLoader();
  DataLoader(const DataLoader&) = delete;
  DataLoader& operator=(const DataLoader&) = delete;

  const Dataset& dataset() const;
  const LoaderOptions& options() const;
  /// Batches in an epoch.
  std::int64_t batches() const;
  /// Samples in an epoch, over all ranks.
  std::int64_t samples() const;
  /// The indices of the data set's samples in the order of an epoch.
  std::vector<std::int64_t> order(std::int64_t epoch) const;

  /// The batches of an epoch, with Batch::x, labels, targets and landmarks on `device`. While the device
  /// computes on one batch, the pictures of the next are uploaded. The loader must outlive the loop.
  EpochBatches epoch(std::int64_t epoch, Device device = Device::cpu) { return {*this, epoch, device}; }

  /// For custom loops, without a device. Makes (epoch, batch) the next batch. It is cheap if that batch comes
  /// next anyway: at the end of an epoch the workers continue with the following one.
  void start(std::int64_t epoch, std::int64_t batch = 0);
  /// The next batch; nothing at the end of the epoch. Rethrows a worker's exception from preparing this
  /// batch.
  std::optional<Batch> next();

  /// Seconds that next() waited for workers since construction or reset_waiting().
  double seconds_waiting() const;
  void reset_waiting();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace fer
