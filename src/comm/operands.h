// What all communicators check of their operands, and the reduction of the ranks' values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "fer/tensor/communicator.h"

namespace fer::comm {

/// TypeError if `reduction` does not take the type of x; ShapeError if x is undefined.
void check_reduction(const Tensor& x, Reduction reduction);
/// ShapeError unless x has rows.
void check_rows(const Tensor& x);
/// Uninitialised memory for the rows of all ranks, given this rank's and the number of each.
Tensor empty_rows(const Tensor& mine, const std::vector<std::int64_t>& rows);
/// ConfigError unless 0 <= rank < size.
void check_rank(int rank, int size);

/// result[i] = ((values[0][i] op values[1][i]) op values[2][i]) ..., `count` elements of `dtype` each. The result
/// may be one of the values.
void reduce(Reduction reduction, DType dtype, std::size_t count, const std::vector<const void*>& values,
            void* result);

}  // namespace fer::comm
