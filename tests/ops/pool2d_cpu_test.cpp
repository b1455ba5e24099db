// The CPU's pooling against loops: odd sizes, windows that overlap, leave gaps or are padded, ties, NaN,
// threads.
#include <limits>

#include "fer/error.h"
#include "tests/ops/cpu_values.h"

namespace fer {
namespace {

using namespace testing;

TEST_CASE_TEMPLATE("cpu max pooling, forward and backward, against loops", T, float, double) {
  struct Row {
    Shape x;
    Pool2dOptions options;
  };
  for (const Row& row :
       {Row{{2, 4, 4, 3}, {2, 2, 0}}, Row{{1, 5, 7, 67}, {3, 2, 0}}, Row{{3, 6, 6, 16}, {3, 1, 0}},
        Row{{2, 7, 7, 5}, {1, 2, 0}}, Row{{4, 29, 31, 8}, {2, 3, 0}}, Row{{1, 3, 3, 1}, {3, 3, 0}},
        Row{{2, 8, 7, 5}, {3, 2, 1}}, Row{{1, 1, 2, 3}, {3, 1, 1}}, Row{{2, 9, 4, 17}, {5, 3, 2}},
        Row{{1, 5, 6, 4}, {2, 2, 1}}}) {
    CAPTURE(row.x.str());
    const auto& [kernel, stride, padding] = row.options;
    const std::int64_t n = row.x[0], h = row.x[1], w = row.x[2], channels = row.x[3];
    const std::int64_t oh = (h + 2 * padding - kernel) / stride + 1,
                       ow = (w + 2 * padding - kernel) / stride + 1;
    const Shape out{n, oh, ow, channels};
    const Tensor x = random<T>(row.x, "x"), dy = random<T>(out, "dy");
    const std::vector<T> vx = x.to_vector<T>();
    const std::vector<double> vdy = doubles<T>(dy);
    std::vector<T> y;
    std::vector<std::int32_t> where;
    std::vector<double> dx(vx.size(), 0.0);
    for (std::int64_t i = 0; i < out.numel(); ++i) {
      const std::int64_t c = i % channels, ox = i / channels % ow, oy = i / channels / ow % oh;
      const std::int64_t image = i / channels / ow / oh * h * w;
      std::int64_t best = -1;
      for (std::int64_t yy = oy * stride - padding; yy < oy * stride - padding + kernel; ++yy) {
        for (std::int64_t xx = ox * stride - padding; xx < ox * stride - padding + kernel; ++xx) {
          if (yy < 0 || yy >= h || xx < 0 || xx >= w) continue;
          const std::int64_t p = yy * w + xx;
          if (best < 0 || vx[(image + p) * channels + c] > vx[(image + best) * channels + c]) best = p;
        }
      }
      y.push_back(vx[(image + best) * channels + c]);
      where.push_back(static_cast<std::int32_t>(best));
      dx[(image + best) * channels + c] += vdy[i];
    }
    Tensor got = poisoned(out, dtype_of<T>()), argmax = Tensor::full(out, -9, DType::int32);
    Tensor got_dx = poisoned(row.x, dtype_of<T>());
    cpu().max_pool2d_forward(x, row.options, got, argmax);
    CHECK(got.to_vector<T>() == y);
    CHECK(argmax.to_vector<std::int32_t>() == where);
    cpu().max_pool2d_backward(dy, argmax, got_dx);
    CHECK(error(doubles<T>(got_dx), dx) < tolerance<T>(1e-15, 1e-6));
  }
}

TEST_CASE_TEMPLATE("cpu max pooling: the first of equals, and NaN wins", T, float, double) {
  const T nan = std::numeric_limits<T>::quiet_NaN(), inf = std::numeric_limits<T>::infinity();
  const Tensor x = Tensor::from<T>({1, 2, 8, 1}, {3, 3, -inf, -inf, 1, nan, nan, 5,  //
                                                  3, 3, -inf, -inf, 9, 2, 7, 8});
  Tensor y = poisoned({1, 1, 4, 1}, dtype_of<T>()), argmax = Tensor::full({1, 1, 4, 1}, -9, DType::int32);
  cpu().max_pool2d_forward(x, {2, 2, 0}, y, argmax);
  CHECK(argmax.to_vector<std::int32_t>()[0] == 0);
  CHECK(argmax.to_vector<std::int32_t>()[1] == 2);
  const std::vector<T> got = y.to_vector<T>();
  CHECK(got[1] == -inf);
  CHECK(std::isnan(got[2]));
  CHECK(std::isnan(got[3]));
}

TEST_CASE_TEMPLATE("cpu global average pooling, forward and backward", T, float, double) {
  for (const Shape& shape : {Shape{1, 1, 1, 1}, Shape{3, 7, 5, 67}, Shape{5, 28, 28, 64}}) {
    CAPTURE(shape.str());
    const Tensor x = random<T>(shape, "x"), dy = random<T>({shape[0], shape[3]}, "dy");
    const std::int64_t pixels = shape[1] * shape[2], channels = shape[3];
    std::vector<double> y(static_cast<std::size_t>(shape[0] * channels), 0.0), dx;
    const std::vector<double> vx = doubles<T>(x), vdy = doubles<T>(dy);
    for (std::size_t i = 0; i < vx.size(); ++i) {
      const std::size_t at = i / static_cast<std::size_t>(pixels * channels) * channels + i % channels;
      y[at] += vx[i] / static_cast<double>(pixels);
      dx.push_back(vdy[at] / static_cast<double>(pixels));
    }
    Tensor got = poisoned({shape[0], channels}, dtype_of<T>()), got_dx = poisoned(shape, dtype_of<T>());
    cpu().global_avg_pool2d_forward(x, got);
    cpu().global_avg_pool2d_backward(dy, got_dx);
    CHECK(error(doubles<T>(got), y) < tolerance<T>(1e-14, 1e-7));
    CHECK(error(doubles<T>(got_dx), dx) < tolerance<T>(1e-15, 1e-7));
  }
}

TEST_CASE_TEMPLATE("cpu pooling: the same bits for any number of threads", T, float, double) {
  const Tensor x = random<T>({5, 33, 35, 19}, "x");
  check_any_threads([&] {
    const Shape out{5, 17, 18, 19};
    Tensor y = poisoned(out, dtype_of<T>()), argmax = Tensor::full(out, -9, DType::int32);
    Tensor dx = poisoned(x.shape(), dtype_of<T>()), mean = poisoned({5, 19}, dtype_of<T>());
    cpu().max_pool2d_forward(x, {3, 2, 1}, y, argmax);
    cpu().max_pool2d_backward(y, argmax, dx);
    cpu().global_avg_pool2d_forward(x, mean);
    return std::vector<Tensor>{y, argmax, dx, mean};
  });
}

TEST_CASE("cpu max pooling refuses a window that leaves the image") {
  Tensor y = Tensor::zeros({1, 3, 3, 1}), argmax = Tensor::zeros({1, 3, 3, 1}, DType::int32);
  CHECK_THROWS_WITH_AS(cpu().max_pool2d_forward(Tensor::zeros({1, 5, 5, 1}), {2, 2, 0}, y, argmax),
                       "[max_pool2d] shapes (1, 5, 5, 1) -> (1, 3, 3, 1), argmax (1, 3, 3, 1) with kernel 2, "
                       "stride 2, padding 0 do not fit",
                       ShapeError);
}

}  // namespace
}  // namespace fer
