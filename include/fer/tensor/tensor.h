// Tensor: a shaped, typed, contiguous, row-major array on a device. It has no gradient; a Variable
// (autograd/variable.h) has.
//
//   fer::Tensor x = fer::Tensor::from<float>({2, 3}, {1, 2, 3, 4, 5, 6});
//   fer::Tensor first_row = x.slice(0, 1);     // shares memory with x
//   fer::Tensor column = x.reshape({6, 1});    // so does this
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "fer/tensor/device.h"
#include "fer/tensor/dtype.h"
#include "fer/tensor/shape.h"

namespace fer {

/// Gives memory that fer did not allocate back to its owner. It must not throw.
using BlobDeleter = std::function<void(void* data)>;

/// A block of device memory, shared by the tensors that view it. `version` counts writes through any of
/// them; a changed version shows that a value saved for backward was overwritten.
struct Storage {
  /// Memory from the device's allocator.
  Storage(Device device, std::size_t bytes);
  /// External memory; `deleter`, which may be empty, is called when no tensor views it any more.
  Storage(Device device, std::size_t bytes, void* data, bool read_only, BlobDeleter deleter);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  Device device;
  std::size_t bytes;
  void* data;
  bool external = false, read_only = false;
  BlobDeleter deleter;
  std::atomic<std::uint64_t> version{0};
};

class Tensor {
 public:
  Tensor() = default;  ///< undefined: no storage; stands for "none" where an argument is optional

  /// Uninitialised memory.
  static Tensor empty(const Shape& shape, DType dtype = DType::float32, Device device = Device::cpu);
  static Tensor zeros(const Shape& shape, DType dtype = DType::float32, Device device = Device::cpu);
  static Tensor full(const Shape& shape, double value, DType dtype = DType::float32,
                     Device device = Device::cpu);
  /// Uninitialised, with the type and device of `other`, and its shape unless `shape` is given.
  static Tensor empty_like(const Tensor& other);
  static Tensor empty_like(const Tensor& other, const Shape& shape);
  static Tensor zeros_like(const Tensor& other);
  /// Copies `values` (row-major, exactly shape.numel() of them).
  template <typename T>
  static Tensor from(const Shape& shape, const std::vector<T>& values, Device device = Device::cpu);
  /// A tensor that views the memory at `data` without copying it: contiguous, row-major and aligned to its
  /// elements, on the device cpu or cuda. The memory must live until no tensor views it any more; `deleter`,
  /// if given, is called then. Memory passed as const cannot be written to (see is_read_only). ShapeError,
  /// ConfigError or DeviceError for invalid arguments; `deleter` is then not called.
  static Tensor from_blob(void* data, const Shape& shape, DType dtype, Device device = Device::cpu,
                          BlobDeleter deleter = {});
  static Tensor from_blob(const void* data, const Shape& shape, DType dtype, Device device = Device::cpu,
                          BlobDeleter deleter = {});
  /// The same with the type that `data` points to: Tensor::from_blob(pixels.data(), {480, 640, 3}).
  template <typename T>
  static Tensor from_blob(T* data, const Shape& shape, Device device = Device::cpu,
                          BlobDeleter deleter = {}) {
    return from_blob(data, shape, dtype_of<std::remove_const_t<T>>(), device, std::move(deleter));
  }
  /// A rank-0 tensor.
  static Tensor scalar(double value, DType dtype = DType::float32, Device device = Device::cpu);

  bool defined() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  int rank() const { return shape_.rank(); }
  std::int64_t dim(int i) const { return shape_[i]; }
  std::int64_t numel() const { return shape_.numel(); }
  DType dtype() const { return dtype_; }
  Device device() const;
  std::size_t bytes() const { return static_cast<std::size_t>(numel()) * size_of(dtype_); }

  /// Pointer to the first element, in the memory of device(). T must match dtype().
  template <typename T>
  const T* data() const;
  /// The same for writing; counts as a write (see Storage::version).
  template <typename T>
  T* mutable_data();
  const void* raw() const;
  void* mutable_raw();

  /// The same elements under another shape; one extent may be -1. Shares memory.
  Tensor reshape(const Shape& shape) const;
  /// Rows [start, start + length) of dimension 0. Shares memory.
  Tensor slice(std::int64_t start, std::int64_t length) const;
  /// This tensor on another device or with another type; the tensor itself if nothing changes.
  Tensor to(Device device) const;
  Tensor to(DType dtype) const;
  /// A copy that shares no memory with this tensor.
  Tensor clone() const;
  /// Overwrites all elements; shapes must be equal, type and device may differ.
  void copy_from(const Tensor& source);
  void fill(double value);

  /// The value of a one-element tensor of any type, copied from its device.
  double item() const;
  /// All elements, copied from the device; T must match dtype().
  template <typename T>
  std::vector<T> to_vector() const;

  std::uint64_t version() const { return storage_ ? storage_->version.load() : 0; }
  /// Whether fer allocated this memory and no other tensor views it, so that it may be reused in place.
  bool sole_owner() const { return storage_ && storage_.use_count() == 1 && !storage_->external; }
  /// Whether the tensor views constant memory; writing to it then throws TypeError. Its clone() is writable.
  bool is_read_only() const { return storage_ && storage_->read_only; }
  bool shares_memory_with(const Tensor& other) const { return storage_ && storage_ == other.storage_; }

 private:
  static Tensor of_external(void* data, bool read_only, const Shape& shape, DType dtype, Device device,
                            BlobDeleter deleter);
  void check_type(DType wanted) const;

  std::shared_ptr<Storage> storage_;
  std::size_t offset_ = 0;  // bytes
  Shape shape_;
  DType dtype_ = DType::float32;
};

template <typename T>
const T* Tensor::data() const {
  check_type(dtype_of<T>());
  return static_cast<const T*>(raw());
}

template <typename T>
T* Tensor::mutable_data() {
  check_type(dtype_of<T>());
  return static_cast<T*>(mutable_raw());
}

}  // namespace fer
