// The CPU's PReLU against its definition: odd numbers of rows and channels, 0 and NaN, optional outputs,
// threads.
#include <limits>

#include "fer/error.h"
#include "tests/ops/cpu_values.h"

namespace fer {
namespace {

using namespace testing;

TEST_CASE_TEMPLATE("cpu prelu forward and backward, at odd sizes", T, float, double) {
  for (const Shape& shape :
       {Shape{1, 1}, Shape{3, 5}, Shape{7, 64}, Shape{0, 4}, Shape{2, 9, 31, 67}, Shape{40000, 1}}) {
    CAPTURE(shape.str());
    const std::int64_t channels = shape.channels();
    const Tensor x = random<T>(shape, "x"), slope = random<T>({channels}, "slope"),
                 dy = random<T>(shape, "dy");
    const std::vector<double> vx = doubles<T>(x), vs = doubles<T>(slope), vdy = doubles<T>(dy);
    std::vector<double> y(vx.size()), dx(vx.size()), dslope(static_cast<std::size_t>(channels), 0.0);
    for (std::size_t i = 0; i < vx.size(); ++i) {
      const std::size_t c = i % static_cast<std::size_t>(channels);
      y[i] = vx[i] > 0 ? vx[i] : vs[c] * vx[i];
      dx[i] = vx[i] > 0 ? vdy[i] : vs[c] * vdy[i];
      dslope[c] += vx[i] > 0 ? 0 : vdy[i] * vx[i];
    }
    Tensor got_y = poisoned(shape, dtype_of<T>()), got_dx = got_y.clone();
    Tensor got_dslope = poisoned({channels}, dtype_of<T>());
    cpu().prelu_forward(x, slope, got_y);
    cpu().prelu_backward(x, slope, dy, got_dx, got_dslope);
    CHECK(error(doubles<T>(got_y), y) < tolerance<T>(1e-15, 1e-7));
    CHECK(error(doubles<T>(got_dx), dx) < tolerance<T>(1e-15, 1e-7));
    CHECK(error(doubles<T>(got_dslope), dslope) < tolerance<T>(1e-13, 1e-6));

    Tensor none, only_dx = poisoned(shape, dtype_of<T>()), only_dslope = poisoned({channels}, dtype_of<T>());
    cpu().prelu_backward(x, slope, dy, only_dx, none);
    cpu().prelu_backward(x, slope, dy, none, only_dslope);
    CHECK(same_bits(only_dx, got_dx));
    CHECK(same_bits(only_dslope, got_dslope));
  }
}

TEST_CASE_TEMPLATE("cpu prelu: 0 counts as negative, NaN passes through", T, float, double) {
  const Tensor x = Tensor::from<T>({3, 1}, {0, -2, std::numeric_limits<T>::quiet_NaN()});
  const Tensor slope = Tensor::from<T>({1}, {0.5}), dy = Tensor::from<T>({3, 1}, {4, 6, 8});
  Tensor y = poisoned({3, 1}, dtype_of<T>()), dx = y.clone(), dslope = poisoned({1}, dtype_of<T>());
  cpu().prelu_forward(x, slope, y);
  CHECK(y.to_vector<T>()[0] == 0);
  CHECK(y.to_vector<T>()[1] == -1);
  CHECK(std::isnan(y.to_vector<T>()[2]));
  cpu().prelu_backward(x, slope, dy, dx, dslope);
  CHECK(dx.to_vector<T>()[0] == 2);
  CHECK(dx.to_vector<T>()[1] == 3);
  CHECK(std::isnan(dslope.to_vector<T>()[0]));
}

TEST_CASE_TEMPLATE("cpu prelu: the same bits for any number of threads", T, float, double) {
  const Shape shape{3001, 37};
  const Tensor x = random<T>(shape, "x"), slope = random<T>({37}, "slope"), dy = random<T>(shape, "dy");
  check_any_threads([&] {
    Tensor y = poisoned(shape, dtype_of<T>()), dx = y.clone(), dslope = poisoned({37}, dtype_of<T>());
    cpu().prelu_forward(x, slope, y);
    cpu().prelu_backward(x, slope, dy, dx, dslope);
    return std::vector<Tensor>{y, dx, dslope};
  });
}

TEST_CASE("cpu prelu refuses a slope of another size") {
  Tensor y = Tensor::zeros({2, 3});
  CHECK_THROWS_WITH_AS(cpu().prelu_forward(Tensor::zeros({2, 3}), Tensor::zeros({2}), y),
                       "[prelu] slope has shape (2), but 3 elements are needed", ShapeError);
}

}  // namespace
}  // namespace fer
