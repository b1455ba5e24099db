// heatmap and heatmap_product.
#include "tests/ops/op_test.h"

namespace fer::test {
namespace {

constexpr HeatmapKind kinds[] = {HeatmapKind::max, HeatmapKind::sum, HeatmapKind::abs_sum};

OP_TEST("heatmap: values") {
  const Variable f = leaf({1, 1, 2, 3}, {1, -5, 2, -3, -1, -2}, device);
  check_values(heatmap(f, HeatmapKind::max).value(), {1, 1, 2, 1}, {2, -1});
  check_values(heatmap(f, HeatmapKind::sum).value(), {1, 1, 2, 1}, {-2, -6});
  check_values(heatmap(f, HeatmapKind::abs_sum).value(), {1, 1, 2, 1}, {8, 6});
}

OP_TEST("heatmap: gradients; the first of equal maxima takes it, zero has no sign") {
  const std::vector<double> values = {4, 4, 1, -2, 0, 3};
  const Tensor dh = Tensor::from<double>({1, 1, 2, 1}, {10, 7}, device);
  const auto gradient = [&](HeatmapKind kind) {
    Variable f = leaf({1, 1, 2, 3}, values, device);
    heatmap(f, kind).backward(dh);
    return f.grad();
  };
  check_values(gradient(HeatmapKind::max), {1, 1, 2, 3}, {10, 0, 0, 0, 0, 7});
  check_values(gradient(HeatmapKind::sum), {1, 1, 2, 3}, {10, 10, 10, 7, 7, 7});
  check_values(gradient(HeatmapKind::abs_sum), {1, 1, 2, 3}, {10, 10, 10, -7, 0, 7});
}

OP_TEST("heatmap: sum and abs_sum are sums over channels") {
  const auto in = CaseInputs("heatmap oracle", device).apart("f", {2, 3, 5, 17}).take();
  const auto over_channels = [](const Variable& x) { return sum_to(x, {2, 3, 5, 1}); };
  check_equivalent([](const auto& v) { return heatmap(v[0], HeatmapKind::sum); },
                   [&](const auto& v) { return over_channels(v[0]); }, in);
  check_equivalent([](const auto& v) { return heatmap(v[0], HeatmapKind::abs_sum); },
                   [&](const auto& v) { return over_channels(add(relu(v[0]), relu(scale(v[0], -1.0)))); },
                   in);
}

OP_TEST("heatmap_product: equals heatmap times f_img") {
  for (HeatmapKind kind : kinds) {
    for (const auto& [lm, img] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {5, 17}, {33, 16}, {128, 3}}) {
      check_equivalent([kind](const auto& v) { return heatmap_product(v[0], v[1], kind); },
                       [kind](const auto& v) { return mul(heatmap(v[0], kind), v[1]); },
                       CaseInputs("heatmap_product", device)
                           .apart("f_lm", {2, 3, 5, lm})
                           .uniform("f_img", {2, 3, 5, img})
                           .take());
    }
  }
}

OP_TEST("heatmap_product: with frozen landmarks neither feature map is kept") {
  for (HeatmapKind kind : kinds) {
    Tensor lm = Tensor::full({1, 2, 2, 3}, 2.0, DType::float64, device);
    Variable img = leaf({1, 2, 2, 2}, std::vector<double>(8, 1.0), device);
    const Variable y = heatmap_product(Variable(lm), img, kind);
    CHECK(lm.sole_owner());
    img.mutable_value().fill(5.0);  // no complaint: backward does not read it
    sum(y).backward();
    check_values(img.grad(), {1, 2, 2, 2}, std::vector<double>(8, kind == HeatmapKind::max ? 2.0 : 6.0));
  }
}

OP_TEST("heatmap: errors") {
  const auto zeros = [&](const Shape& shape) {
    return Variable(Tensor::zeros(shape, DType::float64, device));
  };
  CHECK_MESSAGE_OF(heatmap(zeros({2, 3, 4}), HeatmapKind::max), ShapeError,
                   "[heatmap] f_lm needs 4 dimensions, N x H x W x C, got shape (2, 3, 4)");
  CHECK_MESSAGE_OF(heatmap(zeros({1, 2, 2, 0}), HeatmapKind::max), ShapeError,
                   "[heatmap] f_lm of shape (1, 2, 2, 0) has no channels");
  CHECK_MESSAGE_OF(
      heatmap_product(zeros({1, 2, 2, 3}), zeros({1, 2, 3, 3}), HeatmapKind::max), ShapeError,
      "[heatmap_product] f_lm of shape (1, 2, 2, 3) and f_img of shape (1, 2, 3, 3) differ in more than "
      "their channels");
  CHECK_MESSAGE_OF(heatmap_product(zeros({1, 2, 2, 3}), zeros({2, 2, 3}), HeatmapKind::sum), ShapeError,
                   "[heatmap_product] f_img needs 4 dimensions, N x H x W x C, got shape (2, 2, 3)");
  CHECK_MESSAGE_OF(heatmap_product(zeros({1, 2, 2, 3}), Variable(), HeatmapKind::sum), TypeError,
                   "[heatmap_product] f_img is undefined");
}

}  // namespace
}  // namespace fer::test
