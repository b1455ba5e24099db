// Activations as layers, for use in a Sequential. PReLU learns one slope per channel; the others have no
// state.
#pragma once

#include "fer/autograd/ops.h"
#include "fer/layers/module.h"

namespace fer {

/// y = x where x > 0, else weight[c] * x.
class PReLU : public Layer {
 public:
  explicit PReLU(std::int64_t channels);
  std::string describe() const override;
  /// x: rows x C.
  Variable forward(const Variable& x) override;

  Variable weight;  ///< C, the slopes

 private:
  std::int64_t channels_;
};

class ReLU : public Layer {
 public:
  std::string describe() const override { return "ReLU"; }
  Variable forward(const Variable& x) override { return relu(x); }
};

/// The exact form, x * Phi(x).
class GELU : public Layer {
 public:
  std::string describe() const override { return "GELU"; }
  Variable forward(const Variable& x) override { return gelu(x); }
};

class Sigmoid : public Layer {
 public:
  std::string describe() const override { return "Sigmoid"; }
  Variable forward(const Variable& x) override { return sigmoid(x); }
};

}  // namespace fer
