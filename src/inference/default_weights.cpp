// Finds the weights that come with fer.
#include <array>
#include <cstdlib>

#include "fer/error.h"
#include "fer/inference/face_reader.h"

namespace fer {

std::filesystem::path default_weights() {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (const char* named = std::getenv("FER_WEIGHTS"); named && *named) {
    require<IoError>(fs::exists(named, ignored), "FER_WEIGHTS names '", named, "', which does not exist");
    return named;
  }
  const fs::path file = "small-ferplus.safetensors";
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  const std::array<fs::path, 3> folders{program.parent_path() / FER_SHARE_FOLDER, FER_WEIGHTS_FOLDER,
                                        FER_INSTALLED_SHARE_FOLDER};
  std::string tried;
  for (const fs::path& folder : folders) {
    if (fs::exists(folder / file, ignored)) return folder / file;
    tried += concat(tried.empty() ? "" : ", ", "'", (folder / file).string(), "'");
  }
  throw IoError(
      concat("there are no weights to use: give some with --weights or FER_WEIGHTS; looked for ", tried));
}

}  // namespace fer
