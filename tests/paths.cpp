#include "tests/paths.h"

#include <cstdlib>

namespace fer::test {

// The only file that is compiled with a path. All others compile to the same objects in any folder, so that
// checkouts can share a compiler cache.
std::filesystem::path source_folder() {
  return FER_SOURCE_DIR;
}

std::filesystem::path reference_folder(const char* variable, const char* usual) {
  const char* named = std::getenv(variable);
  if (named && *named) return named;
  return source_folder() / ".." / "shared" / usual;
}

}  // namespace fer::test
