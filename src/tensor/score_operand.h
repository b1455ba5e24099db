// A tensor that broadcasts to the scores of attention, N x heads x Tq x Tk. A plain structure, because kernels
// take it by value.
#pragma once

#include <cstdint>

#include "fer/tensor/random.h"
#include "fer/tensor/shape.h"

namespace fer {

template <typename E>
struct ScoreOperand {
  const E* data = nullptr;                               ///< null: there is none
  std::int64_t batch = 0, head = 0, query = 0, key = 0;  ///< strides, 0 where the tensor is repeated

  ScoreOperand() = default;
  ScoreOperand(const E* data_, const Shape& shape) : data(data_) {
    std::int64_t* const strides[] = {&key, &query, &head, &batch};
    std::int64_t stride = 1;
    for (int i = 1; i <= shape.rank(); ++i) {
      *strides[i - 1] = shape[-i] == 1 ? 0 : stride;
      stride *= shape[-i];
    }
  }

  FER_HOST_DEVICE const E* at(std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) const {
    return data + b * batch + h * head + i * query + j * key;
  }
};

}  // namespace fer
