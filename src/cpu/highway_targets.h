// The instruction sets that the vector kernels are compiled for: SSE4, AVX2 and AVX-512 on x86, NEON on arm64,
// plain C++ elsewhere. Other x86 sets would only add compile time: they do not speed up multiply-adds on
// floats. The size of an SVE vector is unknown at compile time, so arrays of them, as the register tiles are,
// do not compile.
// Include this before any header of Highway.
#pragma once

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
