// LayerNorm: normalises each row of rows x C, then scales and shifts its columns.
#pragma once

#include "fer/layers/module.h"

namespace fer {

class LayerNorm : public Layer {
 public:
  explicit LayerNorm(std::int64_t channels, double eps = 1e-6);

  std::string describe() const override;
  /// x: rows x C.
  Variable forward(const Variable& x) override;

  double eps() const { return eps_; }

  Variable weight, bias;  ///< C

 private:
  std::int64_t channels_;
  double eps_;
};

}  // namespace fer
