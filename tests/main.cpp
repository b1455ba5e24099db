// The main program of every test executable. FER_TEST_INSTRUCTIONS=SSE4 or AVX2 selects the CPU's vector
// kernels of that instruction set, as on an older processor. If the build does not have them, the tests are
// skipped (exit code 77).
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string_view>

#include "cpu/gemm_kernels.h"
#include "cpu/highway_targets.h"
#include "hwy/targets.h"

namespace {

// Must run before anything else selects a target.
bool choose_instructions(std::string_view wanted) {
  const std::int64_t target = wanted == "SSE4" ? HWY_SSE4 : wanted == "AVX2" ? HWY_AVX2 : 0;
  // Later instruction sets have lower bits.
  if (target != 0) hwy::DisableTargets(target - 1);
  const char* chosen = fer::detail::product_kernels<float>().name;
  if (chosen == wanted) return true;
  std::cout << "skipped: wanted " << wanted << ", this build and machine have " << chosen << "\n";
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  const char* instructions = std::getenv("FER_TEST_INSTRUCTIONS");
  if (instructions && !choose_instructions(instructions)) return 77;
  return doctest::Context(argc, argv).run();
}
