#include "tests/paths.h"

#include <cstdlib>

namespace fer::test {

// The one file that is told a path: all others compile to the same objects wherever the tree lies, which a
// compiler cache shares.
std::filesystem::path source_folder() {
  return FER_SOURCE_DIR;
}

std::filesystem::path reference_folder(const char* variable, const char* usual) {
  const char* named = std::getenv(variable);
  if (named && *named) return named;
  return source_folder() / ".." / "shared" / usual;
}

}  // namespace fer::test
