// In what precision a device multiplies: a choice at run time, of speed and memory against digits.
#pragma once

#include <ostream>
#include <string_view>

#include "fer/tensor/tensor.h"

namespace fer {

/// What becomes of the float32 operands of matrix products, linear layers and convolutions, and of the maps
/// between the layers of a network. Sums are float32 in every case, and so are statistics, losses, weights,
/// their gradients and optimizers. float64 is never touched.
///   float32  multiplied as they are: 24 bits of mantissa
///   tf32     rounded to 11 bits, on tensor cores
///   bf16     rounded to 8 bits, on tensor cores; a network's maps and their gradients are stored so, in half
///            the memory
enum class Precision { float32, tf32, bf16 };

std::string_view name_of(Precision precision);
/// "float32", "tf32" or "bf16"; anything else is a ConfigError that lists them.
Precision parse_precision(std::string_view text);
std::ostream& operator<<(std::ostream& out, Precision precision);

/// The largest relative error that rounding an operand to nearest makes: 0, 2^-11 and 2^-8.
double operand_rounding(Precision precision);

/// In what precision a device's products multiply; float32 until set, for the whole process.
Precision precision(Device device);
/// ConfigError, saying what to do, if the device has no such arithmetic: the CPU has float32 alone.
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

/// The type of the maps that a network computes of x: bfloat16 for float32 in the precision bf16, else x's
/// own.
DType activation_type(const Tensor& x);

/// x as the products of its device read it: in the precision bf16 a float32 tensor becomes a bfloat16 one,
/// which an operation may keep for backward in its place. Otherwise x itself.
Tensor product_operand(const Tensor& x);

/// While alive, calls of product_operand(x) by this thread give one and the same tensor: for an operation
/// that multiplies x twice.
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
  mutable Tensor operand_;      ///< made at the first call
  const SharedOperand* outer_;  ///< the one that was made before it
};

}  // namespace fer
