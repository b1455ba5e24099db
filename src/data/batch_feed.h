// Batches for a device: the pictures of the next one travel while the device computes this one.
#pragma once

#include <optional>

#include "fer/data/loader.h"
#include "fer/tensor/uploader.h"

namespace fer {

class BatchFeed {
 public:
  BatchFeed(DataLoader& loader, Device device);

  /// As DataLoader::start().
  void start(std::int64_t epoch, std::int64_t batch);
  /// As DataLoader::next(), with Batch::images on the device. They keep their memory until the call after the
  /// next.
  std::optional<Batch> next();

 private:
  /// Takes a batch from the loader and sends its pictures on their way.
  void send();

  DataLoader& loader_;
  bool ahead_;  ///< the device has a queue; on the CPU there is nothing to overlap
  Uploader uploader_;
  std::optional<Batch> sent_;
  Uploader::Ticket ticket_ = 0;
};

}  // namespace fer
