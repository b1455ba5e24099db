// What every kernel file of this folder includes: CUDA's names, under nvcc and on the executor alike.
// The header is public so that a kernel outside of fer can be run and checked in the same way.
#pragma once

#include "fer/simt/gpu.h"
