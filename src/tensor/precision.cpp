#include "fer/tensor/precision.h"

#include "fer/nearest.h"

#include <atomic>

namespace fer {
namespace {

std::atomic<Precision>& state_of(Device device) {
  static std::atomic<Precision> states[3] = {Precision::float32, Precision::float32, Precision::float32};
  return states[static_cast<int>(device)];
}

thread_local const SharedOperand* innermost = nullptr;

}  // namespace

std::string_view name_of(Precision precision) {
  switch (precision) {
    case Precision::float32:
      return "float32";
    case Precision::tf32:
      return "tf32";
    case Precision::bf16:
      return "bf16";
  }
  throw TypeError("name_of: unknown precision");
}

Precision parse_precision(std::string_view text) {
  for (Precision precision : {Precision::float32, Precision::tf32, Precision::bf16}) {
    if (text == name_of(precision)) return precision;
  }
  throw ConfigError(unknown_name("precision", text, {"float32", "tf32", "bf16"}));
}

std::ostream& operator<<(std::ostream& out, Precision precision) {
  return out << name_of(precision);
}

double operand_rounding(Precision precision) {
  switch (precision) {
    case Precision::float32:
      return 0.0;
    case Precision::tf32:
      return 0x1p-11;
    case Precision::bf16:
      return 0x1p-8;
  }
  throw TypeError("operand_rounding: unknown precision");
}

Precision precision(Device device) {
  return state_of(device);
}

void set_precision(Device device, Precision precision) {
  require<ConfigError>(
      precision == Precision::float32 || device != Device::cpu, "device ", device, " has no ", precision,
      " arithmetic: it computes in float32 (or float64); use --precision float32, or --device "
      "cuda or simt, whose products have tensor-core kernels");
  state_of(device) = precision;
}

DType activation_type(const Tensor& x) {
  const bool halves = x.dtype() == DType::float32 && precision(x.device()) == Precision::bf16;
  return halves ? DType::bfloat16 : x.dtype();
}

Tensor product_operand(const Tensor& x) {
  if (x.dtype() != DType::float32 || precision(x.device()) != Precision::bf16) return x;
  for (const SharedOperand* shared = innermost; shared != nullptr; shared = shared->outer_) {
    const bool same = shared->x_.shares_memory_with(x) && shared->x_.raw() == x.raw() &&
                      shared->x_.numel() == x.numel() && shared->version_ == x.version();
    if (!same) continue;
    if (!shared->operand_.defined()) shared->operand_ = x.to(DType::bfloat16);
    return shared->operand_.reshape(x.shape());
  }
  return x.to(DType::bfloat16);
}

SharedOperand::SharedOperand(const Tensor& x) : x_(x), version_(x.version()), outer_(innermost) {
  innermost = this;
}

SharedOperand::~SharedOperand() {
  innermost = outer_;
}

}  // namespace fer
