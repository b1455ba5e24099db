// The CPU's layer norm against its formulas in double: odd sizes, large means, optional outputs, threads.
#include "fer/error.h"
#include "tests/ops/cpu_values.h"

namespace fer {
namespace {

using namespace testing;

constexpr double eps = 1e-5;

template <typename T>
struct Forward {
  Tensor y, mean, inv_std;
  Forward(const Tensor& x, const Tensor& weight, const Tensor& bias) {
    y = poisoned(x.shape(), dtype_of<T>());
    mean = poisoned({x.shape().rows()}, dtype_of<T>());
    inv_std = mean.clone();
    cpu().layer_norm_forward(x, weight, bias, eps, y, mean, inv_std);
  }
};

TEST_CASE_TEMPLATE("cpu layer norm forward and backward, at odd sizes", T, float, double) {
  for (const Shape& shape :
       {Shape{1, 2}, Shape{3, 5}, Shape{2, 49, 67}, Shape{9, 512}, Shape{4, 20001}, Shape{5000, 4}}) {
    CAPTURE(shape.str());
    const std::int64_t rows = shape.rows(), channels = shape.channels();
    const Tensor x = random<T>(shape, "x"), dy = random<T>(shape, "dy");
    const Tensor weight = random<T>({channels}, "weight"), bias = random<T>({channels}, "bias");
    const std::vector<double> vx = doubles<T>(x), vdy = doubles<T>(dy), vw = doubles<T>(weight),
                              vb = doubles<T>(bias);
    std::vector<double> y(vx.size()), dx(vx.size()), mean, inv_std;
    std::vector<double> dweight(static_cast<std::size_t>(channels), 0.0), dbias = dweight;
    const auto n = static_cast<double>(channels);
    for (std::int64_t i = 0; i < rows; ++i) {
      const double* px = vx.data() + i * channels;
      const double* pdy = vdy.data() + i * channels;
      double m = 0, var = 0, g_mean = 0, product_mean = 0;
      for (std::int64_t c = 0; c < channels; ++c) m += px[c] / n;
      for (std::int64_t c = 0; c < channels; ++c) var += (px[c] - m) * (px[c] - m) / n;
      const double s = 1 / std::sqrt(var + eps);
      mean.push_back(m), inv_std.push_back(s);
      for (std::int64_t c = 0; c < channels; ++c) {
        const double xhat = (px[c] - m) * s;
        y[i * channels + c] = xhat * vw[c] + vb[c];
        dweight[c] += pdy[c] * xhat;
        dbias[c] += pdy[c];
        g_mean += pdy[c] * vw[c] / n;
        product_mean += pdy[c] * vw[c] * xhat / n;
      }
      for (std::int64_t c = 0; c < channels; ++c) {
        dx[i * channels + c] = s * (pdy[c] * vw[c] - g_mean - (px[c] - m) * s * product_mean);
      }
    }
    // The elements of a row of two may be nearly equal: then inv_std, up to 316, magnifies rounding.
    const double close = tolerance<T>(1e-11, channels < 5 ? 2e-5 : 2e-6);
    const Forward<T> got(x, weight, bias);
    CHECK(error(doubles<T>(got.mean), mean) < close);
    CHECK(error(doubles<T>(got.inv_std), inv_std) < close);
    CHECK(error(doubles<T>(got.y), y) < close);
    Tensor got_dx = poisoned(shape, dtype_of<T>()), got_dw = poisoned({channels}, dtype_of<T>());
    Tensor got_db = got_dw.clone();
    cpu().layer_norm_backward(x, weight, got.mean, got.inv_std, dy, got_dx, got_dw, got_db);
    CHECK(error(doubles<T>(got_dx), dx) < close);
    CHECK(error(doubles<T>(got_dw), dweight) < close);
    CHECK(error(doubles<T>(got_db), dbias) < close);

    for (int wanted = 0; wanted < 8; ++wanted) {  // each subset of the outputs
      CAPTURE(wanted);
      Tensor a = wanted & 1 ? poisoned(shape, dtype_of<T>()) : Tensor();
      Tensor b = wanted & 2 ? poisoned({channels}, dtype_of<T>()) : Tensor();
      Tensor d = wanted & 4 ? poisoned({channels}, dtype_of<T>()) : Tensor();
      cpu().layer_norm_backward(x, weight, got.mean, got.inv_std, dy, a, b, d);
      if (a.defined()) CHECK(same_bits(a, got_dx));
      if (b.defined()) CHECK(same_bits(b, got_dw));
      if (d.defined()) CHECK(same_bits(d, got_db));
    }
  }
}

TEST_CASE("cpu layer norm keeps its digits where the mean dwarfs the deviation") {
  Tensor x = random<float>({3, 512}, "x");
  for (std::int64_t i = 0; i < x.numel(); ++i) x.mutable_data<float>()[i] += 5000.0f;
  const Forward<float> got(x, Tensor::full({512}, 1), Tensor::zeros({512}));
  const std::vector<double> vx = doubles<float>(x), inv_std = doubles<float>(got.inv_std);
  for (std::size_t i = 0; i < 3; ++i) {
    double mean = 0, var = 0;
    for (std::size_t c = 0; c < 512; ++c) mean += vx[i * 512 + c] / 512;
    for (std::size_t c = 0; c < 512; ++c) var += (vx[i * 512 + c] - mean) * (vx[i * 512 + c] - mean) / 512;
    CHECK(std::abs(inv_std[i] * std::sqrt(var + eps) - 1) < 1e-6);
  }
}

TEST_CASE_TEMPLATE("cpu layer norm: the same bits for any number of threads", T, float, double) {
  const Shape shape{501, 131};
  const Tensor x = random<T>(shape, "x"), dy = random<T>(shape, "dy");
  const Tensor weight = random<T>({131}, "weight"), bias = random<T>({131}, "bias");
  check_any_threads([&] {
    Forward<T> f(x, weight, bias);
    Tensor dx = poisoned(shape, dtype_of<T>()), dw = poisoned({131}, dtype_of<T>()), db = dw.clone();
    cpu().layer_norm_backward(x, weight, f.mean, f.inv_std, dy, dx, dw, db);
    return std::vector<Tensor>{f.y, f.mean, f.inv_std, dx, dw, db};
  });
}

TEST_CASE("cpu layer norm refuses statistics of another size") {
  Tensor x = Tensor::zeros({2, 3}), w = Tensor::zeros({3}), y = x.clone(), mean = Tensor::zeros({3}),
         s = mean.clone();
  CHECK_THROWS_WITH_AS(cpu().layer_norm_forward(x, w, w, eps, y, mean, s),
                       "[layer_norm] mean has shape (3), but 2 elements are needed", ShapeError);
}

}  // namespace
}  // namespace fer
