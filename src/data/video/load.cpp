// Finds and loads the module of videos, at the first use.
#include <dlfcn.h>

#include <array>

#include "data/video/module.h"
#include "fer/error.h"

namespace fer {
namespace {

namespace fs = std::filesystem;

const detail::VideoModule& load() {
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  // Beside the program (in a build folder), where the program's own installation has it, where this build was
  // to be installed, and where it was built.
  const std::array<fs::path, 4> folders{program, program / ".." / FER_LIBDIR / "fer", FER_MODULE_FOLDER,
                                        FER_BUILD_FOLDER};
  std::string tried;
  for (const fs::path& folder : folders) {
    const fs::path file = folder / FER_VIDEO_FILE;
    if (!fs::exists(file, ignored)) {
      tried += concat(tried.empty() ? "" : ", ", "'", file.string(), "'");
      continue;
    }
    void* handle = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    require<DeviceError>(handle != nullptr, "videos: ", handle ? "" : ::dlerror());
    const void* found = ::dlsym(handle, "fer_video_module");
    require<DeviceError>(found != nullptr, "videos: '", file.string(), "' is no module of this program");
    return *static_cast<const detail::VideoModule*>(found);
  }
  throw DeviceError(concat("videos: the module " FER_VIDEO_FILE " is missing; looked for ", tried));
}

const detail::VideoModule& module() {
  static const detail::VideoModule& loaded = load();
  return loaded;
}

}  // namespace

std::unique_ptr<VideoReader> open_video(const fs::path& path) {
  return module().open_video(path);
}
std::unique_ptr<VideoReader> open_camera(const std::string& name) {
  return module().open_camera(name);
}
std::unique_ptr<VideoWriter> create_video(const fs::path& path, double frame_rate) {
  return module().create_video(path, frame_rate);
}

std::string video_library_name(std::string*) {
  return "libav, loaded when it is used";
}

}  // namespace fer
