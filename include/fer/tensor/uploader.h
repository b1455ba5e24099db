// Uploader: host tensors to a device, beside its kernels. What is wanted for the next step travels while the
// device computes this one.
//
//   fer::Uploader uploader(device);
//   auto next = uploader.start({batch.images, batch.labels});     // returns at once
//   ...                                                           // give the device the work of this step
//   std::vector<fer::Tensor> inputs = uploader.finish(next);      // kernels given from here on see the
//   copies
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "fer/tensor/device_runtime.h"
#include "fer/tensor/tensor.h"

namespace fer {

class Uploader {
 public:
  explicit Uploader(Device device);
  ~Uploader();
  Uploader(const Uploader&) = delete;
  Uploader& operator=(const Uploader&) = delete;

  /// Number of an upload under way.
  using Ticket = int;

  /// Starts copying tensors of the CPU; their memory may change when this returns. Undefined ones stay so.
  /// The results of the upload before the last are overwritten: at most two are in use at a time.
  Ticket start(const std::vector<Tensor>& host);
  /// The tensors on the device, which keep their memory until the second start() from now.
  std::vector<Tensor> finish(Ticket ticket);

 private:
  /// One of two places that take turns.
  struct Slot {
    std::vector<Tensor> device;
    std::vector<std::shared_ptr<void>> pinned;  ///< one a tensor, of its size
    std::unique_ptr<DeviceEvent> copied;        ///< behind its copies
    std::unique_ptr<DeviceEvent> read;          ///< behind the kernels that use what it holds now
  };

  Device device_;
  std::array<Slot, 2> slots_;
  int next_ = 0;
};

}  // namespace fer
