#include "autograd/op_checks.h"

#include "autograd/engine.h"
#include "fer/tensor/current_op.h"
#include "fer/tensor/device_runtime.h"

namespace fer::detail {
namespace {

bool is_computed_in(DType dtype, Device device) {
  return dtype == DType::float32 || dtype == DType::float64 ||
         (dtype == DType::bfloat16 && device != Device::cpu);
}

void check_kind(std::string_view op, const Operand& x, const Operand& first) {
  require<TypeError>(is_computed_in(x.tensor.dtype(), x.tensor.device()), "[", op, "] ", x.name, " is ",
                     x.tensor.dtype(), ", needs float32 or float64");
  const DType wanted = x.is_parameter ? widened(first.tensor.dtype()) : first.tensor.dtype();
  require<TypeError>(x.tensor.dtype() == wanted, "[", op, "] ", first.name, " is ", first.tensor.dtype(),
                     ", but ", x.name, " is ", x.tensor.dtype());
  require<TypeError>(x.tensor.device() == first.tensor.device(), "[", op, "] ", first.name, " is on ",
                     first.tensor.device(), ", but ", x.name, " is on ", x.tensor.device());
}

}  // namespace

void check_operands(std::string_view op, std::initializer_list<Operand> required,
                    std::initializer_list<Operand> optional) {
  set_current_op(op);
  const Operand& first = *required.begin();
  for (const Operand& x : required) {
    require<TypeError>(x.tensor.defined(), "[", op, "] ", x.name, " is undefined");
    check_kind(op, x, first);
  }
  for (const Operand& x : optional) {
    if (x.tensor.defined()) check_kind(op, x, first);
  }
}

void check_rank(std::string_view op, const Operand& x, int rank, std::string_view layout) {
  require<ShapeError>(x.tensor.rank() == rank, "[", op, "] ", x.name, " needs ", rank, " dimensions, ",
                      layout, ", got shape ", x.tensor.shape());
}

void check_labels(std::string_view op, const Tensor& labels, const Operand& rows) {
  require<TypeError>(labels.defined(), "[", op, "] labels are undefined");
  require<TypeError>(labels.dtype() == DType::int64, "[", op, "] labels are ", labels.dtype(),
                     ", need int64");
  require<TypeError>(labels.device() == rows.tensor.device(), "[", op, "] ", rows.name, " is on ",
                     rows.tensor.device(), ", but labels are on ", labels.device());
  require<ShapeError>(labels.rank() == 1 && labels.dim(0) == rows.tensor.dim(0), "[", op,
                      "] labels have shape ", labels.shape(), ", need one a row of ", rows.name, " ",
                      rows.tensor.shape());
}

void check_label_range(std::string_view op, const Tensor& labels, std::int64_t classes) {
  if (is_capturing(labels.device())) return;  // the caller of a captured step has checked its labels
  const Tensor host = labels.to(Device::cpu);
  const std::int64_t* label = host.data<std::int64_t>();
  for (std::int64_t i = 0; i < host.numel(); ++i) {
    require<DataError>(label[i] >= 0 && label[i] < classes, "[", op, "] label ", label[i], " of sample ", i,
                       " is outside of 0 .. ", classes - 1);
  }
}

Tensor product_operand(const Variable& x) {
  return Engine::operand(x);
}

Saved save_operand(bool wanted, const Variable& x, std::string_view op, std::string_view name) {
  if (!wanted) return {};
  const bool others_hold_it = !x.value().sole_owner();
  Saved as_it_is(x, op, name);
  if (as_it_is.is_recipe() || !x.node() || others_hold_it) return as_it_is;
  return Saved(Engine::operand(x), op, name);
}

Tensor reduce_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  // Only extents of 1 were added or removed: the elements and their order are the same.
  if (x.numel() == shape.numel()) return x.reshape(shape);
  Tensor y = Tensor::empty_like(x, shape);
  backend_of(x).sum_to(x, y);
  return y;
}

Tensor reduce_to_parameter(const Tensor& x, const Shape& shape) {
  if (x.dtype() == widened(x.dtype())) return reduce_to(x, shape);
  Tensor y = Tensor::empty(shape, widened(x.dtype()), x.device());
  backend_of(x).sum_to(x, y);
  return y;
}

Tensor expand(const Tensor& x, const Shape& shape, double alpha) {
  Tensor y = Tensor::full(shape, alpha, x.dtype(), x.device());
  backend_of(x).binary(BinaryOp::mul, y, x, y);
  return y;
}

}  // namespace fer::detail
