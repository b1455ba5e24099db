#include "cuda/library/shared_library.h"

#include <dlfcn.h>

#include <sstream>
#include <utility>

#include "fer/error.h"

namespace fer::cuda {

SharedLibrary::SharedLibrary(std::string file, std::string product)
    : file_(std::move(file)),
      product_(std::move(product)),
      handle_(dlopen(file_.c_str(), RTLD_NOW | RTLD_LOCAL)) {
  const std::string reason = handle_ == nullptr ? dlerror() : "";
  std::istringstream folders(FER_CUDA_LIBRARY_FOLDERS);
  for (std::string folder; handle_ == nullptr && std::getline(folders, folder, ':');) {
    handle_ = dlopen((folder + "/" + file_).c_str(), RTLD_NOW | RTLD_LOCAL);
  }
  require<DeviceError>(handle_ != nullptr, "device cuda: ", product_, " was asked for, but ", file_,
                       " cannot be opened (", reason, "); install ", product_,
                       ", put its folder into LD_LIBRARY_PATH, or use --math native");
}

void* SharedLibrary::find(const char* name) const {
  void* function = dlsym(handle_, name);
  require<DeviceError>(function != nullptr, "device cuda: ", file_, " has no function '", name,
                       "'; it is another version of ", product_,
                       " than fer was built with. Build fer again, or "
                       "use --math native");
  return function;
}

}  // namespace fer::cuda
