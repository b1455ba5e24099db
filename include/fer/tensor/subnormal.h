// How the processor treats subnormal numbers.
#pragma once

namespace fer {

/// Sets whether subnormal numbers (smaller than 1.2e-38 in float32, 2.2e-308 in float64) count as zero, both
/// as operands and as results. It applies to the calling thread, its OpenMP threads, and all threads that
/// these start later. On many processors, multiplying by a subnormal takes a hundred times as long as any
/// other multiplication. Subnormals appear when a loss has almost vanished, and in the moments of weights
/// that no longer get a gradient. The setting affects all code of a thread, so the choice is the program's:
/// `fer` sets it at startup, the library never does. Returns false and changes nothing on processors that fer
/// does not support here (any but x86-64 and 64-bit ARM).
bool flush_subnormals(bool flush = true);

}  // namespace fer
