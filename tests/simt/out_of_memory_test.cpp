// The message of a device that is out of memory, from an operation inside a module.
#include <doctest/doctest.h>

#include "fer/autograd/ops.h"
#include "fer/simt/executor.h"
#include "fer/tensor/backend.h"

namespace fer {
namespace {

TEST_CASE("the out-of-memory error names the operation, the request and the memory in use") {
  if (!is_available(Device::simt)) return;
  simt::Options options = simt::options();
  options.memory_limit = backend(Device::simt).memory_stats().live + (8 << 20);
  const simt::OptionsScope scope(options);
  ModuleScope module("stage.0");
  const Variable a(Tensor::full({1024, 512}, 1.0, DType::float32, Device::simt), true);
  std::string message;
  try {
    const Variable y = mul(reshape(a, {1024, 1, 512}), reshape(a, {1, 1024, 512}));
  } catch (const DeviceError& error) {
    message = error.what();
  }
  CAPTURE(message);
  CHECK(message.starts_with("device simt is out of memory: 2048.0 MiB asked for by [mul], "));
  CHECK(message.find(" in use of a limit of ") != std::string::npos);
  CHECK(message.find(" free. A smaller batch or gradient checkpointing needs less. (in module stage.0)") !=
        std::string::npos);
}

}  // namespace
}  // namespace fer
