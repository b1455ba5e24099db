// Checks that every operation makes before it calls a backend, and helpers that all operations share. A
// message names the op, the operand and what it got.
#pragma once

#include <initializer_list>
#include <string_view>

#include "fer/autograd/variable.h"
#include "fer/tensor/backend.h"

namespace fer::detail {

/// A tensor and its name in messages.
struct Operand {
  std::string_view name;
  const Tensor& tensor;
  bool is_parameter = false;  ///< a weight or statistic: float32 even where the data is bfloat16
};
constexpr bool parameter = true;

/// The value of an optional input; an undefined tensor if there is none.
inline const Tensor& value_or_none(const Variable& x) {
  static const Tensor none;
  return x.defined() ? x.value() : none;
}

/// Whether backward will need the gradient of x.
inline bool needs_gradient(const Variable& x) {
  return grad_enabled() && x.requires_grad();
}

/// Saves `tensor` for backward if `wanted`.
inline Saved save_if(bool wanted, const Tensor& tensor, std::string_view op, std::string_view name) {
  return wanted ? Saved(tensor, op, name) : Saved();
}
/// Saves the value of x, or its recipe if x is cheap to recompute.
inline Saved save_if(bool wanted, const Variable& x, std::string_view op, std::string_view name) {
  return wanted ? Saved(x, op, name) : Saved();
}

/// x in the form that products read, perhaps in a narrower type. All readers share one copy.
Tensor product_operand(const Variable& x);

/// Saves the cheapest way to recreate a product's input x:
/// - the recipe of x, if it has one;
/// - x itself, if it is a leaf (its owner holds it anyway) or if another operation keeps it;
/// - otherwise the operand, perhaps a narrower copy.
Saved save_operand(bool wanted, const Variable& x, std::string_view op, std::string_view name);

/// Memory for an output if its gradient is `wanted`. An undefined tensor tells the backend to skip that
/// output.
inline Tensor empty_if(bool wanted, const Shape& shape, const Tensor& like) {
  return wanted ? Tensor::empty_like(like, shape) : Tensor();
}

/// Memory for an elementwise gradient: dy's own, unless others may still read it. The kernel must work in
/// place.
inline Tensor over(const Tensor& dy) {
  return dy.sole_owner() ? dy : Tensor::empty_like(dy);
}

/// Memory for the gradient of a parameter, if it is `wanted`. dy is the gradient of the data.
inline Tensor parameter_gradient_if(bool wanted, const Shape& shape, const Tensor& dy) {
  return wanted ? Tensor::empty(shape, widened(dy.dtype()), dy.device()) : Tensor();
}

/// Checks that all `required` operands are defined, and that all defined operands have one device and one
/// type. The type is float32 or float64, or bfloat16 with float32 parameters on a device that supports it.
void check_operands(std::string_view op, std::initializer_list<Operand> required,
                    std::initializer_list<Operand> optional = {});

/// `layout` describes the dimensions in messages: "N x H x W x C".
void check_rank(std::string_view op, const Operand& x, int rank, std::string_view layout);

/// `meaning` says where the wanted shape comes from: "the channels of x (2, 5, 5, 3)".
template <typename... Meaning>
void check_shape(std::string_view op, const Operand& x, const Shape& wanted, const Meaning&... meaning) {
  require<ShapeError>(x.tensor.shape() == wanted, "[", op, "] ", x.name, " has shape ", x.tensor.shape(),
                      ", needs ", wanted, " for ", meaning...);
}

/// Labels are int64, one per row of `rows` (N x ...), on the same device.
void check_labels(std::string_view op, const Tensor& labels, const Operand& rows);

/// Throws DataError unless all labels are in 0 .. classes - 1. Copies them from their device.
void check_label_range(std::string_view op, const Tensor& labels, std::int64_t classes);

/// x summed to `shape`, which broadcasts to the shape of x. Returns x itself if there is nothing to sum.
Tensor reduce_to(const Tensor& x, const Shape& shape);
/// The same for the gradient of a parameter: float32 where x is bfloat16.
Tensor reduce_to_parameter(const Tensor& x, const Shape& shape);

/// alpha * x, broadcast to `shape`.
Tensor expand(const Tensor& x, const Shape& shape, double alpha = 1.0);

}  // namespace fer::detail
