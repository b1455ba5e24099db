// What every operation checks before it calls a backend, and the small questions that all of them ask of
// their inputs. A message names the op, the operand and what it got.
#pragma once

#include <initializer_list>
#include <string_view>

#include "fer/autograd/variable.h"
#include "fer/tensor/backend.h"

namespace fer::detail {

/// A tensor and the name under which messages speak of it.
struct Operand {
  std::string_view name;
  const Tensor& tensor;
  bool is_parameter = false;  ///< a weight or a statistic beside the data: float32 where the data is bfloat16
};
constexpr bool parameter = true;

/// The value of an optional input: an undefined tensor stands for none.
inline const Tensor& value_or_none(const Variable& x) {
  static const Tensor none;
  return x.defined() ? x.value() : none;
}

/// Whether backward will be asked for the gradient of x.
inline bool needs_gradient(const Variable& x) {
  return grad_enabled() && x.requires_grad();
}

/// `tensor`, kept for backward if `wanted`.
inline Saved save_if(bool wanted, const Tensor& tensor, std::string_view op, std::string_view name) {
  return wanted ? Saved(tensor, op, name) : Saved();
}
/// The value of x, or the recipe of one that is cheap to make again.
inline Saved save_if(bool wanted, const Variable& x, std::string_view op, std::string_view name) {
  return wanted ? Saved(x, op, name) : Saved();
}

/// x as products read it, perhaps in a narrower type: one copy for all of its readers.
Tensor product_operand(const Variable& x);

/// Of what gives a product its x once more, that which takes the least memory: the recipe of x; x itself, if
/// it is a leaf, which whoever made it holds anyway, or if another operation keeps it; or else the operand,
/// perhaps a narrower copy.
Saved save_operand(bool wanted, const Variable& x, std::string_view op, std::string_view name);

/// An output's memory if its gradient is `wanted`; the undefined tensor tells a backend to leave it out.
inline Tensor empty_if(bool wanted, const Shape& shape, const Tensor& like) {
  return wanted ? Tensor::empty_like(like, shape) : Tensor();
}

/// The memory of an elementwise gradient: dy's own, unless others may still read it. The kernel has to allow
/// that.
inline Tensor over(const Tensor& dy) {
  return dy.sole_owner() ? dy : Tensor::empty_like(dy);
}

/// The gradient of a parameter, if it is `wanted`; dy: of the data beside it.
inline Tensor parameter_gradient_if(bool wanted, const Shape& shape, const Tensor& dy) {
  return wanted ? Tensor::empty(shape, widened(dy.dtype()), dy.device()) : Tensor();
}

/// All `required` operands are there; they and the `optional` ones that are there have one device and one
/// type: float32 or float64, or on a device that computes so bfloat16, beside parameters in float32.
void check_operands(std::string_view op, std::initializer_list<Operand> required,
                    std::initializer_list<Operand> optional = {});

/// `layout` describes the dimensions for people: "N x H x W x C".
void check_rank(std::string_view op, const Operand& x, int rank, std::string_view layout);

/// `meaning` says where the wanted shape comes from: "the channels of x (2, 5, 5, 3)".
template <typename... Meaning>
void check_shape(std::string_view op, const Operand& x, const Shape& wanted, const Meaning&... meaning) {
  require<ShapeError>(x.tensor.shape() == wanted, "[", op, "] ", x.name, " has shape ", x.tensor.shape(),
                      ", needs ", wanted, " for ", meaning...);
}

/// int64, one a row of `rows` (N x ...), on its device.
void check_labels(std::string_view op, const Tensor& labels, const Operand& rows);

/// DataError unless all labels are in 0 .. classes - 1; fetches them from their device.
void check_label_range(std::string_view op, const Tensor& labels, std::int64_t classes);

/// x summed to `shape`, which broadcasts to that of x; x itself where nothing is to be summed.
Tensor reduce_to(const Tensor& x, const Shape& shape);
/// The same as the gradient of a parameter: in float32 where x is bfloat16.
Tensor reduce_to_parameter(const Tensor& x, const Shape& shape);

/// alpha * x, repeated to `shape`.
Tensor expand(const Tensor& x, const Shape& shape, double alpha = 1.0);

}  // namespace fer::detail
