// Classification losses and NeAA, on batches around a warp and a block.
#include "tests/kernels/kernel_case.h"

namespace fer::test {
namespace {

void add_classification(std::vector<KernelCase>& cases) {
  for (const std::int64_t n : {1, 3, 31, 33, 257}) {
    for (const std::int64_t classes : {2, 7, 33}) {
      cases.push_back(
          {concat("cross_entropy/", n, " x ", classes),
           {"cross_entropy_forward", "cross_entropy_backward", "soft_cross_entropy_forward",
            "soft_cross_entropy_backward", "entropy_forward", "entropy_backward"},
           [=](Bench& b) {
             const Shape shape{n, classes};
             const Tensor scores = b.random(shape, -4, 4), labels = b.labels(n, classes),
                          target = b.random(shape, 0, 1), dloss = b.random({}), dentropy = b.random({n});
             Tensor& probabilities = b.result(shape);
             b.backend().cross_entropy_forward(scores, labels, 0.1, b.result({}), probabilities);
             b.backend().cross_entropy_backward(probabilities, labels, 0.1, dloss, b.result(shape));
             Tensor& soft = b.result(shape);
             b.backend().soft_cross_entropy_forward(scores, target, b.result({}), soft);
             Tensor none;
             b.backend().soft_cross_entropy_backward(scores, soft, target, dloss, b.result(shape),
                                                     b.result(shape));
             b.backend().soft_cross_entropy_backward(scores, soft, target, dloss, b.result(shape), none);
             Tensor& entropy = b.result({n});
             b.backend().entropy_forward(scores, entropy);
             b.backend().entropy_backward(scores, entropy, dentropy, b.result(shape));
           }});
    }
  }
}

void add_neaa(std::vector<KernelCase>& cases) {
  for (const std::int64_t n : {1, 2, 31, 33, 129}) {
    for (const std::int64_t width : {1, 31, 33, 65}) {
      cases.push_back(
          {concat("neaa/", n, " x ", width),
           {"class_anchors", "anchor_loss_forward", "anchor_loss_backward", "neutral_loss_forward",
            "neutral_loss_backward", "neutral_loss_pairwise_forward"},
           [=](Bench& b) {
             constexpr std::int64_t classes = 7, neutral = 6;
             const Tensor features = b.random({n, width}), scores = b.random({n, classes}, -3, 3),
                          labels = b.labels(n, classes), dloss = b.random({});
             Tensor& anchors = b.result({classes}, DType::int64);
             b.backend().class_anchors(scores, labels, anchors);
             for (const std::int64_t skip : {neutral, std::int64_t{-1}}) {
               b.backend().anchor_loss_forward(features, labels, anchors, skip, b.result({}));
               b.backend().anchor_loss_backward(features, labels, anchors, skip, dloss, b.result({n, width}));
             }
             b.backend().neutral_loss_forward(features, labels, neutral, b.result({}));
             b.backend().neutral_loss_backward(features, labels, neutral, dloss, b.result({n, width}));
             b.backend().neutral_loss_pairwise_forward(features, labels, neutral, b.result({}));
           }});
    }
  }
}

}  // namespace

std::vector<KernelCase> loss_cases() {
  std::vector<KernelCase> cases;
  add_classification(cases);
  add_neaa(cases);
  for (KernelCase& c : cases) c.bfloat16 = false;
  return cases;
}

}  // namespace fer::test
