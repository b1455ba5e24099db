// What all communicators check of their operands, and the reduction of two ranks' values.
#pragma once

#include <cstddef>

#include "fer/tensor/communicator.h"

namespace fer::comm {

/// TypeError if `reduction` does not take the type of x; ShapeError if x is undefined.
void check_reduction(const Tensor& x, Reduction reduction);
/// ShapeError unless x has rows.
void check_rows(const Tensor& x);
/// ConfigError unless 0 <= rank < size.
void check_rank(int rank, int size);

/// sum[i] = sum[i] op value[i], for `count` elements of `dtype`.
void reduce(Reduction reduction, DType dtype, std::size_t count, const void* value, void* sum);

}  // namespace fer::comm
