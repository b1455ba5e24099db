// The CPU's Backend. Each operation is implemented in the file of its name in this folder; its signature and
// what it promises are written once, in fer/tensor/backend.h.
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
