// CUDA's names, under nvcc and on the simt executor alike. Every kernel file of this folder includes it. The
// header below is public so that kernels outside fer can be run and checked in the same way.
#pragma once

#include "fer/simt/gpu.h"
