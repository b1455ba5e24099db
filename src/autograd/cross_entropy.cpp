// Classification losses over scores N x K. With p = softmax(scores) and targets t,
//   cross-entropy:  L = -1/N sum_n sum_k t log p,  dscores = dL/N (p sum_j t_j - t),  dtarget = -dL/N log p
//   entropy:        h = -sum_k p log p,            dscores = -dh p (log p + h)
#include "autograd/op_checks.h"
#include "fer/autograd/ops.h"

namespace fer {

using namespace detail;

namespace {

void check_scores(std::string_view op, const Tensor& scores) {
  check_rank(op, {"scores", scores}, 2, "N x K");
  require<ShapeError>(scores.dim(0) >= 1 && scores.dim(1) >= 1, "[", op, "] scores of shape ", scores.shape(),
                      " hold no sample");
}

}  // namespace

Variable cross_entropy(const Variable& scores, const Tensor& labels, double label_smoothing) {
  constexpr std::string_view op = "cross_entropy";
  check_operands(op, {{"scores", value_or_none(scores)}});
  check_scores(op, scores.value());
  check_labels(op, labels, {"scores", scores.value()});
  check_label_range(op, labels, scores.dim(1));
  require<ConfigError>(label_smoothing >= 0.0 && label_smoothing <= 1.0, "[", op, "] the label smoothing ",
                       label_smoothing, " is outside of [0, 1]");
  Tensor loss = Tensor::empty_like(scores.value(), {}), probabilities = Tensor::empty_like(scores.value());
  backend_of(loss).cross_entropy_forward(scores.value(), labels, label_smoothing, loss, probabilities);
  const bool needed = needs_gradient(scores);
  return record(
      op, std::move(loss), {scores},
      [label_smoothing, p_saved = save_if(needed, probabilities, op, "probabilities"),
       labels_saved = save_if(needed, labels, op, "labels")](const Tensor& dloss) -> std::vector<Tensor> {
        Tensor dscores = Tensor::empty_like(p_saved.get());
        backend_of(dloss).cross_entropy_backward(p_saved.get(), labels_saved.get(), label_smoothing, dloss,
                                                 dscores);
        return {dscores};
      });
}

Variable soft_cross_entropy(const Variable& scores, const Variable& target) {
  constexpr std::string_view op = "soft_cross_entropy";
  check_operands(op, {{"scores", value_or_none(scores)}, {"target", value_or_none(target)}});
  check_scores(op, scores.value());
  check_shape(op, {"target", target.value()}, scores.shape(), "the scores ", scores.shape());
  Tensor loss = Tensor::empty_like(scores.value(), {}), probabilities = Tensor::empty_like(scores.value());
  backend_of(loss).soft_cross_entropy_forward(scores.value(), target.value(), loss, probabilities);
  const bool needs_ds = needs_gradient(scores), needs_dt = needs_gradient(target), any = needs_ds || needs_dt;
  return record(op, std::move(loss), {scores, target},
                [needs_ds, needs_dt, scores_saved = save_if(any, scores.value(), op, "scores"),
                 p_saved = save_if(any, probabilities, op, "probabilities"),
                 target_saved =
                     save_if(any, target.value(), op, "target")](const Tensor& dloss) -> std::vector<Tensor> {
                  const Tensor& s = scores_saved.get();
                  Tensor dscores = Tensor::empty_like(s), dtarget = empty_if(needs_dt, s.shape(), s);
                  backend_of(dloss).soft_cross_entropy_backward(s, p_saved.get(), target_saved.get(), dloss,
                                                                dscores, dtarget);
                  return {needs_ds ? dscores : Tensor(), dtarget};
                });
}

Variable entropy(const Variable& scores) {
  check_operands("entropy", {{"scores", value_or_none(scores)}});
  check_scores("entropy", scores.value());
  Tensor h = Tensor::empty_like(scores.value(), {scores.dim(0)});
  backend_of(h).entropy_forward(scores.value(), h);
  const bool needed = needs_gradient(scores);
  Saved h_saved = save_if(needed, h, "entropy", "entropy");
  return record("entropy", std::move(h), {scores},
                [h_saved, scores_saved = save_if(needed, scores.value(), "entropy", "scores")](
                    const Tensor& dh) -> std::vector<Tensor> {
                  const Tensor& s = scores_saved.get();
                  Tensor dscores = Tensor::empty_like(s);
                  backend_of(dh).entropy_backward(s, h_saved.get(), dh, dscores);
                  return {dscores};
                });
}

}  // namespace fer
