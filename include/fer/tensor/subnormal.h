// What the processor does with numbers too small for its format.
#pragma once

namespace fer {

/// Whether the calling thread, its OpenMP threads and all threads that any of them starts later take
/// subnormal numbers (smaller than 1.2e-38 in float32, 2.2e-308 in float64) for zero, both as operands and as
/// results. On many processors a multiplication by a subnormal takes a hundred times as long as any other;
/// they appear where a loss has all but vanished and in the moments of weights that get no gradient any more.
/// A program's choice, as it changes the thread's arithmetic for all of its code: the program `fer` makes it
/// when it starts, the library never does. Returns false, and changes nothing, on a processor for which fer
/// does not know the switch (anything but x86-64 and 64-bit ARM).
bool flush_subnormals(bool flush = true);

}  // namespace fer
