// Casts between all element types, on the CPU.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "fer/error.h"
#include "fer/tensor/backend.h"
#include "fer/tensor/random.h"

namespace fer {
namespace {

constexpr DType all_types[] = {DType::float32, DType::float64, DType::float16, DType::bfloat16,
                               DType::int64,   DType::int32,   DType::uint8};
constexpr float infinity = std::numeric_limits<float>::infinity();

Tensor from_bits(DType dtype, const std::vector<std::uint16_t>& bits) {
  Tensor t = Tensor::empty({static_cast<std::int64_t>(bits.size())}, dtype);
  std::memcpy(t.mutable_raw(), bits.data(), t.bytes());
  return t;
}

std::vector<std::uint16_t> to_bits(const Tensor& t) {
  std::vector<std::uint16_t> bits(static_cast<std::size_t>(t.numel()));
  std::memcpy(bits.data(), t.raw(), t.bytes());
  return bits;
}

std::vector<std::uint16_t> every_pattern() {
  std::vector<std::uint16_t> bits(65536);
  for (std::size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<std::uint16_t>(i);
  return bits;
}

TEST_CASE("small integers survive every pair of types") {
  // Enough elements for more than one block of the loop; 0 .. 127 is exact in all types.
  std::vector<double> values(40000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i % 128);
  const Tensor source = Tensor::from(Shape{40000}, values);
  for (DType from : all_types) {
    const Tensor x = source.to(from);
    CHECK(x.dtype() == from);
    for (DType to : all_types) {
      CAPTURE(name_of(from));
      CAPTURE(name_of(to));
      const Tensor y = x.to(to);
      CHECK(y.dtype() == to);
      CHECK(y.to(DType::float64).to_vector<double>() == values);
    }
  }
}

TEST_CASE("negative and large values survive where they fit") {
  const std::vector<std::int64_t> wide{std::numeric_limits<std::int64_t>::min(),
                                       std::numeric_limits<std::int64_t>::max(), -1, 1ll << 40};
  const Tensor x = Tensor::from(Shape{4}, wide);
  // As C++ has it: the low bits.
  CHECK(x.to(DType::int32).to_vector<std::int32_t>() == std::vector<std::int32_t>{0, -1, -1, 0});
  CHECK(x.to(DType::uint8).to_vector<std::uint8_t>() == std::vector<std::uint8_t>{0, 255, 255, 0});
  CHECK(x.to(DType::float64).to_vector<double>() == std::vector<double>{-0x1p63, 0x1p63, -1, 0x1p40});
}

TEST_CASE("from floating point to integers: towards zero, the nearest that fits, NaN to 0") {
  const Tensor x = Tensor::from<float>(
      {10}, {1.9f, -1.9f, -0.5f, 255.9f, 256.0f, 3e9f, -3e9f, infinity, -infinity, std::nanf("")});
  constexpr std::int32_t low32 = std::numeric_limits<std::int32_t>::min(), high32 = ~low32;
  constexpr std::int64_t low64 = std::numeric_limits<std::int64_t>::min(), high64 = ~low64;
  for (const Tensor& same : {x, x.to(DType::float64)}) {
    CHECK(same.to(DType::uint8).to_vector<std::uint8_t>() ==
          std::vector<std::uint8_t>{1, 0, 0, 255, 255, 255, 0, 255, 0, 0});
    CHECK(same.to(DType::int32).to_vector<std::int32_t>() ==
          std::vector<std::int32_t>{1, -1, 0, 255, 256, high32, low32, high32, low32, 0});
    CHECK(same.to(DType::int64).to_vector<std::int64_t>() ==
          std::vector<std::int64_t>{1, -1, 0, 255, 256, 3000000000, -3000000000, high64, low64, 0});
  }
}

TEST_CASE("every float16 and bfloat16 survives the way through float32 and float64") {
  for (DType narrow : {DType::float16, DType::bfloat16}) {
    CAPTURE(name_of(narrow));
    const std::vector<std::uint16_t> bits = every_pattern();
    const Tensor x = from_bits(narrow, bits);
    const std::vector<float> values = x.to(DType::float32).to_vector<float>();
    for (DType wide : {DType::float32, DType::float64}) {
      const std::vector<std::uint16_t> back = to_bits(x.to(wide).to(narrow));
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < bits.size(); ++i) {
        // A NaN stays one, with its sign, whatever its payload.
        const std::uint16_t quiet = narrow == DType::float16 ? 0x7C00 : 0x7F80;
        const bool ok = std::isnan(values[i]) ? (back[i] & 0x7FFF) > quiet && back[i] >> 15 == bits[i] >> 15
                                              : back[i] == bits[i];
        wrong += !ok;
      }
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("known patterns of float16 and bfloat16") {
  const std::vector<std::uint16_t> half{0x0000, 0x8000, 0x3C00, 0xC000, 0x7BFF,
                                        0x0400, 0x0001, 0x7C00, 0x3555};
  CHECK(
      from_bits(DType::float16, half).to(DType::float32).to_vector<float>() ==
      std::vector<float>{0.0f, -0.0f, 1.0f, -2.0f, 65504.0f, 0x1p-14f, 0x1p-24f, infinity, 0.333251953125f});
  const std::vector<std::uint16_t> brain{0x3F80, 0xC000, 0x7F80, 0x0080, 0x4049};
  CHECK(from_bits(DType::bfloat16, brain).to(DType::float32).to_vector<float>() ==
        std::vector<float>{1.0f, -2.0f, infinity, 0x1p-126f, 3.140625f});
}

// Compares with the nearest of all 65536 values, found by search; ties go to the even pattern.
TEST_CASE("rounding to float16 and bfloat16 is to nearest, ties to even") {
  for (DType narrow : {DType::float16, DType::bfloat16}) {
    CAPTURE(name_of(narrow));
    const std::uint16_t largest = narrow == DType::float16 ? 0x7BFF : 0x7F7F;
    std::vector<std::uint16_t> positive(largest + 1u);
    for (std::size_t i = 0; i < positive.size(); ++i) positive[i] = static_cast<std::uint16_t>(i);
    const std::vector<double> grid = from_bits(narrow, positive).to(DType::float64).to_vector<double>();

    std::vector<double> values;
    Random rng({3, fnv1a64("cast"), 0});
    for (int i = 0; i < 20000; ++i) {
      const std::size_t at = rng.below(largest);
      const double low = grid[at], high = grid[at + 1];
      const double middle = low + (high - low) / 2;
      // The middle itself and its neighbours in float64, which rounding twice would get wrong.
      const double choices[] = {low + (high - low) * rng.uniform(), middle, std::nextafter(middle, high),
                                std::nextafter(middle, low)};
      values.push_back(choices[i % 4]);
    }
    const auto count = static_cast<std::int64_t>(values.size());
    const std::vector<std::uint16_t> got = to_bits(Tensor::from(Shape{count}, values).to(narrow));
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto above = std::upper_bound(grid.begin(), grid.end(), values[i]);
      const auto high = static_cast<std::size_t>(above - grid.begin());
      const double to_low = values[i] - grid[high - 1], to_high = grid[high] - values[i];
      const std::size_t nearest = to_low < to_high ? high - 1 : to_high < to_low ? high : high - high % 2;
      wrong += got[i] != nearest;
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("what is too large for float16 becomes infinity, with its sign") {
  const Tensor x = Tensor::from<float>({4}, {65519.9f, 65520.0f, -1e30f, 1e-30f});
  CHECK(x.to(DType::float16).to(DType::float32).to_vector<float>() ==
        std::vector<float>{65504.0f, infinity, -infinity, 0.0f});
  CHECK(Tensor::from<float>({1}, {3.395e38f}).to(DType::bfloat16).to(DType::float32).item() ==
        3.3895313892515355e38);
  CHECK(std::isinf(Tensor::from<float>({1}, {3.4028235e38f}).to(DType::bfloat16).to(DType::float32).item()));
}

TEST_CASE("a tensor of any type can be filled and copied") {
  for (DType dtype : all_types) {
    CAPTURE(name_of(dtype));
    Tensor x = Tensor::full({70001}, 3, dtype);
    const Tensor y = x.clone();
    x.fill(0);
    CHECK(y.to(DType::float64).to_vector<double>() == std::vector<double>(70001, 3.0));
    CHECK(x.to(DType::float64).to_vector<double>() == std::vector<double>(70001, 0.0));
  }
}

TEST_CASE("copy and cast refuse what does not fit") {
  Backend& cpu = backend(Device::cpu);
  const Tensor x = Tensor::zeros({3});
  Tensor longer = Tensor::zeros({4}), other = Tensor::zeros({3}, DType::int32);
  CHECK_THROWS_WITH_AS(cpu.copy(x, longer), "[copy] y has shape (4), but 3 elements are needed", ShapeError);
  CHECK_THROWS_WITH_AS(cpu.copy(x, other), "[copy] types float32 and int32 differ", TypeError);
  CHECK_THROWS_WITH_AS(cpu.cast(x, longer), "[cast] y has shape (4), but 3 elements are needed", ShapeError);
}

}  // namespace
}  // namespace fer
