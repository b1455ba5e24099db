// Which instruction sets the vector kernels are compiled for: SSE4, AVX2 and AVX-512, and plain C++ for
// anything else. The ones between and beyond add nothing to multiply-adds on floats but compile time.
// Included before any header of Highway.
#pragma once

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL)
