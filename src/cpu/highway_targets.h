// The instruction sets that the vector kernels are compiled for: SSE4, AVX2 and AVX-512, and plain C++ for
// anything else. Other sets would only add compile time: they do not speed up multiply-adds on floats.
// Include this before any header of Highway.
#pragma once

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL)
