// The CPU's batch norm against its formulas in double: odd sizes, means much larger than the deviation,
// optional outputs, threads.
#include "fer/error.h"
#include "tests/ops/cpu_values.h"

namespace fer {
namespace {

using namespace testing;

struct NormCase {
  Tensor x, weight, bias, dy;
  std::int64_t rows, channels;
};

template <typename T>
NormCase make_case(const Shape& shape, double mean = 0, double deviation = 1) {
  const std::int64_t channels = shape.channels();
  NormCase c{random<T>(shape, "x", deviation),
             random<T>({channels}, "weight"),
             random<T>({channels}, "bias"),
             random<T>(shape, "dy"),
             shape.rows(),
             channels};
  T* px = c.x.template mutable_data<T>();
  for (std::int64_t i = 0; i < c.x.numel(); ++i) px[i] += static_cast<T>(mean * (1 + i % channels));
  return c;
}

struct Moments {
  std::vector<double> mean, var;
};

Moments moments(const std::vector<double>& x, std::int64_t rows, std::int64_t channels) {
  const auto size = static_cast<std::size_t>(channels);
  Moments m{std::vector<double>(size, 0.0), std::vector<double>(size, 0.0)};
  for (std::size_t i = 0; i < x.size(); ++i) m.mean[i % size] += x[i] / static_cast<double>(rows);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double d = x[i] - m.mean[i % size];
    m.var[i % size] += d * d / static_cast<double>(rows);
  }
  return m;
}

template <typename T>
struct Forward {
  Tensor y, mean, inv_std, running_mean, running_var;
  Forward(const NormCase& c, double eps) {
    y = poisoned(c.x.shape(), dtype_of<T>());
    mean = poisoned({c.channels}, dtype_of<T>());
    inv_std = mean.clone();
    running_mean = Tensor::full({c.channels}, 2, dtype_of<T>());
    running_var = Tensor::full({c.channels}, 3, dtype_of<T>());
    cpu().batch_norm_forward(c.x, c.weight, c.bias, {}, {}, 0.1, eps, running_mean, running_var, y, mean,
                             inv_std);
  }
};

TEST_CASE_TEMPLATE("cpu batch norm in training, at odd sizes", T, float, double) {
  constexpr double eps = 1e-5;
  for (const Shape& shape : {Shape{2, 1}, Shape{3, 5}, Shape{9, 64}, Shape{2, 13, 11, 67}, Shape{30000, 3},
                             Shape{1, 4}, Shape{2, 20000}}) {
    CAPTURE(shape.str());
    const NormCase c = make_case<T>(shape);
    const std::vector<double> x = doubles<T>(c.x), weight = doubles<T>(c.weight), bias = doubles<T>(c.bias);
    const std::vector<double> dy = doubles<T>(c.dy);
    const Moments m = moments(x, c.rows, c.channels);
    const auto size = static_cast<std::size_t>(c.channels);
    const auto n = static_cast<double>(c.rows);
    std::vector<double> inv_std(size), y(x.size()), dweight(size, 0.0), dbias(size, 0.0), dx(x.size());
    std::vector<double> running_mean(size), running_var(size);
    for (std::size_t k = 0; k < size; ++k) {
      inv_std[k] = 1 / std::sqrt(m.var[k] + eps);
      running_mean[k] = 0.9 * 2 + 0.1 * m.mean[k];
      running_var[k] = 0.9 * 3 + 0.1 * m.var[k] * n / std::max(n - 1, 1.0);
    }
    for (std::size_t i = 0; i < x.size(); ++i) {
      const std::size_t k = i % size;
      const double xhat = (x[i] - m.mean[k]) * inv_std[k];
      y[i] = xhat * weight[k] + bias[k];
      dbias[k] += dy[i];
      dweight[k] += dy[i] * xhat;
    }
    for (std::size_t i = 0; i < x.size(); ++i) {
      const std::size_t k = i % size;
      const double xhat = (x[i] - m.mean[k]) * inv_std[k];
      dx[i] = weight[k] * inv_std[k] * (dy[i] - dbias[k] / n - xhat * dweight[k] / n);
    }
    // Two rows may be nearly equal: then inv_std magnifies the rounding of the mean.
    const double close = tolerance<T>(1e-11, c.rows == 2 ? 2e-5 : 2e-6);
    const Forward<T> got(c, eps);
    CHECK(error(doubles<T>(got.mean), m.mean) < close);
    CHECK(error(doubles<T>(got.inv_std), inv_std) < close);
    CHECK(error(doubles<T>(got.y), y) < close);
    CHECK(error(doubles<T>(got.running_mean), running_mean) < close);
    CHECK(error(doubles<T>(got.running_var), running_var) < close);

    Tensor got_dx = poisoned(shape, dtype_of<T>()), got_dw = poisoned({c.channels}, dtype_of<T>());
    Tensor got_db = got_dw.clone(), none;
    cpu().batch_norm_backward(c.x, c.weight, c.bias, {}, got.mean, got.inv_std, c.dy, {}, got_dx, got_dw,
                              got_db, none);
    // A single row has variance 0: its inv_std of 316 magnifies the rounding error of x - mean.
    CHECK(error(doubles<T>(got_dx), dx) < (c.rows == 1 ? 1e3 : 1) * close);
    CHECK(error(doubles<T>(got_dw), dweight) < close);
    CHECK(error(doubles<T>(got_db), dbias) < close);

    for (int wanted = 0; wanted < 8; ++wanted) {  // each subset of the outputs
      CAPTURE(wanted);
      Tensor a = wanted & 1 ? poisoned(shape, dtype_of<T>()) : Tensor();
      Tensor b = wanted & 2 ? poisoned({c.channels}, dtype_of<T>()) : Tensor();
      Tensor d = wanted & 4 ? poisoned({c.channels}, dtype_of<T>()) : Tensor();
      cpu().batch_norm_backward(c.x, c.weight, c.bias, {}, got.mean, got.inv_std, c.dy, {}, a, b, d, none);
      if (a.defined()) CHECK(same_bits(a, got_dx));
      if (b.defined()) CHECK(same_bits(b, got_dw));
      if (d.defined()) CHECK(same_bits(d, got_db));
    }
  }
}

TEST_CASE("cpu batch norm keeps its digits where the mean dwarfs the deviation") {
  // Column k has mean 1000 (1 + k) and deviation about 0.6: a naive sum of squares in float would have no
  // correct digit.
  const NormCase c = make_case<float>({5000, 7}, 1000.0);
  const Moments m = moments(doubles<float>(c.x), c.rows, c.channels);
  const Forward<float> got(c, 0.0);
  const std::vector<double> mean = doubles<float>(got.mean), inv_std = doubles<float>(got.inv_std);
  for (std::size_t k = 0; k < 7; ++k) {
    CAPTURE(k);
    CHECK(std::abs(mean[k] / m.mean[k] - 1) < 1e-7);
    CHECK(std::abs(inv_std[k] * std::sqrt(m.var[k]) - 1) < 1e-6);
  }
  // The same if the first row, by which the sums are shifted, is an outlier.
  NormCase outlier = make_case<float>({5000, 3});
  for (int k = 0; k < 3; ++k) outlier.x.mutable_data<float>()[k] = 1e5f;
  const Moments far = moments(doubles<float>(outlier.x), outlier.rows, outlier.channels);
  const std::vector<double> far_inv_std = doubles<float>(Forward<float>(outlier, 0.0).inv_std);
  for (std::size_t k = 0; k < 3; ++k) CHECK(std::abs(far_inv_std[k] * std::sqrt(far.var[k]) - 1) < 1e-6);
}

TEST_CASE("cpu batch norm: a constant column normalises to its bias") {
  NormCase c = make_case<float>({1000, 4});
  c.x.fill(0.1);
  const Forward<float> got(c, 1e-5);
  const std::vector<double> y = doubles<float>(got.y), bias = doubles<float>(c.bias);
  for (std::size_t i = 0; i < y.size(); ++i) REQUIRE(std::abs(y[i] - bias[i % 4]) < 1e-6);
}

TEST_CASE_TEMPLATE("cpu batch norm in evaluation, at odd sizes", T, float, double) {
  constexpr double eps = 1e-3;
  for (const Shape& shape : {Shape{1, 1}, Shape{3, 5}, Shape{2, 13, 11, 67}}) {
    CAPTURE(shape.str());
    const NormCase c = make_case<T>(shape);
    const Tensor mean = random<T>({c.channels}, "mean");
    Tensor var = random<T>({c.channels}, "var");
    for (std::int64_t k = 0; k < c.channels; ++k) var.mutable_data<T>()[k] += T(1.5);
    const std::vector<double> x = doubles<T>(c.x), weight = doubles<T>(c.weight), bias = doubles<T>(c.bias);
    const std::vector<double> dy = doubles<T>(c.dy), vm = doubles<T>(mean), vv = doubles<T>(var);
    const auto size = static_cast<std::size_t>(c.channels);
    std::vector<double> y(x.size()), dx(x.size()), dweight(size, 0.0), dbias(size, 0.0);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const std::size_t k = i % size;
      const double inv_std = 1 / std::sqrt(vv[k] + eps), xhat = (x[i] - vm[k]) * inv_std;
      y[i] = xhat * weight[k] + bias[k];
      dx[i] = dy[i] * weight[k] * inv_std;
      dweight[k] += dy[i] * xhat;
      dbias[k] += dy[i];
    }
    const double close = tolerance<T>(1e-12, 1e-6);
    Tensor got = poisoned(shape, dtype_of<T>()), got_dx = got.clone();
    Tensor got_dw = poisoned({c.channels}, dtype_of<T>()), got_db = got_dw.clone(), none;
    cpu().batch_norm_eval_forward(c.x, c.weight, c.bias, mean, var, eps, got);
    cpu().batch_norm_eval_backward(c.x, c.weight, mean, var, eps, c.dy, got_dx, got_dw, got_db);
    CHECK(error(doubles<T>(got), y) < close);
    CHECK(error(doubles<T>(got_dx), dx) < close);
    CHECK(error(doubles<T>(got_dw), dweight) < close);
    CHECK(error(doubles<T>(got_db), dbias) < close);
    Tensor only_dx = poisoned(shape, dtype_of<T>());
    cpu().batch_norm_eval_backward(c.x, c.weight, mean, var, eps, c.dy, only_dx, none, none);
    CHECK(same_bits(only_dx, got_dx));
  }
}

TEST_CASE_TEMPLATE("cpu batch norm: the same bits for any number of threads", T, float, double) {
  const NormCase c = make_case<T>({3001, 37});
  check_any_threads([&] {
    Forward<T> f(c, 1e-5);
    Tensor dx = poisoned(c.x.shape(), dtype_of<T>()), dw = poisoned({37}, dtype_of<T>()), db = dw.clone(),
           none;
    cpu().batch_norm_backward(c.x, c.weight, c.bias, {}, f.mean, f.inv_std, c.dy, {}, dx, dw, db, none);
    return std::vector<Tensor>{f.y, f.mean, f.inv_std, f.running_mean, f.running_var, dx, dw, db};
  });
}

TEST_CASE("cpu batch norm refuses an empty batch and vectors of another size") {
  Tensor stat = Tensor::zeros({3}), y = Tensor::zeros({0, 3}), wrong = Tensor::zeros({2});
  CHECK_THROWS_WITH_AS(cpu().batch_norm_forward(y, stat, stat, {}, {}, 0.1, 1e-5, stat, stat, y, stat, stat),
                       "[batch_norm] a batch without rows has no mean, x has shape (0, 3)", ShapeError);
  Tensor x = Tensor::zeros({4, 3}), out = x.clone();
  CHECK_THROWS_WITH_AS(cpu().batch_norm_eval_forward(x, stat, stat, wrong, stat, 1e-5, out),
                       "[batch_norm] running_mean has shape (2), but 3 elements are needed", ShapeError);
}

}  // namespace
}  // namespace fer
