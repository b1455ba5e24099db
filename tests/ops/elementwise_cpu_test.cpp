// The CPU's broadcasting and its gradient, against loops over indices: every way in which dimensions can
// merge, in place, and large enough for several blocks and threads.
#include "fer/error.h"
#include "tests/ops/cpu_values.h"

namespace fer {
namespace {

using namespace testing;

struct Pair {
  Shape a, b;
};

// Every kind of broadcasting: none, scalar, channels, rows, middle, both ways, nothing to merge, odd sizes.
const std::vector<Pair>& pairs() {
  static const std::vector<Pair> all{
      {{7}, {7}},
      {{}, {}},
      {{3, 5}, {}},
      {{}, {3, 5}},
      {{1, 1}, {1}},
      {{4, 3, 5}, {5}},
      {{4, 3, 5}, {3, 5}},
      {{4, 3, 5}, {4, 3, 1}},
      {{4, 3, 5}, {4, 1, 1}},
      {{4, 3, 5}, {4, 1, 5}},
      {{4, 3, 5}, {1, 3, 1}},
      {{4, 1, 5}, {1, 3, 1}},
      {{4, 1, 5}, {3, 5}},
      {{1, 5}, {4, 1}},
      {{2, 3, 1, 5, 1, 7}, {3, 4, 1, 6, 1}},
      {{2, 3, 4, 5, 6, 7}, {2, 1, 4, 1, 6, 1}},
      {{2, 3, 4, 5, 6, 7}, {1, 3, 1, 5, 1, 7}},
      {{300, 129}, {129}},
      {{300, 129}, {300, 1}},
      {{70000}, {70000}},
      {{70001}, {1}},
      {{2, 70001}, {2, 1}},
      {{2, 1}, {70001}},
      {{3, 200, 65}, {3, 1, 65}},
      {{0, 3}, {3}},
      {{3, 1}, {3, 0}},
  };
  return all;
}

// Offset of element `index` (row-major in `full`) in a tensor of shape `part` that broadcasts to it.
std::int64_t offset_in(const Shape& part, const Shape& full, std::int64_t index) {
  std::int64_t offset = 0, stride = 1;
  for (int i = 1; i <= full.rank(); ++i) {
    const std::int64_t at = index % full[-i];
    index /= full[-i];
    if (i > part.rank()) continue;
    if (part[-i] != 1) offset += at * stride;
    stride *= part[-i];
  }
  return offset;
}

TEST_CASE_TEMPLATE("cpu binary broadcasts as loops over indices do", T, float, double) {
  for (const Pair& pair : pairs()) {
    CAPTURE(pair.a.str());
    CAPTURE(pair.b.str());
    const Shape full = broadcast_shapes(pair.a, pair.b, "test");
    const Tensor a = random<T>(pair.a, "a"), b = random<T>(pair.b, "b");
    const std::vector<T> va = a.to_vector<T>(), vb = b.to_vector<T>();
    for (BinaryOp op : {BinaryOp::add, BinaryOp::sub, BinaryOp::mul, BinaryOp::div}) {
      Tensor y = poisoned(full, dtype_of<T>());
      cpu().binary(op, a, b, y);
      const std::vector<T> got = y.to_vector<T>();
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < got.size(); ++i) {
        const T x = va[offset_in(pair.a, full, static_cast<std::int64_t>(i))];
        const T z = vb[offset_in(pair.b, full, static_cast<std::int64_t>(i))];
        const T expected = op == BinaryOp::add   ? x + z
                           : op == BinaryOp::sub ? x - z
                           : op == BinaryOp::mul ? x * z
                                                 : x / z;
        wrong += got[i] != expected;
      }
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE_TEMPLATE("cpu sum_to sums what broadcasting would repeat", T, float, double) {
  for (const Pair& pair : pairs()) {
    const Shape full = broadcast_shapes(pair.a, pair.b, "test");
    for (const Shape& part : {pair.a, pair.b}) {
      CAPTURE(full.str());
      CAPTURE(part.str());
      const Tensor x = random<T>(full, "x");
      std::vector<double> expected(static_cast<std::size_t>(part.numel()), 0.0);
      const std::vector<T> values = x.to_vector<T>();
      for (std::size_t i = 0; i < values.size(); ++i) {
        expected[offset_in(part, full, static_cast<std::int64_t>(i))] += static_cast<double>(values[i]);
      }
      Tensor y = poisoned(part, dtype_of<T>());
      cpu().sum_to(x, y);
      CHECK(error(doubles<T>(y), expected) < tolerance<T>(1e-13, 1e-7));  // one rounding, at the end
    }
  }
}

TEST_CASE("cpu sums of a million floats lose nothing") {
  // 0.1f added up in float would be off in the third digit.
  const Tensor x = Tensor::full({1000, 1000}, 0.1);
  Tensor all = poisoned({}, DType::float32), columns = poisoned({1000}, DType::float32);
  Tensor rows = poisoned({1000, 1}, DType::float32);
  cpu().sum_to(x, all);
  cpu().sum_to(x, columns);
  cpu().sum_to(x, rows);
  const double tenth = static_cast<double>(0.1f);
  CHECK(all.item() == static_cast<double>(static_cast<float>(1e6 * tenth)));
  CHECK(columns.to_vector<float>() == std::vector<float>(1000, static_cast<float>(1e3 * tenth)));
  CHECK(rows.to_vector<float>() == std::vector<float>(1000, static_cast<float>(1e3 * tenth)));
}

TEST_CASE_TEMPLATE("cpu elementwise: y may be an operand", T, float, double) {
  for (const Shape& other : {Shape{200, 100}, Shape{100}, Shape{200, 1}, Shape{}}) {
    CAPTURE(other.str());
    const Tensor a = random<T>({200, 100}, "a"), b = random<T>(other, "b");
    Tensor expected = poisoned({200, 100}, dtype_of<T>());
    cpu().binary(BinaryOp::sub, a, b, expected);
    Tensor left = a.clone();
    cpu().binary(BinaryOp::sub, left, b, left);
    CHECK(same_bits(left, expected));
    cpu().binary(BinaryOp::sub, b, a, expected);
    Tensor right = a.clone();
    cpu().binary(BinaryOp::sub, b, right, right);
    CHECK(same_bits(right, expected));
  }
  Tensor x = random<T>({50001}, "x");
  Tensor doubled = poisoned({50001}, dtype_of<T>());
  cpu().binary(BinaryOp::add, x, x, doubled);
  cpu().scale(x, 2.0, x);
  CHECK(same_bits(x, doubled));
}

TEST_CASE_TEMPLATE("cpu scale, accumulate and lerp, at odd sizes", T, float, double) {
  for (std::int64_t n : {0, 1, 3, 17, 50021}) {
    CAPTURE(n);
    const Tensor x = random<T>({n}, "x"), start = random<T>({n}, "y");
    const std::vector<double> vx = doubles<T>(x), vy = doubles<T>(start);
    std::vector<double> scaled(vx.size()), added(vx.size()), mixed(vx.size());
    for (std::size_t i = 0; i < vx.size(); ++i) {
      scaled[i] = -2 * vx[i];
      added[i] = vy[i] + 0.25 * vx[i];
      mixed[i] = vy[i] + 0.1 * (vx[i] - vy[i]);
    }
    Tensor y = poisoned({n}, dtype_of<T>());
    cpu().scale(x, -2, y);
    CHECK(error(doubles<T>(y), scaled) == 0);
    y = start.clone();
    cpu().accumulate(x, 0.25, y);
    CHECK(error(doubles<T>(y), added) < tolerance<T>(1e-15, 2e-7));
    y = start.clone();
    cpu().lerp(x, 0.1, y);
    CHECK(error(doubles<T>(y), mixed) < tolerance<T>(1e-15, 2e-7));
  }
}

TEST_CASE_TEMPLATE("cpu elementwise: the same bits for any number of threads", T, float, double) {
  const Tensor x = random<T>({37, 53, 65}, "x"), b = random<T>({37, 1, 65}, "b");
  check_any_threads([&] {
    std::vector<Tensor> results;
    for (const Shape& shape : {Shape{}, Shape{65}, Shape{53, 1}, Shape{37, 1, 1}, Shape{37, 1, 65}}) {
      results.push_back(poisoned(shape, dtype_of<T>()));
      cpu().sum_to(x, results.back());
    }
    results.push_back(poisoned(x.shape(), dtype_of<T>()));
    cpu().binary(BinaryOp::mul, x, b, results.back());
    return results;
  });
}

TEST_CASE("cpu elementwise: shapes that would corrupt memory are refused") {
  const Tensor a = Tensor::zeros({2, 3}), b = Tensor::zeros({4}), d = Tensor::zeros({2, 3}, DType::float64);
  Tensor y = Tensor::zeros({2, 3}), small = Tensor::zeros({5});
  CHECK_THROWS_WITH_AS(cpu().binary(BinaryOp::add, a, b, y),
                       "[binary] shapes (2, 3) and (4) do not broadcast", ShapeError);
  CHECK_THROWS_WITH_AS(cpu().binary(BinaryOp::add, a, a, small),
                       "[binary] y has shape (5), the operands give (2, 3)", ShapeError);
  CHECK_THROWS_WITH_AS(cpu().binary(BinaryOp::add, a, d, y), "a tensor of float64 was accessed as float32",
                       TypeError);
  CHECK_THROWS_WITH_AS(cpu().sum_to(a, small), "[sum_to] shapes (2, 3) and (5) do not broadcast", ShapeError);
  CHECK_THROWS_WITH_AS(cpu().sum_to(b, y), "[sum_to] shapes (4) and (2, 3) do not broadcast", ShapeError);
  Tensor large = Tensor::zeros({3, 4});
  CHECK_THROWS_WITH_AS(cpu().sum_to(b, large), "[sum_to] (4) cannot be summed to (3, 4)", ShapeError);
  CHECK_THROWS_WITH_AS(cpu().accumulate(a, 1, small),
                       "[accumulate] y has shape (5), but 6 elements are needed", ShapeError);
  Tensor integers = Tensor::zeros({2}, DType::int32);
  CHECK_THROWS_WITH_AS(cpu().scale(integers, 2, integers), "[scale] needs float32 or float64, got int32",
                       TypeError);
}

}  // namespace
}  // namespace fer
