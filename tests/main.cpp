// The main program of every test executable. FER_TEST_INSTRUCTIONS=SSE4 or AVX2: the CPU's vector kernels are
// those of that instruction set, as on an older processor; where the build has them not, the tests are
// skipped (77).
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

// Nothing has chosen among the targets before this.
bool choose_instructions(std::string_view wanted) {
  const std::int64_t target = wanted == "SSE4" ? HWY_SSE4 : wanted == "AVX2" ? HWY_AVX2 : 0;
  // A lower bit is a later instruction set.
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
