// Batched matrix product, y = a b:  da = dy b^T,  db = a^T dy.
#include "autograd/op_checks.h"
#include "fer/autograd/ops.h"

namespace fer {

using namespace detail;

namespace {

/// ... x M x K and ... x K x N with equal leading dimensions -> ... x M x N.
Shape product_shape(const Shape& a, const Shape& b) {
  require<ShapeError>(a.rank() >= 2 && a.rank() == b.rank(), "[matmul] shapes ", a, " and ", b,
                      ": both need the same number of dimensions, at least 2");
  for (int i = 0; i < a.rank() - 2; ++i) {
    require<ShapeError>(a[i] == b[i], "[matmul] shapes ", a, " and ", b, " differ in dimension ", i);
  }
  require<ShapeError>(a[-1] == b[-2], "[matmul] shapes ", a, " and ", b, ": ", a[-1], " columns times ",
                      b[-2], " rows");
  Shape y = a;
  y.set(-1, b[-1]);
  return y;
}

}  // namespace

Variable matmul(const Variable& a, const Variable& b) {
  check_operands("matmul", {{"a", value_or_none(a)}, {"b", value_or_none(b)}});
  Tensor y = Tensor::empty_like(a.value(), product_shape(a.shape(), b.shape()));
  backend_of(y).matmul(a.value(), false, b.value(), false, y);
  const bool needs_da = needs_gradient(a), needs_db = needs_gradient(b);
  return record(
      "matmul", std::move(y), {a, b},
      [needs_da, needs_db, sa = a.shape(), sb = b.shape(),
       a_saved = save_if(needs_db, a.value(), "matmul", "a"),
       b_saved = save_if(needs_da, b.value(), "matmul", "b")](const Tensor& dy) -> std::vector<Tensor> {
        Tensor da = empty_if(needs_da, sa, dy), db = empty_if(needs_db, sb, dy);
        if (needs_da) backend_of(dy).matmul(dy, false, b_saved.get(), true, da);
        if (needs_db) backend_of(dy).matmul(a_saved.get(), true, dy, false, db);
        return {da, db};
      });
}

}  // namespace fer
