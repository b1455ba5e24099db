#include "fer/tensor/tensor.h"

#include <cstdint>
#include <limits>
#include <utility>

#include "fer/tensor/backend.h"

namespace fer {
namespace {

/// Bytes of a tensor. ShapeError if no tensor can have this shape.
std::size_t bytes_of(const Shape& shape, DType dtype) {
  std::size_t bytes = size_of(dtype);
  for (std::int64_t extent : shape) {
    require<ShapeError>(extent >= 0, "a tensor cannot have the negative extent in ", shape);
    require<ShapeError>(
        extent == 0 || bytes <= static_cast<std::size_t>(std::numeric_limits<std::int64_t>::max()) / extent,
        "a tensor of shape ", shape, " is larger than any memory");
    bytes *= static_cast<std::size_t>(extent);
  }
  return bytes;
}

}  // namespace

Storage::Storage(Device device_, std::size_t bytes_)
    : device(device_), bytes(bytes_), data(bytes_ ? backend(device_).allocate(bytes_) : nullptr) {}

Storage::Storage(Device device_, std::size_t bytes_, void* data_, bool read_only_, BlobDeleter deleter_)
    : device(device_),
      bytes(bytes_),
      data(data_),
      external(true),
      read_only(read_only_),
      deleter(std::move(deleter_)) {}

Storage::~Storage() {
  if (!external) {
    if (data) backend(device).release(data, bytes);
    return;
  }
  if (!deleter) return;
  if (device != Device::cpu) {
    // The owner may reuse the memory immediately, and does not know of reads that are queued on the device.
    try {
      backend(device).synchronize();
    } catch (const Error&) {
      // The device has failed, so nothing reads the memory any more. The next use of the device reports it.
    }
  }
  deleter(data);
}

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
  Tensor t;
  t.shape_ = shape;
  t.dtype_ = dtype;
  t.storage_ = std::make_shared<Storage>(device, bytes_of(shape, dtype));
  return t;
}

Tensor Tensor::from_blob(void* data, const Shape& shape, DType dtype, Device device, BlobDeleter deleter) {
  return of_external(data, false, shape, dtype, device, std::move(deleter));
}

Tensor Tensor::from_blob(const void* data, const Shape& shape, DType dtype, Device device,
                         BlobDeleter deleter) {
  return of_external(const_cast<void*>(data), true, shape, dtype, device, std::move(deleter));
}

Tensor Tensor::of_external(void* data, bool read_only, const Shape& shape, DType dtype, Device device,
                           BlobDeleter deleter) {
  const std::size_t bytes = bytes_of(shape, dtype);
  require<ConfigError>(data != nullptr || bytes == 0, "from_blob: a tensor of shape ", shape, " and type ",
                       dtype, " needs ", bytes, " bytes, and the pointer to them is null");
  const std::size_t beyond = reinterpret_cast<std::uintptr_t>(data) % size_of(dtype);
  require<ConfigError>(beyond == 0, "from_blob: elements of ", dtype, " lie at multiples of ", size_of(dtype),
                       " bytes, and the address is ", beyond, " beyond one");
  require<DeviceError>(device != Device::simt,
                       "from_blob: the device simt checks every access against memory that it allocated "
                       "itself; make the tensor on the device cpu and copy it: to(Device::simt)");
  backend(device);  // DeviceError if there is none
  Tensor t;
  t.shape_ = shape;
  t.dtype_ = dtype;
  t.storage_ = std::make_shared<Storage>(device, bytes, data, read_only, std::move(deleter));
  return t;
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device) {
  return full(shape, 0.0, dtype, device);
}

Tensor Tensor::full(const Shape& shape, double value, DType dtype, Device device) {
  Tensor t = empty(shape, dtype, device);
  t.fill(value);
  return t;
}

Tensor Tensor::empty_like(const Tensor& other) {
  return empty(other.shape(), other.dtype(), other.device());
}

Tensor Tensor::empty_like(const Tensor& other, const Shape& shape) {
  return empty(shape, other.dtype(), other.device());
}

Tensor Tensor::zeros_like(const Tensor& other) {
  return zeros(other.shape(), other.dtype(), other.device());
}

Tensor Tensor::scalar(double value, DType dtype, Device device) {
  return full({}, value, dtype, device);
}

template <typename T>
Tensor Tensor::from(const Shape& shape, const std::vector<T>& values, Device device) {
  require<ShapeError>(static_cast<std::int64_t>(values.size()) == shape.numel(), "shape ", shape, " needs ",
                      shape.numel(), " values, got ", values.size());
  Tensor t = empty(shape, dtype_of<T>(), device);
  if (t.bytes()) backend(device).copy_from_host(t.mutable_raw(), values.data(), t.bytes());
  return t;
}

Device Tensor::device() const {
  require(defined(), "an undefined tensor has no device");
  return storage_->device;
}

const void* Tensor::raw() const {
  require(defined(), "an undefined tensor has no data");
  return static_cast<const std::byte*>(storage_->data) + offset_;
}

void* Tensor::mutable_raw() {
  require(defined(), "an undefined tensor has no data");
  require<TypeError>(!storage_->read_only, "a tensor of shape ", shape_,
                     " views constant memory and cannot be written to; clone() it first");
  ++storage_->version;
  return static_cast<std::byte*>(storage_->data) + offset_;
}

void Tensor::check_type(DType wanted) const {
  require<TypeError>(defined(), "an undefined tensor has no data");
  require<TypeError>(dtype_ == wanted, "a tensor of ", dtype_, " was accessed as ", wanted);
}

Tensor Tensor::reshape(const Shape& shape) const {
  Shape wanted = shape;
  int unknown = -1;
  std::int64_t known = 1;
  for (int i = 0; i < shape.rank(); ++i) {
    if (shape[i] == -1) {
      require<ShapeError>(unknown < 0, "reshape to ", shape, ": at most one extent may be -1");
      unknown = i;
    } else {
      known *= shape[i];
    }
  }
  if (unknown >= 0) {
    require<ShapeError>(known > 0 && numel() % known == 0, "cannot reshape ", shape_, " to ", shape);
    wanted.set(unknown, numel() / known);
  }
  require<ShapeError>(wanted.numel() == numel(), "cannot reshape ", shape_, " to ", shape);
  Tensor t = *this;
  t.shape_ = wanted;
  return t;
}

Tensor Tensor::slice(std::int64_t start, std::int64_t length) const {
  require<ShapeError>(rank() > 0 && start >= 0 && length >= 0 && start + length <= dim(0), "slice [", start,
                      ", ", start + length, ") leaves dimension 0 of ", shape_);
  Tensor t = *this;
  t.shape_.set(0, length);
  const std::int64_t row = dim(0) == 0 ? 0 : numel() / dim(0);
  t.offset_ += static_cast<std::size_t>(start * row) * size_of(dtype_);
  return t;
}

Tensor Tensor::to(Device target) const {
  if (target == device()) return *this;
  Tensor t = empty(shape_, dtype_, target);
  t.copy_from(*this);
  return t;
}

Tensor Tensor::to(DType target) const {
  if (target == dtype_) return *this;
  Tensor t = empty(shape_, target, device());
  backend(device()).cast(*this, t);
  return t;
}

Tensor Tensor::clone() const {
  if (!defined()) return {};
  Tensor t = empty_like(*this);
  t.copy_from(*this);
  return t;
}

void Tensor::copy_from(const Tensor& source) {
  require<ShapeError>(source.shape() == shape_, "copy_from: shapes ", shape_, " and ", source.shape(),
                      " differ");
  if (numel() == 0) return;
  const Tensor converted = source.to(dtype_);
  if (converted.device() == device()) {
    backend(device()).copy(converted, *this);
  } else if (device() == Device::cpu) {
    backend(converted.device()).copy_to_host(mutable_raw(), converted.raw(), bytes());
  } else if (converted.device() == Device::cpu) {
    backend(device()).copy_from_host(mutable_raw(), converted.raw(), bytes());
  } else {
    copy_from(converted.to(Device::cpu));
  }
}

void Tensor::fill(double value) {
  if (numel() > 0) backend(device()).fill(*this, value);
}

double Tensor::item() const {
  require<ShapeError>(numel() == 1, "item() needs one element, the shape is ", shape_);
  const Tensor host = to(Device::cpu).to(DType::float64);
  return *host.data<double>();
}

template <typename T>
std::vector<T> Tensor::to_vector() const {
  check_type(dtype_of<T>());
  std::vector<T> values(static_cast<std::size_t>(numel()));
  if (!values.empty()) backend(device()).copy_to_host(values.data(), raw(), bytes());
  return values;
}

#define FER_INSTANTIATE(T)                                                      \
  template Tensor Tensor::from<T>(const Shape&, const std::vector<T>&, Device); \
  template std::vector<T> Tensor::to_vector<T>() const;
FER_INSTANTIATE(float)
FER_INSTANTIATE(double)
FER_INSTANTIATE(std::int64_t)
FER_INSTANTIATE(std::int32_t)
FER_INSTANTIATE(std::uint8_t)
#undef FER_INSTANTIATE

}  // namespace fer
