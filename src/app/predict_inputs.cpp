// Decides which files `fer predict` reads and where their overlays go.
#include <algorithm>
#include <map>

#include "app/predict.h"
#include "fer/data/image.h"
#include "fer/data/video.h"
#include "fer/error.h"

namespace fer::app {
namespace {

namespace fs = std::filesystem;

/// Whether pictures can be written under this name.
bool is_overlay_name(const fs::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return extension == ".png" || extension == ".jpg" || extension == ".jpeg";
}

template <typename Iterator>
std::vector<fs::path> inside(const fs::path& folder, const char* advice) {
  std::vector<fs::path> files;
  std::error_code error;
  for (Iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    const bool video = is_video_name(entry->path()) && entry->is_regular_file(ignored);
    if (video || is_picture_file(entry->path())) files.push_back(entry->path());
  }
  require<IoError>(!error, "cannot read the folder '", folder.string(), "': ", error.message());
  require<DataError>(!files.empty(), "the folder '", folder.string(), "' contains no picture and no video",
                     advice);
  std::sort(files.begin(), files.end());
  return files;
}

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

bool is_missing(const fs::path& path) {
  std::error_code error;
  return fs::status(path, error).type() == fs::file_type::not_found;
}

/// The overlay's name within the overlay folder. Videos are written as MP4; pictures in formats that cannot
/// be written become PNG.
fs::path overlay_name(fs::path name, bool video) {
  if (video) return name.replace_extension(".mp4");
  return is_overlay_name(name) ? name : name.replace_extension(".png");
}

void check_overlays(const std::vector<PredictInput>& inputs) {
  std::map<fs::path, fs::path> taken;
  std::error_code ignored;
  for (const PredictInput& input : inputs) {
    if (input.overlay.empty()) continue;
    require<ConfigError>(!fs::equivalent(input.file, input.overlay, ignored), "the overlay of '",
                         input.file.string(), "' would overwrite it");
    const auto [at, is_new] = taken.emplace(input.overlay.lexically_normal(), input.file);
    require<ConfigError>(is_new, "'", at->second.string(), "' and '", input.file.string(),
                         "' would have the same overlay '", input.overlay.string(), "'");
  }
}

}  // namespace

std::vector<PredictInput> predict_inputs(const std::vector<std::string>& arguments, bool recursive,
                                         const std::string& overlay) {
  std::vector<PredictInput> inputs;
  const auto add = [&](const fs::path& file, const fs::path& name) {
    const bool video = is_video_name(file);
    inputs.push_back(
        {file, overlay.empty() ? fs::path() : fs::path(overlay) / overlay_name(name, video), video});
  };
  for (const std::string& argument : arguments) {
    if (!is_folder(argument)) {
      add(argument, fs::path(argument).filename());
      if (is_missing(argument)) inputs.back().problem = concat("'", argument, "' does not exist");
      continue;
    }
    try {
      const auto files = recursive
                             ? inside<fs::recursive_directory_iterator>(argument, "")
                             : inside<fs::directory_iterator>(argument, "; --recursive reads its subfolders");
      for (const fs::path& file : files) add(file, file.lexically_relative(argument));
    } catch (const Error& error) {  // the other inputs are still read
      inputs.push_back({argument, {}, false, error.what()});
    }
  }
  const bool one_file =
      inputs.size() == 1 && !is_folder(overlay) && (is_picture_name(overlay) || is_video_name(overlay));
  if (one_file) {
    require<ConfigError>(is_video_name(overlay) == inputs[0].video, "the overlay of '",
                         inputs[0].file.string(), "' cannot be '", overlay,
                         "': it must be a picture for a picture, a video for a video");
    require<ConfigError>(inputs[0].video || is_overlay_name(overlay), "cannot write '", overlay,
                         "': pictures are written as .png, .jpg or .jpeg");
    inputs[0].overlay = overlay;
  } else if (!overlay.empty()) {
    require<ConfigError>(is_missing(overlay) || is_folder(overlay), "--overlay '", overlay,
                         "' is a file; several overlays need a folder");
    require<ConfigError>(!is_picture_name(overlay) && !is_video_name(overlay), "--overlay '", overlay,
                         "' names one file for ", inputs.size(), " inputs; name a folder");
  }
  check_overlays(inputs);
  return inputs;
}

}  // namespace fer::app
