#include "fer/tensor/backend.h"

#include <doctest/doctest.h>
#include <omp.h>

#include "fer/error.h"

namespace fer {
namespace {

TEST_CASE("the CPU is always there and says what it is") {
  CHECK(is_available(Device::cpu));
  Backend& cpu = backend(Device::cpu);
  CHECK(&cpu == &backend(Device::cpu));
  CHECK(cpu.device() == Device::cpu);
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  CHECK(cpu.description().substr(0, 5) == "cpu (");
  CHECK(cpu.description().find(", 1 thread)") != std::string::npos);
  omp_set_num_threads(3);
  CHECK(cpu.description().find(", 3 threads)") != std::string::npos);
  omp_set_num_threads(before);
}

TEST_CASE("the error for a missing device says why it is missing and how to get it") {
  for (Device device : {Device::simt, Device::cuda}) {
    CAPTURE(device);
    std::string reason;
    if (is_available(device, &reason)) {
      CHECK(backend(device).device() == device);
      continue;
    }
    CHECK(reason.find(name_of(device)) != std::string::npos);
    CHECK_THROWS_WITH_AS(backend(device), reason.c_str(), DeviceError);
    CHECK_THROWS_AS(Tensor::zeros({2}, DType::float32, device), DeviceError);
  }
}

}  // namespace
}  // namespace fer
