// A shared library that is opened when it is first asked for, so that the program starts without it.
#pragma once

#include <string>

namespace fer::cuda {

class SharedLibrary {
 public:
  /// Looks where the system's linker looks, then in the CUDA Toolkit and beside the headers that fer was
  /// built with. DeviceError, saying what to install, if `file` ("libcublas.so.13") is nowhere. `product`:
  /// its name for people.
  SharedLibrary(std::string file, std::string product);

  /// The function `name`; DeviceError if the library has none, which is another version then.
  void* find(const char* name) const;
  const std::string& file() const { return file_; }

 private:
  std::string file_, product_;
  void* handle_;  // never closed: these libraries keep state until the process ends
};

}  // namespace fer::cuda

// FER_LIBRARY_FUNCTIONS(Struct, LIST): a structure with a pointer to each function that LIST(F) names by
// F(name), of the type that the library's own header declares.
#define FER_LIBRARY_POINTER(name) decltype(&::name) name;
#define FER_LIBRARY_FIND(name) name = reinterpret_cast<decltype(&::name)>(library.find(#name));
#define FER_LIBRARY_FUNCTIONS(Struct, LIST)                                               \
  struct Struct {                                                                         \
    LIST(FER_LIBRARY_POINTER)                                                             \
    explicit Struct(const ::fer::cuda::SharedLibrary& library) { LIST(FER_LIBRARY_FIND) } \
  }
