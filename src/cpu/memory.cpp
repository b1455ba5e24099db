// Memory of the CPU backend: allocation (from the arena, counted), fill, copy and casts between all element
// types.
#include <omp.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "cpu/arena.h"
#include "cpu/cpu_backend.h"
#include "cpu/highway_targets.h"
#include "cpu/parallel.h"
#include "hwy/highway.h"

namespace fer {
namespace {

// Storage types: stored as bits, converted from and to float.
struct Half {
  std::uint16_t bits;
};
struct BFloat16 {
  std::uint16_t bits;
};

float to_float(BFloat16 x) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16);
}

float to_float(Half x) {
  const std::uint32_t sign = static_cast<std::uint32_t>(x.bits & 0x8000) << 16;
  const std::uint32_t exponent = x.bits >> 10 & 0x1F, fraction = x.bits & 0x3FF;
  if (exponent == 0) {  // zero or subnormal: fraction * 2^-24 is exact in float
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(static_cast<float>(fraction) * 0x1p-24f));
  }
  const std::uint32_t wide = exponent == 31 ? 255 : exponent + 127 - 15;
  return std::bit_cast<float>(sign | wide << 23 | fraction << 13);
}

// Both round to nearest, ties to even. Values that are too large become infinity.
BFloat16 to_bfloat16(float x) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  if ((bits & 0x7FFFFFFF) > 0x7F800000)
    return {static_cast<std::uint16_t>(bits >> 16 | 0x40)};  // a quiet NaN
  return {static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16)};
}

Half to_half(float x) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x), magnitude = bits & 0x7FFFFFFF;
  const auto sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000);
  const auto with_sign = [&](std::uint32_t rest) { return Half{static_cast<std::uint16_t>(sign | rest)}; };
  if (magnitude > 0x7F800000) return with_sign(0x7E00);   // NaN
  if (magnitude >= 0x477FF000) return with_sign(0x7C00);  // 65520 and more round to infinity
  if (magnitude < 0x38800000) {                           // below 2^-14: a multiple of 2^-24
    // Adding 0.5, whose last bit is 2^-24, leaves the rounded multiple in the low bits.
    const float sum = std::bit_cast<float>(magnitude) + 0.5f;
    return with_sign(std::bit_cast<std::uint32_t>(sum) - std::bit_cast<std::uint32_t>(0.5f));
  }
  const std::uint32_t rounded = magnitude + 0xFFF + (magnitude >> 13 & 1);
  return with_sign((rounded - ((127u - 15u) << 23)) >> 13);
}

// Rounds to odd: an inexact result has its last bit set. Rounding it again, to a type at least two bits
// narrower, gives the same result as rounding x once.
float to_odd_float(double x) {
  const float nearest = static_cast<float>(x);
  if (static_cast<double>(nearest) == x || !std::isfinite(nearest)) return nearest;
  std::uint32_t bits = std::bit_cast<std::uint32_t>(nearest);
  if (std::abs(static_cast<double>(nearest)) > std::abs(x)) --bits;
  return std::bit_cast<float>(bits | 1);
}

template <typename T>
constexpr bool is_storage_type = std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>;

// Rounds towards zero. Values out of range become the nearest limit, and NaN becomes 0, as on a GPU. In plain
// C++ both are undefined.
template <typename To, typename From>
To float_to_integer(From x) {
  constexpr From too_large = std::is_same_v<To, std::int64_t>   ? From(0x1p63)
                             : std::is_same_v<To, std::int32_t> ? From(0x1p31)
                                                                : From(256);
  if (x >= too_large) return std::numeric_limits<To>::max();
  if (x <= static_cast<From>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
  return x == x ? static_cast<To>(x) : To{0};
}

template <typename To, typename From>
To convert(From x) {
  if constexpr (is_storage_type<From>) {
    return convert<To>(to_float(x));
  } else if constexpr (is_storage_type<To>) {
    float narrow;
    if constexpr (std::is_same_v<From, float>) {
      narrow = x;
    } else {
      narrow = to_odd_float(static_cast<double>(x));
    }
    if constexpr (std::is_same_v<To, Half>) {
      return to_half(narrow);
    } else {
      return to_bfloat16(narrow);
    }
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    return float_to_integer<To>(x);
  } else {
    return static_cast<To>(x);
  }
}

// Calls body with a value of the C++ type of `dtype`.
template <typename Body>
void dispatch(DType dtype, const Body& body) {
  switch (dtype) {
    case DType::float32:
      return body(float{});
    case DType::float64:
      return body(double{});
    case DType::float16:
      return body(Half{});
    case DType::bfloat16:
      return body(BFloat16{});
    case DType::int64:
      return body(std::int64_t{});
    case DType::int32:
      return body(std::int32_t{});
    case DType::uint8:
      return body(std::uint8_t{});
  }
}

void parallel_copy(void* to, const void* from, std::size_t bytes) {
  constexpr std::int64_t grain = 1 << 20;
  detail::parallel_for(static_cast<std::int64_t>(bytes), grain, [&](std::int64_t begin, std::int64_t end) {
    std::memcpy(static_cast<char*>(to) + begin, static_cast<const char*>(from) + begin,
                static_cast<std::size_t>(end - begin));
  });
}

}  // namespace

// Caching is off: the arena already serves any size from its free memory, and a cache with lists per size
// would only hold memory back.
CpuBackend::CpuBackend()
    : allocator_("cpu", detail::allocate_block, detail::free_block, {}, CachingAllocator::Caching::off) {}

Device CpuBackend::device() const {
  return Device::cpu;
}

std::string CpuBackend::description() const {
  const std::int64_t usable = hwy::SupportedTargets() & HWY_TARGETS;
  const std::int64_t best = usable & -usable;  // the lowest bit is the best instruction set
  const int threads = omp_get_max_threads();
  return concat("cpu (", hwy::TargetName(best), ", ", threads, threads == 1 ? " thread)" : " threads)");
}

void* CpuBackend::allocate(std::size_t bytes) {
  return allocator_.allocate(bytes);
}

void CpuBackend::release(void* data, std::size_t bytes) noexcept {
  allocator_.release(data, bytes);
}

void CpuBackend::copy_from_host(void* device_data, const void* host_data, std::size_t bytes) {
  parallel_copy(device_data, host_data, bytes);
}

void CpuBackend::copy_to_host(void* host_data, const void* device_data, std::size_t bytes) {
  parallel_copy(host_data, device_data, bytes);
}

void CpuBackend::synchronize() {}

MemoryStats CpuBackend::memory_stats() const {
  return allocator_.stats();
}

void CpuBackend::reset_peak_memory() {
  allocator_.reset_peak();
}

void CpuBackend::fill(Tensor& y, double value) {
  dispatch(y.dtype(), [&]<typename T>(T) {
    const T element = convert<T>(value);
    T* data = static_cast<T*>(y.mutable_raw());
    detail::parallel_for(y.numel(), 4 * detail::kBlock, [&](std::int64_t begin, std::int64_t end) {
      std::fill(data + begin, data + end, element);
    });
  });
}

void CpuBackend::copy(const Tensor& x, Tensor& y) {
  require<TypeError>(x.dtype() == y.dtype(), "[copy] types ", x.dtype(), " and ", y.dtype(), " differ");
  detail::require_size("copy", "y", y, x.numel());
  if (x.numel() > 0 && x.raw() != y.mutable_raw()) parallel_copy(y.mutable_raw(), x.raw(), x.bytes());
}

void CpuBackend::cast(const Tensor& x, Tensor& y) {
  detail::require_size("cast", "y", y, x.numel());
  if (x.dtype() == y.dtype()) return copy(x, y);
  dispatch(x.dtype(), [&]<typename From>(From) {
    dispatch(y.dtype(), [&]<typename To>(To) {
      const From* from = static_cast<const From*>(x.raw());
      To* to = static_cast<To*>(y.mutable_raw());
      detail::parallel_for(x.numel(), detail::kBlock, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) to[i] = convert<To>(from[i]);
      });
    });
  });
}

std::unique_ptr<Backend> make_cpu_backend() {
  return std::make_unique<CpuBackend>();
}

}  // namespace fer
