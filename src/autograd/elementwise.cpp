// Elementwise operations under NumPy's broadcasting. The gradient of a broadcast operand is summed over the
// dimensions in which it was repeated:
//   y = a + b:  da = sum_to(dy, a),      db = sum_to(dy, b)
//   y = a - b:  da = sum_to(dy, a),      db = -sum_to(dy, b)
//   y = a * b:  da = sum_to(dy * b, a),  db = sum_to(dy * a, b)
//   y = a / b:  da = sum_to(dy / b, a),  db = -sum_to(dy / b * y, b)
#include "autograd/op_checks.h"
#include "fer/autograd/ops.h"

namespace fer {

using namespace detail;

namespace {

Tensor binary(BinaryOp kind, std::string_view op, const Variable& a, const Variable& b) {
  check_operands(op, {{"a", value_or_none(a)}, {"b", value_or_none(b)}});
  Tensor y = Tensor::empty_like(a.value(), broadcast_shapes(a.shape(), b.shape(), op));
  backend_of(y).binary(kind, a.value(), b.value(), y);
  return y;
}

Tensor product(const Tensor& a, const Tensor& b) {
  Tensor y = Tensor::empty_like(a);
  backend_of(a).binary(BinaryOp::mul, a, b, y);
  return y;
}

Tensor quotient(const Tensor& a, const Tensor& b) {
  Tensor y = Tensor::empty_like(a);
  backend_of(a).binary(BinaryOp::div, a, b, y);
  return y;
}

Tensor scaled(const Tensor& x, double alpha) {
  Tensor y = Tensor::empty_like(x);
  backend_of(x).scale(x, alpha, y);
  return y;
}

}  // namespace

Variable add(const Variable& a, const Variable& b) {
  Tensor y = binary(BinaryOp::add, "add", a, b);
  const bool da = needs_gradient(a), db = needs_gradient(b);
  return record("add", std::move(y), {a, b},
                [da, db, sa = a.shape(), sb = b.shape()](const Tensor& dy) -> std::vector<Tensor> {
                  return {da ? reduce_to(dy, sa) : Tensor(), db ? reduce_to(dy, sb) : Tensor()};
                });
}

Variable sub(const Variable& a, const Variable& b) {
  Tensor y = binary(BinaryOp::sub, "sub", a, b);
  const bool da = needs_gradient(a), db = needs_gradient(b);
  return record("sub", std::move(y), {a, b},
                [da, db, sa = a.shape(), sb = b.shape()](const Tensor& dy) -> std::vector<Tensor> {
                  return {da ? reduce_to(dy, sa) : Tensor(), db ? scaled(reduce_to(dy, sb), -1.0) : Tensor()};
                });
}

Variable mul(const Variable& a, const Variable& b) {
  Tensor y = binary(BinaryOp::mul, "mul", a, b);
  const bool da = needs_gradient(a), db = needs_gradient(b);
  return record("mul", std::move(y), {a, b},
                [da, db, sa = a.shape(), sb = b.shape(), a_saved = save_if(db, a.value(), "mul", "a"),
                 b_saved = save_if(da, b.value(), "mul", "b")](const Tensor& dy) -> std::vector<Tensor> {
                  return {da ? reduce_to(product(dy, b_saved.get()), sa) : Tensor(),
                          db ? reduce_to(product(dy, a_saved.get()), sb) : Tensor()};
                });
}

Variable div(const Variable& a, const Variable& b) {
  Tensor y = binary(BinaryOp::div, "div", a, b);
  const bool da = needs_gradient(a), db = needs_gradient(b);
  const Saved y_saved = save_if(db, y, "div", "y");
  return record(
      "div", std::move(y), {a, b},
      [da, db, sa = a.shape(), sb = b.shape(), y_saved,
       b_saved = save_if(da || db, b.value(), "div", "b")](const Tensor& dy) -> std::vector<Tensor> {
        const Tensor share = quotient(dy, b_saved.get());
        return {da ? reduce_to(share, sa) : Tensor(),
                db ? scaled(reduce_to(product(share, y_saved.get()), sb), -1.0) : Tensor()};
      });
}

Variable scale(const Variable& x, double alpha) {
  check_operands("scale", {{"x", value_or_none(x)}});
  return record({"scale", {{"alpha", alpha}}}, scaled(x.value(), alpha), {x},
                [alpha](const Tensor& dy) -> std::vector<Tensor> { return {scaled(dy, alpha)}; });
}

Variable broadcast_to(const Variable& x, const Shape& shape) {
  check_operands("broadcast_to", {{"x", value_or_none(x)}});
  require<ShapeError>(broadcast_shapes(x.shape(), shape, "broadcast_to") == shape, "[broadcast_to] shape ",
                      x.shape(), " does not broadcast to ", shape);
  return record("broadcast_to", expand(x.value(), shape), {x},
                [sx = x.shape()](const Tensor& dy) -> std::vector<Tensor> { return {reduce_to(dy, sx)}; });
}

}  // namespace fer
