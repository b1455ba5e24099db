#include "tensor/module_loader.h"

#include <dlfcn.h>

#include <array>
#include <filesystem>

#include "fer/error.h"

namespace fer::detail {

namespace fs = std::filesystem;

const void* load_module(const char* what, const std::string& file, const char* symbol) {
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  const std::array<fs::path, 4> folders{program, program / ".." / FER_LIBDIR / "fer", FER_MODULE_FOLDER,
                                        FER_BUILD_FOLDER};
  std::string tried;
  for (const fs::path& folder : folders) {
    const fs::path path = folder / (file + FER_MODULE_SUFFIX);
    if (!fs::exists(path, ignored)) {
      tried += concat(tried.empty() ? "" : ", ", "'", path.string(), "'");
      continue;
    }
    void* handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    require<DeviceError>(handle != nullptr, what, ": ", handle ? "" : ::dlerror());
    const void* found = ::dlsym(handle, symbol);
    require<DeviceError>(found != nullptr, what, ": '", path.string(), "' is not a module of this program");
    return found;
  }
  throw DeviceError(
      concat(what, ": the module ", file, FER_MODULE_SUFFIX, " is missing; looked for ", tried));
}

}  // namespace fer::detail
