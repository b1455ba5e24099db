// Cases of the losses: one sample, classes of one sample, absent classes, and batches with all of them.
#include "autograd/gradcheck_cases.h"
#include "fer/autograd/ops.h"

namespace fer::detail {
namespace {

/// n labels below `classes`. Low classes come more often, so that some classes have one sample or none.
Tensor some_labels(std::int64_t n, std::int64_t classes, Device device) {
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < n; ++i) labels.push_back((i * i + 3 * i) % classes);
  return Tensor::from(Shape{n}, labels, device);
}

void add_classification(Cases& cases) {
  for (const auto& [n, k] : {std::pair<std::int64_t, std::int64_t>{1, 7}, {5, 7}, {17, 8}, {3, 1}}) {
    const auto scores = [n = n, k = k](CaseInputs& in) { in.uniform("scores", {n, k}, -3.0, 3.0); };
    const std::string size = concat(" ", n, " x ", k);
    for (double smoothing : {0.0, 0.2}) {
      cases.push_back({concat("cross_entropy/smoothing ", smoothing, size), scores, [=](Inputs x) {
                         return cross_entropy(x[0], some_labels(x[0].dim(0), x[0].dim(1), x[0].device()),
                                              smoothing);
                       }});
    }
    cases.push_back({"entropy/" + size.substr(1), scores, [](Inputs x) { return entropy(x[0]); }});
    cases.push_back({"soft_cross_entropy/" + size.substr(1),
                     [=, n = n, k = k](CaseInputs& in) {
                       scores(in);
                       in.uniform("target", {n, k}, 0.0, 1.0);
                     },
                     [](Inputs x) { return soft_cross_entropy(x[0], x[1]); }});
  }
}

void add_neaa(Cases& cases) {
  struct Extents {
    std::int64_t n, dim, classes, neutral;
  };
  for (const auto& [label, e] : {std::pair<std::string, Extents>{"one sample", {1, 4, 7, 6}},
                                 {"every class", {13, 5, 3, 0}},
                                 {"absent classes", {9, 3, 7, 4}},
                                 {"no neutral sample", {7, 3, 7, 6}},
                                 {"many", {33, 17, 7, 0}}}) {
    const auto inputs = [e = e](CaseInputs& in) {
      in.uniform("features", {e.n, e.dim}).uniform("scores", {e.n, e.classes}, -2.0, 2.0, false);
    };
    const auto labels = [e = e](Inputs x) { return some_labels(e.n, e.classes, x[0].device()); };
    const std::int64_t neutral = e.neutral;
    cases.push_back({"anchor_loss/" + label, inputs,
                     [=](Inputs x) { return anchor_loss(x[0], x[1].value(), labels(x)); }});
    cases.push_back({"anchor_loss/" + label + ", neutral left out", inputs,
                     [=](Inputs x) { return anchor_loss(x[0], x[1].value(), labels(x), neutral); }});
    cases.push_back(
        {"neutral_loss/" + label, inputs, [=](Inputs x) { return neutral_loss(x[0], labels(x), neutral); }});
    cases.push_back({"neutral_loss_composed/" + label, inputs,
                     [=](Inputs x) { return neutral_loss_composed(x[0], labels(x), neutral); }});
    cases.push_back({"neaa_loss/" + label, inputs,
                     [=](Inputs x) { return neaa_loss(x[0], x[1].value(), labels(x), neutral); }});
  }
}

}  // namespace

void add_loss_cases(Cases& cases) {
  add_classification(cases);
  add_neaa(cases);
}

}  // namespace fer::detail
