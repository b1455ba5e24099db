// Element types, and the dispatch from a run-time type to a template argument.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string_view>
#include <type_traits>

#include "fer/error.h"

namespace fer {

/// float16 and bfloat16 are storage types: files use them, and with Precision::bf16 a network's activations
/// are stored as bfloat16. Arithmetic on them is in float32.
enum class DType : std::uint8_t { float32, float64, float16, bfloat16, int64, int32, uint8 };

/// Bytes of one element.
std::size_t size_of(DType dtype);
/// "float32", ...
std::string_view name_of(DType dtype);
inline bool is_floating(DType dtype) {
  return dtype <= DType::bfloat16;
}
/// The type that arithmetic on a floating type uses: float32 for the 16-bit types, else the type itself.
inline DType widened(DType dtype) {
  return dtype == DType::float16 || dtype == DType::bfloat16 ? DType::float32 : dtype;
}
std::ostream& operator<<(std::ostream& out, DType dtype);

/// The DType of a C++ type: dtype_of<float>() is DType::float32.
template <typename T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>) {
    return DType::float32;
  } else if constexpr (std::is_same_v<T, double>) {
    return DType::float64;
  } else if constexpr (std::is_same_v<T, std::int64_t>) {
    return DType::int64;
  } else if constexpr (std::is_same_v<T, std::int32_t>) {
    return DType::int32;
  } else {
    static_assert(std::is_same_v<T, std::uint8_t>, "no DType for this C++ type");
    return DType::uint8;
  }
}

/// Calls `body.operator()<float>()` or `<double>()`; TypeError, naming `op`, for any other type.
template <typename Body>
void dispatch_floating(DType dtype, std::string_view op, Body&& body) {
  switch (dtype) {
    case DType::float32:
      return body.template operator()<float>();
    case DType::float64:
      return body.template operator()<double>();
    default:
      throw TypeError(concat("[", op, "] needs float32 or float64, got ", dtype));
  }
}

}  // namespace fer
