// Fill, copy and cast. One thread per element, neighbours in neighbouring threads, so that every warp reads
// and writes whole lines. Floor: the bytes written, plus those that a copy or cast reads.
// Kernels convert between float32 and bf16, for the precision bf16. Other conversions of float16 and
// bfloat16, which only occur in files, run on the host.
#include "cuda/device_backend.h"
#include "cuda/op_support.h"
#include "cuda/storage.h"

namespace fer::FER_DEVICE_NAMESPACE {
namespace {

template <typename T>
struct Limits;
template <>
struct Limits<std::int64_t> {
  static constexpr std::int64_t least = -0x7fffffffffffffff - 1, greatest = 0x7fffffffffffffff;
};
template <>
struct Limits<std::int32_t> {
  static constexpr std::int32_t least = -0x7fffffff - 1, greatest = 0x7fffffff;
};
template <>
struct Limits<std::uint8_t> {
  static constexpr std::uint8_t least = 0, greatest = 255;
};

/// Converts like the CPU: rounds towards zero, clamps to the range, and turns NaN into 0.
template <typename To, typename From>
__host__ __device__ To convert(From x) {
  if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    constexpr From too_large = sizeof(To) == 8 ? From(0x1p63) : sizeof(To) == 4 ? From(0x1p31) : From(256);
    if (x >= too_large) return Limits<To>::greatest;
    if (x <= static_cast<From>(Limits<To>::least)) return Limits<To>::least;
    return x == x ? static_cast<To>(x) : To{0};
  } else {
    return static_cast<To>(x);
  }
}

template <typename From, typename To>
__global__ void cast_kernel(const From* x, To* y, index_t n) {
  for (index_t i = first_item(); i < n; i += item_step()) y[i] = convert<To>(x[i]);
}

/// Rounds to nearest even.
__global__ void to_bf16_kernel(const float* x, bf16* y, index_t n) {
  for (index_t i = first_item(); i < n; i += item_step()) y[i] = to_bf16(x[i]);
}

__global__ void from_bf16_kernel(const bf16* x, float* y, index_t n) {
  for (index_t i = first_item(); i < n; i += item_step()) y[i] = to_float(x[i]);
}

template <typename T>
__global__ void fill_kernel(T* y, T value, index_t n) {
  for (index_t i = first_item(); i < n; i += item_step()) y[i] = value;
}

/// Calls body(T{}) for the types that kernels know. Returns false for float16 and bfloat16.
template <typename Body>
bool dispatch(DType dtype, const Body& body) {
  switch (dtype) {
    case DType::float32:
      return body(float{}), true;
    case DType::float64:
      return body(double{}), true;
    case DType::int64:
      return body(std::int64_t{}), true;
    case DType::int32:
      return body(std::int32_t{}), true;
    case DType::uint8:
      return body(std::uint8_t{}), true;
    case DType::float16:
    case DType::bfloat16:
      break;
  }
  return false;
}

bool is_storage_type(DType dtype) {
  return dtype == DType::float16 || dtype == DType::bfloat16;
}

constexpr int threads = 256;

}  // namespace

void DeviceBackend::fill(Tensor& y, double value) {
  if (y.numel() == 0) return;
  if (y.dtype() == DType::bfloat16) {
    gpu::launch(fill_kernel<bf16>, blocks_for(y.numel(), threads), threads, 0, stream_,
                mutable_stored<bf16>(y), to_bf16(static_cast<float>(value)), y.numel());
    return;
  }
  const bool known = dispatch(y.dtype(), [&]<typename T>(T) {
    gpu::launch(fill_kernel<T>, blocks_for(y.numel(), threads), threads, 0, stream_,
                static_cast<T*>(y.mutable_raw()), convert<T>(value), y.numel());
  });
  if (!known) y.copy_from(Tensor::full(y.shape(), value, y.dtype()));
}

void DeviceBackend::copy(const Tensor& x, Tensor& y) {
  require<TypeError>(x.dtype() == y.dtype(), "[copy] types ", x.dtype(), " and ", y.dtype(), " differ");
  require_size("copy", "y", y, x.numel());
  if (x.numel() == 0 || x.raw() == y.mutable_raw()) return;
  gpu::memcpy_async(y.mutable_raw(), x.raw(), x.bytes(), gpu::CopyKind::device_to_device, stream_);
}

void DeviceBackend::cast(const Tensor& x, Tensor& y) {
  require_size("cast", "y", y, x.numel());
  if (x.numel() == 0) return;
  if (x.dtype() == y.dtype()) return copy(x, y);
  if (x.dtype() == DType::float32 && y.dtype() == DType::bfloat16) {
    gpu::launch(to_bf16_kernel, blocks_for(x.numel(), threads), threads, 0, stream_, x.data<float>(),
                static_cast<bf16*>(y.mutable_raw()), x.numel());
    return;
  }
  if (x.dtype() == DType::bfloat16 && y.dtype() == DType::float32) {
    gpu::launch(from_bf16_kernel, blocks_for(x.numel(), threads), threads, 0, stream_,
                static_cast<const bf16*>(x.raw()), y.mutable_data<float>(), x.numel());
    return;
  }
  if (is_storage_type(x.dtype()) || is_storage_type(y.dtype())) {
    y.copy_from(x.to(Device::cpu).to(y.dtype()).reshape(y.shape()));
    return;
  }
  dispatch(x.dtype(), [&]<typename From>(From) {
    dispatch(y.dtype(), [&]<typename To>(To) {
      gpu::launch(cast_kernel<From, To>, blocks_for(x.numel(), threads), threads, 0, stream_,
                  static_cast<const From*>(x.raw()), static_cast<To*>(y.mutable_raw()), x.numel());
    });
  });
}

}  // namespace fer::FER_DEVICE_NAMESPACE
