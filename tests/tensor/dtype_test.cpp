#include <doctest/doctest.h>

#include <utility>

#include "fer/error.h"
#include "fer/tensor/device.h"
#include "fer/tensor/dtype.h"

namespace fer {
namespace {

TEST_CASE("element types have sizes, names and a kind") {
  struct Row {
    DType dtype;
    std::size_t bytes;
    const char* name;
    bool floating;
  };
  for (const Row& row : {Row{DType::float32, 4, "float32", true}, Row{DType::float64, 8, "float64", true},
                         Row{DType::float16, 2, "float16", true}, Row{DType::bfloat16, 2, "bfloat16", true},
                         Row{DType::int64, 8, "int64", false}, Row{DType::int32, 4, "int32", false},
                         Row{DType::uint8, 1, "uint8", false}}) {
    CAPTURE(row.name);
    CHECK(size_of(row.dtype) == row.bytes);
    CHECK(name_of(row.dtype) == row.name);
    CHECK(concat(row.dtype) == row.name);
    CHECK(is_floating(row.dtype) == row.floating);
  }
}

TEST_CASE("C++ types map to element types") {
  CHECK(dtype_of<float>() == DType::float32);
  CHECK(dtype_of<double>() == DType::float64);
  CHECK(dtype_of<std::int64_t>() == DType::int64);
  CHECK(dtype_of<std::int32_t>() == DType::int32);
  CHECK(dtype_of<std::uint8_t>() == DType::uint8);
}

TEST_CASE("dispatch_floating calls the right instance and refuses the rest by name") {
  std::size_t bytes = 0;
  const auto body = [&]<typename T>() { bytes = sizeof(T); };
  dispatch_floating(DType::float32, "op", body);
  CHECK(bytes == 4);
  dispatch_floating(DType::float64, "op", body);
  CHECK(bytes == 8);
  CHECK_THROWS_WITH_AS(dispatch_floating(DType::int32, "relu", body),
                       "[relu] needs float32 or float64, got int32", TypeError);
  CHECK_THROWS_WITH_AS(dispatch_floating(DType::bfloat16, "relu", body),
                       "[relu] needs float32 or float64, got bfloat16", TypeError);
}

TEST_CASE("devices are read and written by name") {
  for (Device device : {Device::cpu, Device::simt, Device::cuda})
    CHECK(parse_device(name_of(device)) == device);
  CHECK_THROWS_WITH_AS(parse_device("gpu"),
                       "unknown device 'gpu'; known are cpu, simt, cuda; did you mean 'cuda'?", ConfigError);
  CHECK_THROWS_WITH_AS(parse_device(""), "unknown device ''; known are cpu, simt, cuda", ConfigError);
}

}  // namespace
}  // namespace fer
