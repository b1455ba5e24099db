// The CPU's Backend. Each operation is in the file of its name in this folder. fer/tensor/backend.h declares
// and documents the operations.
#pragma once

#include "fer/tensor/backend.h"
#include "tensor/caching_allocator.h"

namespace fer {

class CpuBackend final : public Backend {
 public:
  CpuBackend();

#include "backend_overrides.inc"  // from backend.h, by cmake/FerBackend.cmake

 private:
  CachingAllocator allocator_;
};

}  // namespace fer
