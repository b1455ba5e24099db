// Shared by all op files: checks of sizes, typed pointers, temporaries in device memory, and launch sizes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "cuda/gpu.h"
#include "fer/error.h"
#include "fer/tensor/backend.h"

namespace fer::FER_DEVICE_NAMESPACE {

using index_t = std::int64_t;

/// Kernels do not check sizes, so this check keeps a wrong size from corrupting memory. Throws ShapeError.
inline void require_size(std::string_view op, std::string_view name, const Tensor& tensor, index_t size) {
  require<ShapeError>(tensor.numel() == size, "[", op, "] ", name, " has shape ", tensor.shape(), ", but ",
                      size, " elements are needed");
}

/// The elements of an optional tensor, or nullptr if it is undefined.
template <typename T>
const T* data_or_null(const Tensor& tensor) {
  return tensor.defined() ? tensor.data<T>() : nullptr;
}
template <typename T>
T* mutable_data_or_null(Tensor& tensor) {
  return tensor.defined() ? tensor.mutable_data<T>() : nullptr;
}

/// A temporary array in device memory. It may be released while kernels that use it are still queued, because
/// the next user of its memory is queued behind them.
template <typename T>
class DeviceArray {
 public:
  DeviceArray(Backend& owner, index_t size)
      : owner_(owner),
        bytes_(static_cast<std::size_t>(size) * sizeof(T)),
        data_(bytes_ > 0 ? static_cast<T*>(owner.allocate(bytes_)) : nullptr) {}
  ~DeviceArray() {
    if (data_ != nullptr) owner_.release(data_, bytes_);
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return data_; }

 private:
  Backend& owner_;
  std::size_t bytes_;
  T* data_;
};

/// The number of blocks for `items` in a grid-stride loop: enough to fill a large GPU, few enough that a
/// block's set-up serves many items. Never 0.
inline unsigned blocks_for(index_t items, index_t items_per_block) {
  constexpr index_t most = 132 * 16;
  return static_cast<unsigned>(std::clamp<index_t>(ceil_div(items, items_per_block), 1, most));
}

/// The grid-stride loop: `for (index_t i = first_item(); i < n; i += item_step())`, one item per thread at a
/// time.
__device__ __forceinline__ index_t first_item() {
  return static_cast<index_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ index_t item_step() {
  return static_cast<index_t>(gridDim.x) * blockDim.x;
}

}  // namespace fer::FER_DEVICE_NAMESPACE
