// Decides which files are videos.
#include <algorithm>
#include <array>

#include "data/file_io.h"
#include "fer/data/video.h"

namespace fer {

bool is_video_name(const std::filesystem::path& path) {
  constexpr std::array<std::string_view, 12> known{".mp4", ".m4v",  ".mov", ".mkv", ".webm", ".avi",
                                                   ".mpg", ".mpeg", ".ogv", ".wmv", ".3gp",  ".ts"};
  return std::find(known.begin(), known.end(), detail::to_lower(path.extension().string())) != known.end();
}

}  // namespace fer
