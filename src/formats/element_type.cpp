#include "formats/element_type.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "fer/error.h"
#include "fer/formats/half.h"

namespace fer::detail {
namespace {

template <typename From, typename To>
void widen_integers(const std::byte* from, void* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    From value{};
    std::memcpy(&value, from + static_cast<std::size_t>(i) * sizeof value, sizeof value);
    static_cast<To*>(to)[i] = static_cast<To>(value);
  }
}

/// Any byte but 0 is true, so the tensor holds only 0 and 1.
void widen_bools(const std::byte* from, void* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) static_cast<std::uint8_t*>(to)[i] = from[i] != std::byte{0};
}

/// Four bits of exponent, three of fraction, no infinity.
float from_e4m3fn(std::uint8_t bits) {
  const int exponent = bits >> 3 & 15, fraction = bits & 7;
  float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -9)
                                  : std::ldexp(static_cast<float>(8 + fraction), exponent - 10);
  if ((bits & 0x7F) == 0x7F) magnitude = std::numeric_limits<float>::quiet_NaN();
  return bits & 0x80 ? -magnitude : magnitude;
}

/// The upper half of a float16.
float from_e5m2(std::uint8_t bits) {
  return float16_to_float(static_cast<std::uint16_t>(bits << 8));
}

template <float (*convert)(std::uint8_t)>
void widen_float8(const std::byte* from, void* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    static_cast<float*>(to)[i] = convert(static_cast<std::uint8_t>(from[i]));
  }
}

constexpr std::array<ElementType, 27> element_types{{
    {"float32", "FloatStorage", 4, DType::float32},
    {"float64", "DoubleStorage", 8, DType::float64},
    {"float16", "HalfStorage", 2, DType::float16},
    {"bfloat16", "BFloat16Storage", 2, DType::bfloat16},
    {"int64", "LongStorage", 8, DType::int64},
    {"int32", "IntStorage", 4, DType::int32},
    {"uint8", "ByteStorage", 1, DType::uint8},
    {"bool", "BoolStorage", 1, DType::uint8, widen_bools},
    {"int8", "CharStorage", 1, DType::int32, widen_integers<std::int8_t, std::int32_t>},
    {"int16", "ShortStorage", 2, DType::int32, widen_integers<std::int16_t, std::int32_t>},
    {"uint16", "", 2, DType::int32, widen_integers<std::uint16_t, std::int32_t>},
    {"uint32", "", 4, DType::int64, widen_integers<std::uint32_t, std::int64_t>},
    {"float8_e4m3fn", "", 1, DType::float32, widen_float8<from_e4m3fn>},
    {"float8_e5m2", "", 1, DType::float32, widen_float8<from_e5m2>},
    {"uint64", "", 8, std::nullopt},
    {"float8_e4m3fnuz", "", 1, std::nullopt},
    {"float8_e5m2fnuz", "", 1, std::nullopt},
    {"float8_e8m0fnu", "", 1, std::nullopt},
    {"complex32", "", 4, std::nullopt},
    {"complex64", "ComplexFloatStorage", 8, std::nullopt},
    {"complex128", "ComplexDoubleStorage", 16, std::nullopt},
    {"qint8", "QInt8Storage", 1, std::nullopt},
    {"quint8", "QUInt8Storage", 1, std::nullopt},
    {"qint32", "QInt32Storage", 4, std::nullopt},
    {"quint4x2", "QUInt4x2Storage", 1, std::nullopt},
    {"quint2x4", "QUInt2x4Storage", 1, std::nullopt},
    {"float4_e2m1fn_x2", "", 1, std::nullopt},
}};

}  // namespace

const ElementType* find_element_type(std::string_view name) {
  for (const ElementType& type : element_types) {
    if (type.name == name) return &type;
  }
  return nullptr;
}

const ElementType* find_storage_type(std::string_view storage) {
  for (const ElementType& type : element_types) {
    if (!type.storage.empty() && type.storage == storage) return &type;
  }
  return nullptr;
}

std::vector<std::string> widened_text(const std::map<const ElementType*, std::size_t>& counts) {
  std::vector<std::string> said;
  for (const auto& [type, count] : counts) {
    said.push_back(
        concat(count, count == 1 ? " tensor of " : " tensors of ", type->name, " read as ", *type->read_as));
  }
  return said;
}

}  // namespace fer::detail
