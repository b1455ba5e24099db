// The precision in which a device multiplies, chosen at run time: speed and memory against accuracy.
#pragma once

#include <ostream>
#include <string_view>

#include "fer/tensor/tensor.h"

namespace fer {

/// How the float32 operands of matrix products, linear layers and convolutions are rounded, and how the
/// activations between layers are stored. Sums, statistics, losses, weights, their gradients and optimizer
/// states are always float32. float64 operands are never rounded.
///   float32  operands are not rounded: 24 bits of mantissa
///   tf32     operands are rounded to 11 bits, for tensor cores
///   bf16     operands are rounded to 8 bits, for tensor cores; activations and their gradients are stored as
///            bfloat16, in half the memory
enum class Precision { float32, tf32, bf16 };

std::string_view name_of(Precision precision);
/// "float32", "tf32" or "bf16"; anything else is a ConfigError that lists them.
Precision parse_precision(std::string_view text);
std::ostream& operator<<(std::ostream& out, Precision precision);

/// The largest relative error of rounding an operand to nearest: 0, 2^-11 and 2^-8.
double operand_rounding(Precision precision);

/// The precision of a device's products, for the whole process; the default is float32.
Precision precision(Device device);
/// ConfigError, saying what to do, if the device does not support it; the CPU supports only float32.
void set_precision(Device device, Precision precision);

/// Sets a device's precision for a scope (a test, an evaluation).
class PrecisionScope {
 public:
  PrecisionScope(Device device, Precision scoped) : device_(device), saved_(precision(device)) {
    set_precision(device, scoped);
  }
  ~PrecisionScope() { set_precision(device_, saved_); }
  PrecisionScope(const PrecisionScope&) = delete;
  PrecisionScope& operator=(const PrecisionScope&) = delete;

 private:
  Device device_;
  Precision saved_;
};

/// The type of the activations computed from x: bfloat16 if x is float32 and the precision is bf16, else x's
/// type.
DType activation_type(const Tensor& x);

/// x as its device's products read it. With precision bf16, a float32 tensor is converted to bfloat16, and an
/// operation may save the converted tensor for backward instead of x. Otherwise x itself.
Tensor product_operand(const Tensor& x);

/// While alive, all calls of product_operand(x) in this thread return the same tensor, so an operation that
/// multiplies x twice converts it once.
class SharedOperand {
 public:
  explicit SharedOperand(const Tensor& x);
  ~SharedOperand();
  SharedOperand(const SharedOperand&) = delete;
  SharedOperand& operator=(const SharedOperand&) = delete;

 private:
  friend Tensor product_operand(const Tensor& x);
  Tensor x_;
  std::uint64_t version_;
  mutable Tensor operand_;      ///< converted at the first call
  const SharedOperand* outer_;  ///< the enclosing SharedOperand
};

}  // namespace fer
