// The CPU's heat map: ties, NaN, sign of zero, gradients of the three kinds written out, and optional
// outputs.
#include <limits>

#include "cpu_values.h"

namespace fer::testing {
namespace {

constexpr HeatmapKind kKinds[] = {HeatmapKind::max, HeatmapKind::sum, HeatmapKind::abs_sum};

double heat_of(const std::vector<double>& f, std::int64_t row, std::int64_t channels, HeatmapKind kind) {
  double best = -HUGE_VAL, sum = 0, abs_sum = 0;
  for (std::int64_t c = row * channels; c < (row + 1) * channels; ++c) {
    best = std::max(best, f[c]);
    sum += f[c];
    abs_sum += std::abs(f[c]);
  }
  return kind == HeatmapKind::max ? best : kind == HeatmapKind::sum ? sum : abs_sum;
}

Tensor argmax_for(HeatmapKind kind, const Shape& shape) {
  return kind == HeatmapKind::max ? Tensor::zeros(shape, DType::int32) : Tensor();
}

}  // namespace

TEST_CASE_TEMPLATE("cpu heatmap: product and its gradients, any number of channels", T, float, double) {
  for (std::int64_t lm : {1, 7, 8, 9, 128}) {
    for (std::int64_t img : {1, 6, 17}) {
      for (HeatmapKind kind : kKinds) {
        CAPTURE(lm);
        CAPTURE(img);
        CAPTURE(static_cast<int>(kind));
        const Shape map{2, 3, 5, 1};
        const Tensor f_lm = random<T>({2, 3, 5, lm}, "lm"), f_img = random<T>({2, 3, 5, img}, "img");
        const Tensor dy = random<T>(f_img.shape(), "dy");
        Tensor y = poisoned(f_img.shape(), f_lm.dtype()), heat = poisoned(map, f_lm.dtype());
        Tensor argmax = argmax_for(kind, map);
        cpu().heatmap_product_forward(f_lm, f_img, kind, y, heat, argmax);
        Tensor df_lm = poisoned(f_lm.shape(), f_lm.dtype()), df_img = poisoned(f_img.shape(), f_lm.dtype());
        cpu().heatmap_product_backward(f_lm, f_img, heat, argmax, kind, dy, df_lm, df_img);

        const auto f = doubles<T>(f_lm), x = doubles<T>(f_img), g = doubles<T>(dy);
        std::vector<double> ey, eheat, edf_lm, edf_img;
        for (std::int64_t row = 0; row < map.numel(); ++row) {
          const double h = heat_of(f, row, lm, kind);
          eheat.push_back(h);
          double dheat = 0;
          for (std::int64_t c = row * img; c < (row + 1) * img; ++c) {
            ey.push_back(h * x[c]);
            edf_img.push_back(h * g[c]);
            dheat += g[c] * x[c];
          }
          for (std::int64_t c = row * lm; c < (row + 1) * lm; ++c) {
            const double factor = kind == HeatmapKind::sum   ? 1
                                  : kind == HeatmapKind::max ? f[c] == h
                                  : f[c] < 0                 ? -1
                                                             : 1;
            edf_lm.push_back(dheat * factor);
          }
        }
        const double limit = tolerance<T>(1e-14, 2e-6);
        CHECK(error(doubles<T>(y), ey) < limit);
        CHECK(error(doubles<T>(heat), eheat) < limit);
        CHECK(error(doubles<T>(df_lm), edf_lm) < limit);
        CHECK(error(doubles<T>(df_img), edf_img) < limit);

        // Each gradient is the same if computed alone; a frozen landmark network requests only df_img.
        Tensor none, again = poisoned(f_img.shape(), f_lm.dtype());
        cpu().heatmap_product_backward(f_lm, f_img, heat, argmax, kind, dy, none, again);
        CHECK(same_bits(again, df_img));
        again = poisoned(f_lm.shape(), f_lm.dtype());
        cpu().heatmap_product_backward(f_lm, f_img, heat, argmax, kind, dy, again, none);
        CHECK(same_bits(again, df_lm));
        // And the map alone is the map of the product.
        Tensor alone = poisoned(map, f_lm.dtype()), winners = argmax_for(kind, map);
        cpu().heatmap_forward(f_lm, kind, alone, winners);
        CHECK(same_bits(alone, heat));
      }
    }
  }
}

TEST_CASE("cpu heatmap: the first of equal channels wins, and it alone has the gradient") {
  const Tensor f = Tensor::from<float>({1, 1, 2, 4}, {1, 3, 3, 2, -1, -1, -1, -1});
  Tensor heat = poisoned({1, 1, 2, 1}, DType::float32), argmax = Tensor::zeros({1, 1, 2, 1}, DType::int32);
  cpu().heatmap_forward(f, HeatmapKind::max, heat, argmax);
  CHECK(heat.to_vector<float>() == std::vector<float>{3, -1});
  CHECK(argmax.to_vector<std::int32_t>() == std::vector<std::int32_t>{1, 0});
  Tensor df = poisoned(f.shape(), DType::float32);
  cpu().heatmap_backward(f, argmax, HeatmapKind::max, Tensor::from<float>({1, 1, 2, 1}, {5, 7}), df);
  CHECK(df.to_vector<float>() == std::vector<float>{0, 5, 0, 0, 7, 0, 0, 0});
}

TEST_CASE("cpu heatmap: zero has no sign, NaN is kept, minus infinity has a winner") {
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  Tensor df = poisoned({1, 1, 1, 4}, DType::float32), none;
  const Tensor zeros = Tensor::from<float>({1, 1, 1, 4}, {0.0f, -0.0f, 2, -2});
  cpu().heatmap_backward(zeros, none, HeatmapKind::abs_sum, Tensor::from<float>({1, 1, 1, 1}, {3}), df);
  CHECK(df.to_vector<float>() == std::vector<float>{0, 0, 3, -3});

  Tensor heat = poisoned({1, 1, 3, 1}, DType::float32), argmax = poisoned({1, 1, 3, 1}, DType::int32);
  const Tensor odd = Tensor::from<float>({1, 1, 3, 3}, {1, nan, 2, nan, 1, 2, -inf, -inf, -inf});
  cpu().heatmap_forward(odd, HeatmapKind::max, heat, argmax);
  CHECK(std::isnan(heat.to_vector<float>()[0]));
  CHECK(std::isnan(heat.to_vector<float>()[1]));
  CHECK(heat.to_vector<float>()[2] == -inf);
  CHECK(argmax.to_vector<std::int32_t>() == std::vector<std::int32_t>{1, 0, 0});
}

TEST_CASE("cpu heatmap: an arg-max that would write outside, or is missing, is refused") {
  const Tensor f = random<float>({1, 2, 2, 3}, "f"), dheat = random<float>({1, 2, 2, 1}, "d");
  Tensor df = poisoned(f.shape(), DType::float32), none;
  const Tensor outside = Tensor::from<std::int32_t>({1, 2, 2, 1}, {0, 1, 3, 2});
  CHECK_THROWS_WITH_AS(cpu().heatmap_backward(f, outside, HeatmapKind::max, dheat, df),
                       "[heatmap] argmax names a channel outside of 0 to 2", ShapeError);
  CHECK_THROWS_WITH_AS(cpu().heatmap_backward(f, none, HeatmapKind::max, dheat, df),
                       "[heatmap] the maximum needs the argmax of its forward pass, 4 elements", ShapeError);
  Tensor heat = poisoned({1, 2, 2, 1}, DType::float32);
  CHECK_THROWS_WITH_AS(cpu().heatmap_forward(f, HeatmapKind::max, heat, none),
                       "[heatmap] the maximum needs an argmax of 4 elements", ShapeError);
  Tensor y = poisoned({1, 2, 3, 5}, DType::float32), argmax = Tensor::zeros({1, 2, 2, 1}, DType::int32);
  CHECK_THROWS_WITH_AS(
      cpu().heatmap_product_forward(f, random<float>({1, 2, 3, 5}, "img"), HeatmapKind::max, y, heat, argmax),
      "[heatmap_product] f_img (1, 2, 3, 5) does not fit the heat map (1, 2, 2, 1)", ShapeError);
}

TEST_CASE("cpu heatmap: the same bits for any number of threads") {
  check_any_threads([] {
    const Tensor f_lm = random<float>({3, 14, 14, 13}, "lm"), f_img = random<float>({3, 14, 14, 29}, "img");
    const Shape map{3, 14, 14, 1};
    Tensor y = Tensor::empty_like(f_img), heat = Tensor::empty(map), none;
    cpu().heatmap_product_forward(f_lm, f_img, HeatmapKind::sum, y, heat, none);
    Tensor df_lm = Tensor::empty_like(f_lm), df_img = Tensor::empty_like(f_img);
    cpu().heatmap_product_backward(f_lm, f_img, heat, none, HeatmapKind::sum, y, df_lm, df_img);
    return std::vector<Tensor>{y, heat, df_lm, df_img};
  });
}

}  // namespace fer::testing
