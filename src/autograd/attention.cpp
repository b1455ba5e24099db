// Multi-head attention (Eq. 4), per head, with P = softmax(s q k^T), s = 1 / sqrt(D / heads):
//   y = P v,  dv = P^T dy,  dP = dy v^T,  dS = P (dP - rowsum(dy y)),  dq = s dS k,  dk = s dS^T q.
// Backward recomputes P from q, k and the log of each row's denominator, so no Tq x Tk matrix is kept. One
// pass is enough because rowsum(P dP) = rowsum(dy y).
#include <cmath>

#include "autograd/op_checks.h"
#include "fer/autograd/ops.h"

namespace fer {

using namespace detail;

namespace {

void check(std::string_view op, const Tensor& q, const Tensor& k, const Tensor& v, int heads) {
  check_operands(op, {{"q", q}, {"k", k}, {"v", v}});
  check_rank(op, {"q", q}, 3, "N x Tq x D");
  check_rank(op, {"k", k}, 3, "N x Tk x D");
  require<ShapeError>(k.dim(0) == q.dim(0) && k.dim(2) == q.dim(2), "[", op, "] q of shape ", q.shape(),
                      " and k of shape ", k.shape(), " differ in more than their tokens");
  require<ShapeError>(k.dim(1) >= 1, "[", op, "] k of shape ", k.shape(), " has no tokens");
  check_shape(op, {"v", v}, k.shape(), "the keys k ", k.shape());
  require<ShapeError>(heads >= 1 && q.dim(2) % heads == 0, "[", op, "] ", heads, " heads do not divide the ",
                      q.dim(2), " channels of q ", q.shape());
}

}  // namespace

Variable attention(const Variable& q, const Variable& k, const Variable& v, int heads) {
  check("attention", value_or_none(q), value_or_none(k), value_or_none(v), heads);
  Tensor y = Tensor::empty_like(q.value());
  Tensor log_sum_exp = Tensor::empty({q.dim(0), heads, q.dim(1)}, widened(q.dtype()), q.device());
  backend_of(y).attention_forward(q.value(), k.value(), v.value(), heads, y, log_sum_exp);
  const bool needs_dq = needs_gradient(q), needs_dk = needs_gradient(k), needs_dv = needs_gradient(v);
  const bool any = needs_dq || needs_dk || needs_dv;
  Saved y_saved = save_if(any, y, "attention", "y");
  return record(
      {"attention", {{"heads", heads}}}, std::move(y), {q, k, v},
      [=, q_saved = save_if(any, q.value(), "attention", "q"),
       k_saved = save_if(any, k.value(), "attention", "k"),
       v_saved = save_if(any, v.value(), "attention", "v"),
       lse_saved =
           save_if(any, log_sum_exp, "attention", "log_sum_exp")](const Tensor& dy) -> std::vector<Tensor> {
        const Tensor &qs = q_saved.get(), &ks = k_saved.get(), &vs = v_saved.get();
        Tensor dq = Tensor::empty_like(qs), dk = Tensor::empty_like(ks), dv = Tensor::empty_like(vs);
        backend_of(dy).attention_backward(qs, ks, vs, y_saved.get(), lse_saved.get(), dy, heads, dq, dk, dv);
        return {needs_dq ? dq : Tensor(), needs_dk ? dk : Tensor(), needs_dv ? dv : Tensor()};
      });
}

Variable attention_composed(const Variable& q, const Variable& k, const Variable& v, int heads) {
  check("attention_composed", value_or_none(q), value_or_none(k), value_or_none(v), heads);
  const std::int64_t width = q.dim(2) / heads;
  std::vector<Variable> outputs;
  for (int h = 0; h < heads; ++h) {
    const auto head = [&](const Variable& x) { return slice(x, 2, h * width, width); };
    const Variable scores =
        scale(matmul(head(q), transpose(head(k))), 1.0 / std::sqrt(static_cast<double>(width)));
    outputs.push_back(matmul(softmax(scores), head(v)));
  }
  return concat(outputs, 2);
}

}  // namespace fer
