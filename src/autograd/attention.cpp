// Multi-head attention (Eq. 4), per head, with P = softmax(s q k^T), s = 1 / sqrt(D / heads):
//   y = P v,  dv = P^T dy,  dP = dy v^T,  dS = P (dP - rowsum(dy y)),  dq = s dS k,  dk = s dS^T q.
// A bias is added to the scores, and a mask makes them -infinity. The gradient of the bias is dS, summed over
// what was broadcast.
// Backward recomputes P from q, k and the log of each row's denominator, so forward keeps no Tq x Tk matrix;
// backward makes one only for the gradient of a bias. One pass is enough because rowsum(P dP) = rowsum(dy y).
#include <cmath>

#include "autograd/op_checks.h"
#include "fer/autograd/ops.h"
#include "tensor/operand_checks.h"

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

Variable attention(const Variable& q, const Variable& k, const Variable& v, int heads, const Variable& bias,
                   const Variable& mask) {
  check("attention", value_or_none(q), value_or_none(k), value_or_none(v), heads);
  const AttentionBias bias_and_mask{value_or_none(bias), value_or_none(mask)};
  const Shape scores{q.dim(0), heads, q.dim(1), k.dim(1)};
  check_attention_bias(bias_and_mask, scores, q.value());
  Tensor y = Tensor::empty_like(q.value());
  Tensor log_sum_exp = Tensor::empty({q.dim(0), heads, q.dim(1)}, widened(q.dtype()), q.device());
  backend_of(y).attention_forward(q.value(), k.value(), v.value(), bias_and_mask, heads, y, log_sum_exp);
  const bool needs_dq = needs_gradient(q), needs_dk = needs_gradient(k), needs_dv = needs_gradient(v),
             needs_dbias = needs_gradient(bias);
  const bool needs_any = needs_dq || needs_dk || needs_dv || needs_dbias;
  const auto save = [needs_any](const Tensor& tensor, std::string_view name) {
    return save_if(needs_any && tensor.defined(), tensor, "attention", name);
  };
  const Saved y_saved = save(y, "y");
  return record(
      {"attention", {{"heads", heads}}}, std::move(y), {q, k, v, bias, mask},
      [=, q_saved = save(q.value(), "q"), k_saved = save(k.value(), "k"), v_saved = save(v.value(), "v"),
       bias_saved = save(bias_and_mask.bias, "bias"), mask_saved = save(bias_and_mask.mask, "mask"),
       lse_saved = save(log_sum_exp, "log_sum_exp"), has_bias = bias_and_mask.bias.defined(),
       has_mask = bias_and_mask.mask.defined()](const Tensor& dy) -> std::vector<Tensor> {
        const Tensor &qs = q_saved.get(), &ks = k_saved.get(), &vs = v_saved.get();
        const AttentionBias saved_bias_and_mask{has_bias ? bias_saved.get() : Tensor(),
                                                has_mask ? mask_saved.get() : Tensor()};
        Tensor dq = Tensor::empty_like(qs), dk = Tensor::empty_like(ks), dv = Tensor::empty_like(vs);
        Tensor dscores = empty_if(needs_dbias, scores, saved_bias_and_mask.bias);
        backend_of(dy).attention_backward(qs, ks, vs, saved_bias_and_mask, y_saved.get(), lse_saved.get(), dy,
                                          heads, dq, dk, dv, dscores);
        return {needs_dq ? dq : Tensor(), needs_dk ? dk : Tensor(), needs_dv ? dv : Tensor(),
                needs_dbias ? reduce_to(dscores, saved_bias_and_mask.bias.shape()) : Tensor(), Tensor()};
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
