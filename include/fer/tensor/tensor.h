// Tensor: a shaped, typed, contiguous, row-major array on a device. No gradients here: see
// autograd/variable.h.
//
//   fer::Tensor x = fer::Tensor::from<float>({2, 3}, {1, 2, 3, 4, 5, 6});
//   fer::Tensor first_row = x.slice(0, 1);     // shares memory with x
//   fer::Tensor column = x.reshape({6, 1});    // so does this
#pragma once

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <vector>

#include "fer/tensor/device.h"
#include "fer/tensor/dtype.h"
#include "fer/tensor/shape.h"

namespace fer {

/// A block of device memory, shared by the tensors that view it. `version` counts writes through any of
/// them, so that a value saved for backward and then overwritten is noticed.
struct Storage {
  Storage(Device device, std::size_t bytes);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  Device device;
  std::size_t bytes;
  void* data;
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
  /// Uninitialised, with the type and device of `other`, and its shape unless one is given.
  static Tensor empty_like(const Tensor& other);
  static Tensor empty_like(const Tensor& other, const Shape& shape);
  static Tensor zeros_like(const Tensor& other);
  /// Copies `values` (row-major, exactly shape.numel() of them).
  template <typename T>
  static Tensor from(const Shape& shape, const std::vector<T>& values, Device device = Device::cpu);
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
  /// This tensor on another device or in another type; itself if nothing changes.
  Tensor to(Device device) const;
  Tensor to(DType dtype) const;
  /// A copy in memory of its own.
  Tensor clone() const;
  /// Overwrites all elements; shapes must agree, type and device may differ.
  void copy_from(const Tensor& source);
  void fill(double value);

  /// The value of a one-element tensor of any type, fetched from its device.
  double item() const;
  /// All elements, fetched from the device; T must match dtype().
  template <typename T>
  std::vector<T> to_vector() const;

  std::uint64_t version() const { return storage_ ? storage_->version.load() : 0; }
  /// Whether no other tensor views this memory, so that it may be reused in place.
  bool sole_owner() const { return storage_ && storage_.use_count() == 1; }
  bool shares_memory_with(const Tensor& other) const { return storage_ && storage_ == other.storage_; }

 private:
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
