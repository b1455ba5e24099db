// The main program of the golden tests.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <iostream>

#include "tests/golden/golden.h"

int main(int argc, char** argv) {
  const char* asked_for = std::getenv("FER_GOLDEN_DIR");
  if (asked_for && *asked_for && !std::filesystem::is_directory(asked_for)) {
    std::cerr << "FER_GOLDEN_DIR names '" << asked_for << "', which is not a folder\n";
    return 1;
  }
  for (const std::filesystem::path& folder : fer::test::golden_folders()) {
    std::cout << "golden files of " << folder << std::endl;
  }
  return doctest::Context(argc, argv).run();
}
