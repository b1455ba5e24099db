// A shared library that is opened on first use, so that the program starts without it.
#pragma once

#include <string>

namespace fer::cuda {

class SharedLibrary {
 public:
  /// Searches where the system's linker looks, then in the CUDA Toolkit and beside the headers that fer was
  /// built with. Throws DeviceError, saying what to install, if `file` ("libcublas.so.13") is not found.
  /// `product`: its name in messages.
  SharedLibrary(std::string file, std::string product);

  /// The function `name`. Throws DeviceError if the library lacks it, because it is a different version.
  void* find(const char* name) const;
  const std::string& file() const { return file_; }

 private:
  std::string file_, product_;
  void* handle_;  // never closed: these libraries keep state until the process ends
};

}  // namespace fer::cuda

// FER_LIBRARY_FUNCTIONS(Struct, LIST): a structure with a pointer to each function that LIST(F) names by
// F(name). The pointers have the types that the library's own header declares.
#define FER_LIBRARY_POINTER(name) decltype(&::name) name;
#define FER_LIBRARY_FIND(name) name = reinterpret_cast<decltype(&::name)>(library.find(#name));
#define FER_LIBRARY_FUNCTIONS(Struct, LIST)                                               \
  struct Struct {                                                                         \
    LIST(FER_LIBRARY_POINTER)                                                             \
    explicit Struct(const ::fer::cuda::SharedLibrary& library) { LIST(FER_LIBRARY_FIND) } \
  }
