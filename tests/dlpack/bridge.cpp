// Plain C functions on fer's tensors, which tests/peers/check_dlpack.py calls through ctypes.
#include <string>

#include "fer/error.h"
#include "fer/tensor/dlpack.h"

namespace {

thread_local std::string error_text;

/// The result of f; on an error, null, with the message in error_text.
template <typename F>
auto guarded(F f) -> decltype(f()) {
  try {
    return f();
  } catch (const fer::Error& error) {
    error_text = error.what();
    return nullptr;
  }
}

}  // namespace

extern "C" {

const char* bridge_error() {
  return error_text.c_str();
}

fer::Tensor* bridge_take(DLManagedTensorVersioned* managed) {
  return guarded([&] { return new fer::Tensor(fer::from_dlpack(managed)); });
}

fer::Tensor* bridge_take_unversioned(DLManagedTensor* managed) {
  return guarded([&] { return new fer::Tensor(fer::from_dlpack(managed)); });
}

DLManagedTensorVersioned* bridge_give(const fer::Tensor* tensor) {
  return guarded([&] { return fer::to_dlpack(*tensor); });
}

DLManagedTensor* bridge_give_unversioned(const fer::Tensor* tensor) {
  return guarded([&] { return fer::to_dlpack_unversioned(*tensor); });
}

/// The tensor itself; null if it cannot be written to.
fer::Tensor* bridge_fill(fer::Tensor* tensor, double value) {
  return guarded([&] {
    tensor->fill(value);
    return tensor;
  });
}

void bridge_drop(fer::Tensor* tensor) {
  delete tensor;
}
}
