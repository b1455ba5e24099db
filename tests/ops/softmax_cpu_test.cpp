// The CPU's softmax against its formulas in double: odd sizes, scores far apart, threads.
#include <limits>

#include "tests/ops/cpu_values.h"

namespace fer {
namespace {

using namespace testing;

TEST_CASE_TEMPLATE("cpu softmax and log-softmax, forward and backward, at odd sizes", T, float, double) {
  for (const Shape& shape :
       {Shape{1}, Shape{3, 1}, Shape{5, 7}, Shape{2, 3, 49}, Shape{300, 197}, Shape{0, 7}, Shape{3, 0}}) {
    for (bool log : {false, true}) {
      CAPTURE(shape.str());
      CAPTURE(log);
      const Tensor x = random<T>(shape, "x", 5.0), dy = random<T>(shape, "dy");
      const std::vector<double> vx = doubles<T>(x), vdy = doubles<T>(dy);
      std::vector<double> y(vx.size()), dx(vx.size());
      const auto n = static_cast<std::size_t>(shape.channels());
      for (std::size_t row = 0; row < vx.size(); row += n) {
        double sum = 0, dot = 0, dy_sum = 0;
        for (std::size_t j = row; j < row + n; ++j) sum += std::exp(vx[j]);
        for (std::size_t j = row; j < row + n; ++j) {
          const double p = std::exp(vx[j]) / sum;
          y[j] = log ? std::log(p) : p;
          dot += p * vdy[j];
          dy_sum += vdy[j];
        }
        for (std::size_t j = row; j < row + n; ++j) {
          const double p = std::exp(vx[j]) / sum;
          dx[j] = log ? vdy[j] - p * dy_sum : p * (vdy[j] - dot);
        }
      }
      Tensor got = poisoned(shape, dtype_of<T>()), got_dx = got.clone();
      cpu().softmax_forward(x, log, got);
      cpu().softmax_backward(got, dy, log, got_dx);
      CHECK(error(doubles<T>(got), y) < tolerance<T>(1e-14, 1e-6));
      CHECK(error(doubles<T>(got_dx), dx) < tolerance<T>(1e-14, 1e-6));
    }
  }
}

TEST_CASE_TEMPLATE("cpu softmax: scores far apart, and masked ones", T, float, double) {
  const T inf = std::numeric_limits<T>::infinity();
  const Tensor x = Tensor::from<T>({3, 3}, {10000, 0, -10000, 0, -inf, 0, -30000, -30000, -30000});
  Tensor y = poisoned({3, 3}, dtype_of<T>()), log_y = y.clone();
  cpu().softmax_forward(x, false, y);
  cpu().softmax_forward(x, true, log_y);
  const std::vector<T> p = y.to_vector<T>(), l = log_y.to_vector<T>();
  CHECK((p[0] == 1 && p[1] == 0 && p[2] == 0));
  CHECK((p[3] == T(0.5) && p[4] == 0 && p[5] == T(0.5)));
  CHECK(std::abs(p[6] - T(1) / 3) < 1e-6);
  CHECK((l[0] == 0 && l[1] == -10000 && l[2] == -20000));
  CHECK(l[4] == -inf);
}

TEST_CASE_TEMPLATE("cpu softmax: the same bits for any number of threads", T, float, double) {
  const Tensor x = random<T>({501, 131}, "x"), dy = random<T>({501, 131}, "dy");
  check_any_threads([&] {
    Tensor y = poisoned(x.shape(), dtype_of<T>()), dx = y.clone();
    cpu().softmax_forward(x, false, y);
    cpu().softmax_backward(y, dy, false, dx);
    return std::vector<Tensor>{y, dx};
  });
}

}  // namespace
}  // namespace fer
