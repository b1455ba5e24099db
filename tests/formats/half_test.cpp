// float16 and bfloat16: every value widens exactly and comes back, and narrowing rounds to nearest even.
#include "fer/formats/half.h"

#include <cmath>
#include <limits>

#include "tests/formats/format_test.h"

namespace fer::test {
namespace {

TEST_CASE("half: every float16 comes back from float32") {
  int differing = 0;
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float value = float16_to_float(half);
    if (std::isnan(value)) {
      differing += !std::isnan(float16_to_float(float_to_float16(value)));
    } else {
      differing += float_to_float16(value) != half;
    }
  }
  CHECK(differing == 0);
}

TEST_CASE("half: every bfloat16 comes back from float32") {
  int differing = 0;
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float value = bfloat16_to_float(half);
    if (std::isnan(value)) {
      differing += !std::isnan(bfloat16_to_float(float_to_bfloat16(value)));
    } else {
      differing += float_to_bfloat16(value) != half;
    }
  }
  CHECK(differing == 0);
}

TEST_CASE("half: values by hand") {
  CHECK(float16_to_float(0x3C00) == 1.0f);
  CHECK(float16_to_float(0xC000) == -2.0f);
  CHECK(float16_to_float(0x0001) == 0x1p-24f);
  CHECK(float16_to_float(0x7BFF) == 65504.0f);
  CHECK(std::isinf(float16_to_float(0xFC00)));
  CHECK(std::signbit(float16_to_float(0x8000)));
  CHECK(bfloat16_to_float(0x3F80) == 1.0f);
  CHECK(bfloat16_to_float(0xC040) == -3.0f);
}

TEST_CASE("half: narrowing rounds to nearest, ties to even") {
  CHECK(float_to_float16(1.0f + 0x1p-11f) == 0x3C00);             // a tie: down to even
  CHECK(float_to_float16(1.0f + 0x1p-11f + 0x1p-20f) == 0x3C01);  // above it
  CHECK(float_to_float16(1.0f + 3 * 0x1p-11f) == 0x3C02);         // a tie: up to even
  CHECK(float_to_float16(65519.0f) == 0x7BFF);
  CHECK(float_to_float16(65520.0f) == 0x7C00);
  CHECK(float_to_float16(0x1p-25f) == 0x0000);  // a tie between 0 and the least
  CHECK(float_to_float16(0x1.8p-25f) == 0x0001);
  CHECK(float_to_float16(0x1p-14f - 0x1p-26f) == 0x0400);  // from subnormal up to normal
  CHECK(float_to_float16(-std::numeric_limits<float>::infinity()) == 0xFC00);
  CHECK(float_to_bfloat16(1.0f + 0x1p-8f) == 0x3F80);
  CHECK(float_to_bfloat16(1.0f + 3 * 0x1p-8f) == 0x3F82);
  CHECK(float_to_bfloat16(std::numeric_limits<float>::max()) == 0x7F80);
  CHECK(std::isnan(bfloat16_to_float(float_to_bfloat16(std::numeric_limits<float>::quiet_NaN()))));
}

TEST_CASE("half: tensors between all floating types") {
  const Tensor x = Tensor::from<double>({2, 3}, {0, 1, -2, 0.5, 1024, -0.125});
  for (const DType dtype : {DType::float16, DType::bfloat16, DType::float32, DType::float64}) {
    const Tensor there = convert_floating(x, dtype);
    CHECK(there.dtype() == dtype);
    CHECK(there.shape() == x.shape());
    CHECK(convert_floating(there, DType::float64).to_vector<double>() == x.to_vector<double>());
  }
  CHECK(convert_floating(x, DType::float64).shares_memory_with(x));
  CHECK_MESSAGE_OF(convert_floating(Tensor::from<std::int64_t>({1}, {3}), DType::float16), TypeError,
                   "convert_floating converts between floating-point types, not from int64 to float16");
}

}  // namespace
}  // namespace fer::test
