// Uploader: copies host tensors to a device while its kernels run, so that the next step's inputs are
// uploaded during the current step.
//
//   fer::Uploader uploader(device);
//   auto next = uploader.start({batch.images, batch.labels});     // returns at once
//   ...                                                           // submit the work of this step
//   std::vector<fer::Tensor> inputs = uploader.finish(next);      // kernels submitted from here on read them
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

  /// Identifies an upload in progress.
  using Ticket = int;

  /// Starts copying CPU tensors; the caller may overwrite them when it returns. Undefined tensors stay
  /// undefined. Overwrites the results of the upload before the last: at most two are in use at a time.
  Ticket start(const std::vector<Tensor>& host);
  /// The tensors on the device; they are valid until the second start() from now.
  std::vector<Tensor> finish(Ticket ticket);

 private:
  /// One of two buffers, used in turn.
  struct Slot {
    std::vector<Tensor> device;
    std::vector<std::shared_ptr<void>> pinned;  ///< one per tensor, of the tensor's size
    std::unique_ptr<DeviceEvent> copied;        ///< after the copies of this slot
    std::unique_ptr<DeviceEvent> read;          ///< after the kernels that read its current contents
  };

  Device device_;
  std::array<Slot, 2> slots_;
  int next_ = 0;
};

}  // namespace fer
