// Batches for a device: copies the pictures of the next batch while the device computes the current one.
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
  /// As DataLoader::next(), with Batch::images on the device. Their memory is reused two calls later.
  std::optional<Batch> next();

 private:
  /// Takes a batch from the loader and starts copying its pictures.
  void send();

  DataLoader& loader_;
  bool ahead_;  ///< whether to copy the next batch ahead: only if the device has a queue; a CPU does not
  Uploader uploader_;
  std::optional<Batch> sent_;
  Uploader::Ticket ticket_ = 0;
};

}  // namespace fer
