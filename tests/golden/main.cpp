// The main program of the golden tests: without golden files they are skipped, and it says so.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <iostream>

#include "tests/golden/golden.h"

int main(int argc, char** argv) {
  constexpr int skipped = 77;  // what CTest is told to count as such
  const std::filesystem::path folder = fer::test::golden_folder();
  if (!std::filesystem::is_directory(folder)) {
    if (fer::test::golden_folder_asked_for()) {
      std::cerr << "FER_GOLDEN_DIR names " << folder << ", which is no folder\n";
      return 1;
    }
    std::cout << "skipped: there are no golden files at " << folder
              << "; FER_GOLDEN_DIR names their folder\n";
    return skipped;
  }
  std::cout << "golden files of " << folder << std::endl;
  return doctest::Context(argc, argv).run();
}
