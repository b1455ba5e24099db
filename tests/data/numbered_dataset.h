// A data set for tests of the loader.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "fer/data/loader.h"
#include "fer/error.h"

namespace fer::test {

/// Numbered pictures: sample i is filled with i mod 256, and its landmarks are at (i / size, 1/4). Counts its
/// reads, and can fail at one sample or read slowly.
class NumberedDataset : public Dataset {
 public:
  explicit NumberedDataset(std::int64_t size, int classes = 3) : size_(size) {
    info_.name = "numbered";
    for (int c = 0; c < classes; ++c) info_.class_names.push_back(concat("class ", c));
    info_.channels = 1;
    info_.has_landmarks = info_.has_arousal = true;
  }

  DatasetInfo& change_info() { return info_; }
  std::vector<std::int64_t> labels;  ///< empty: i mod classes
  std::int64_t broken = -1;
  std::int64_t pointless = -1;  ///< the sample without landmarks
  std::chrono::milliseconds delay{0};
  int side = 12;
  mutable std::atomic<int> reads{0}, within{0};

  std::int64_t size() const override { return size_; }
  std::int64_t label(std::int64_t i) const override {
    return labels.empty() ? i % classes() : labels.at(static_cast<std::size_t>(i));
  }
  std::string name(std::int64_t i) const override { return concat("picture ", i); }
  Sample sample(std::int64_t i) const override {
    ++within;
    ++reads;
    std::this_thread::sleep_for(delay);
    --within;
    require<IoError>(i != broken, name(i), ": cannot be read");
    Sample sample;
    sample.image = Image(side, side, info_.channels, static_cast<std::uint8_t>(i));
    sample.label = label(i);
    if (info_.soft_labels) {
      sample.target.assign(info_.class_names.size(), 0.0f);
      sample.target[static_cast<std::size_t>(sample.label)] = 0.75f;
    }
    if (i % 2 == 0) sample.arousal = static_cast<float>(i) / 100;
    if (i != pointless) {
      Landmarks points;
      points.fill({static_cast<float>(i) / static_cast<float>(size_), 0.25f});
      sample.landmarks = points;
    }
    return sample;
  }

 private:
  std::int64_t size_;
};

inline std::shared_ptr<NumberedDataset> numbered(std::int64_t size, int classes = 3) {
  return std::make_shared<NumberedDataset>(size, classes);
}

inline LoaderOptions loader_options(std::int64_t batch_size, int threads = 0) {
  LoaderOptions options;
  options.batch_size = batch_size;
  options.image_size = 12;
  options.threads = threads;
  return options;
}

}  // namespace fer::test
