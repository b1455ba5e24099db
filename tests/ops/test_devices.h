// The devices that tests run on: all that this build and machine have, with a note about the others, or those
// that FER_TEST_DEVICES lists ("cpu,simt"), which must then be available. FER_TEST_MATH=library: the device
// cuda uses cuBLAS and cuDNN for products and convolutions.
#pragma once

#include <doctest/doctest.h>

#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "fer/tensor/backend.h"
#include "fer/tensor/device_runtime.h"

namespace fer::test {

inline const std::vector<Device>& test_devices() {
  static const std::vector<Device> devices = [] {
    std::vector<Device> found;
    if (const char* wanted = std::getenv("FER_TEST_DEVICES")) {
      std::istringstream names(wanted);
      for (std::string name; std::getline(names, name, ',');) found.push_back(parse_device(name));
      for (Device device : found) backend(device);  // throws if it is not available
      if (const char* math = std::getenv("FER_TEST_MATH")) set_math_mode(Device::cuda, parse_math_mode(math));
      return found;
    }
    for (Device device : {Device::cpu, Device::simt, Device::cuda}) {
      std::string reason;
      if (is_available(device, &reason)) {
        found.push_back(device);
      } else {
        std::cout << "skipped: device " << device << ": " << reason << std::endl;
      }
    }
    return found;
  }();
  return devices;
}

/// Sets whose products and convolutions a device uses, for a scope.
class MathModeScope {
 public:
  MathModeScope(Device device, MathMode scoped) : device_(device), saved_(math_mode(device)) {
    set_math_mode(device, scoped);
  }
  ~MathModeScope() { set_math_mode(device_, saved_); }
  MathModeScope(const MathModeScope&) = delete;
  MathModeScope& operator=(const MathModeScope&) = delete;

 private:
  Device device_;
  MathMode saved_;
};

}  // namespace fer::test

#define FER_JOIN_(a, b) a##b
#define FER_JOIN(a, b) FER_JOIN_(a, b)

/// OP_TEST("title") { ... device ... }: the body runs once per device.
#define OP_TEST(title) FER_OP_TEST(FER_JOIN(fer_op_test_, __COUNTER__), title)
#define FER_OP_TEST(function, title)                       \
  static void function(fer::Device device);                \
  TEST_CASE(title) {                                       \
    for (fer::Device device : fer::test::test_devices()) { \
      SUBCASE(std::string(fer::name_of(device)).c_str()) { \
        function(device);                                  \
      }                                                    \
    }                                                      \
  }                                                        \
  static void function([[maybe_unused]] fer::Device device)
