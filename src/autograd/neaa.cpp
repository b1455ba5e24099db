// The neutral-aware anchor loss (Eqs. 6-10) over features f, N x D. Dist is the mean squared difference over
// D; a_c is the anchor of class c, n_c its number of samples in the batch, n the number of neutral samples, m
// their mean:
//   anchor (Eqs. 7, 8):  L = sum_c 1/n_c sum_i Dist(f_i, a_c)
//                        df_i = dL 2 (f_i - a_c) / (n_c D),  da_c = -sum_i df_i
//   neutral (Eq. 9):     L = 2 n sum_i |f_i - m|^2 / (D (n - 1)^2),  df_i = dL 4 n (f_i - m) / (D (n - 1)^2)
// The choice of the anchors has no gradient.
#include "autograd/op_checks.h"
#include "fer/autograd/ops.h"

namespace fer {

using namespace detail;

namespace {

void check_features(std::string_view op, const Tensor& features, const Tensor& labels) {
  check_operands(op, {{"features", features}});
  check_rank(op, {"features", features}, 2, "N x D");
  require<ShapeError>(features.numel() > 0, "[", op, "] features of shape ", features.shape(),
                      " hold no sample");
  check_labels(op, labels, {"features", features});
}

}  // namespace

Variable anchor_loss(const Variable& features, const Tensor& scores, const Tensor& labels,
                     std::int64_t skip) {
  constexpr std::string_view op = "anchor_loss";
  check_features(op, value_or_none(features), labels);
  check_operands(op, {{"features", features.value()}, {"scores", scores}});
  check_rank(op, {"scores", scores}, 2, "N x K");
  require<ShapeError>(scores.dim(0) == features.dim(0) && scores.dim(1) >= 1, "[", op, "] scores have shape ",
                      scores.shape(), ", need a row of K each for features ", features.shape());
  const std::int64_t classes = scores.dim(1);
  check_label_range(op, labels, classes);
  require<ConfigError>(skip >= -1 && skip < classes, "[", op, "] there is no class ", skip, " to skip among ",
                       classes, "; -1 skips none");
  Tensor anchors = Tensor::empty({classes}, DType::int64, features.device());
  Tensor loss = Tensor::empty_like(features.value(), {});
  backend_of(loss).class_anchors(scores, labels, anchors);
  backend_of(loss).anchor_loss_forward(features.value(), labels, anchors, skip, loss);
  const bool needed = needs_gradient(features);
  return record(
      op, std::move(loss), {features},
      [skip, features_saved = save_if(needed, features.value(), op, "features"),
       labels_saved = save_if(needed, labels, op, "labels"),
       anchors_saved = save_if(needed, anchors, op, "anchors")](const Tensor& dloss) -> std::vector<Tensor> {
        const Tensor& f = features_saved.get();
        Tensor df = Tensor::empty_like(f);
        backend_of(dloss).anchor_loss_backward(f, labels_saved.get(), anchors_saved.get(), skip, dloss, df);
        return {df};
      });
}

Variable neutral_loss(const Variable& features, const Tensor& labels, std::int64_t neutral) {
  constexpr std::string_view op = "neutral_loss";
  check_features(op, value_or_none(features), labels);
  Tensor loss = Tensor::empty_like(features.value(), {});
  backend_of(loss).neutral_loss_forward(features.value(), labels, neutral, loss);
  const bool needed = needs_gradient(features);
  return record(
      op, std::move(loss), {features},
      [neutral, features_saved = save_if(needed, features.value(), op, "features"),
       labels_saved = save_if(needed, labels, op, "labels")](const Tensor& dloss) -> std::vector<Tensor> {
        const Tensor& f = features_saved.get();
        Tensor df = Tensor::empty_like(f);
        backend_of(dloss).neutral_loss_backward(f, labels_saved.get(), neutral, dloss, df);
        return {df};
      });
}

Variable neutral_loss_composed(const Variable& features, const Tensor& labels, std::int64_t neutral) {
  check_features("neutral_loss_composed", value_or_none(features), labels);
  const std::vector<std::int64_t> label = labels.to_vector<std::int64_t>();
  std::vector<Variable> chosen;
  for (std::int64_t i = 0; i < features.dim(0); ++i) {
    if (label[i] == neutral) chosen.push_back(slice(features, 0, i, 1));
  }
  const std::int64_t n = static_cast<std::int64_t>(chosen.size()), width = features.dim(1);
  if (n < 2) return scale(sum(features), 0.0);  // zero, but recorded as a function of the features
  const Variable f = concat(chosen, 0);
  const Variable difference = sub(reshape(f, {n, 1, width}), reshape(f, {1, n, width}));
  return scale(sum(mul(difference, difference)), 1.0 / static_cast<double>(width * (n - 1) * (n - 1)));
}

Variable neaa_loss(const Variable& features, const Tensor& scores, const Tensor& labels,
                   std::int64_t neutral) {
  return add(anchor_loss(features, scores, labels, neutral), neutral_loss(features, labels, neutral));
}

}  // namespace fer
