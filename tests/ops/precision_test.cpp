// Products and convolutions in tf32 and bf16, against float64 on the CPU. With e the rounding error of an
// operand, u = 2^-23 the error of one float32 addition (an accumulator may truncate) and K terms, the bounds
// are
//   |y - sum a b|               <= ((1 + e)^2 - 1 + K u) sum |a| |b|
//   |y - sum round(a) round(b)| <= K u sum |a| |b|
// The second shows that operands are rounded as documented, and nothing else is.
#include <bit>
#include <functional>

#include "fer/simt/executor.h"
#include "fer/tensor/precision.h"
#include "tests/ops/op_test.h"

namespace fer::test {
namespace {

using Product = std::function<Tensor(Backend&, const Tensor&, const Tensor&)>;

/// Rounds to `bits` bits of mantissa, to nearest; ties to even for bf16, away from zero for tf32.
float rounded(float x, Precision precision) {
  auto bits = std::bit_cast<std::uint32_t>(x);
  if (precision == Precision::tf32) bits = (bits + 0x1000u) & 0xffffe000u;
  if (precision == Precision::bf16) bits = (bits + 0x7fffu + ((bits >> 16) & 1u)) & 0xffff0000u;
  return std::bit_cast<float>(bits);
}

Tensor random_matrix(const Shape& shape, std::uint64_t seed) {
  Random random({seed, fnv1a64("precision_test"), 0});
  std::vector<float> values(static_cast<std::size_t>(shape.numel()));
  for (float& value : values) value = static_cast<float>(random.uniform(-1.0, 1.0));
  return Tensor::from(shape, values);
}

/// f of each element of a float32 tensor, in float64.
template <typename F>
Tensor mapped(const Tensor& x, F f) {
  std::vector<double> values;
  for (float value : x.to_vector<float>()) values.push_back(static_cast<double>(f(value)));
  return Tensor::from(x.shape(), values);
}

/// Checks `product` on the device, in each precision, against the same in float64 on the CPU.
void check_product(Device device, const Product& product, const Shape& shape_a, const Shape& shape_b,
                   double terms) {
  CAPTURE(shape_a);
  CAPTURE(shape_b);
  const Tensor a = random_matrix(shape_a, 1), b = random_matrix(shape_b, 2);
  Backend& cpu = backend(Device::cpu);
  const auto magnitude = [](float x) { return std::abs(x); };
  const auto itself = [](float x) { return x; };
  const std::vector<double> size = numbers(product(cpu, mapped(a, magnitude), mapped(b, magnitude)));
  const std::vector<double> exact = numbers(product(cpu, mapped(a, itself), mapped(b, itself)));
  for (Precision precision : {Precision::float32, Precision::tf32, Precision::bf16}) {
    CAPTURE(precision);
    const PrecisionScope scope(device, precision);
    const auto round = [&](float x) { return rounded(x, precision); };
    const std::vector<double> y = numbers(product(backend(device), a.to(device), b.to(device)));
    const std::vector<double> close = numbers(product(cpu, mapped(a, round), mapped(b, round)));
    const double e = operand_rounding(precision), sum_error = terms * 0x1p-23;
    REQUIRE(y.size() == exact.size());
    std::size_t beyond = 0, far = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
      const double allowed = sum_error * size[i] + 1e-30;
      if (!(std::abs(y[i] - close[i]) <= allowed)) ++beyond;
      if (!(std::abs(y[i] - exact[i]) <= allowed + ((1 + e) * (1 + e) - 1) * size[i])) ++far;
    }
    CHECK(beyond == 0);
    CHECK(far == 0);
  }
}

Product matmul_product(bool transpose_a, bool transpose_b) {
  return [=](Backend& device, const Tensor& a, const Tensor& b) {
    const int rank = a.rank();
    Shape shape = a.shape();
    shape.set(rank - 2, a.dim(transpose_a ? rank - 1 : rank - 2));
    shape.set(rank - 1, b.dim(transpose_b ? rank - 2 : rank - 1));
    Tensor y = Tensor::empty_like(a, shape);
    device.matmul(a, transpose_a, b, transpose_b, y);
    return y;
  };
}

void check_matmul(Device device, std::int64_t batches, std::int64_t m, std::int64_t n, std::int64_t k) {
  for (const bool transpose_a : {false, true}) {
    for (const bool transpose_b : {false, true}) {
      check_product(device, matmul_product(transpose_a, transpose_b),
                    transpose_a ? Shape{batches, k, m} : Shape{batches, m, k},
                    transpose_b ? Shape{batches, n, k} : Shape{batches, k, n}, static_cast<double>(k));
    }
  }
}

/// A device with tensor cores, or their emulation, whose kernels round as described above. cuBLAS and cuDNN
/// may round differently.
bool has_precisions(Device device) {
  return device != Device::cpu && math_mode(device) == MathMode::native;
}

OP_TEST("precision: products at every edge of the tiles") {
  if (!has_precisions(device)) return;
  check_matmul(device, 1, 1, 1, 1);
  check_matmul(device, 2, 3, 7, 5);
  check_matmul(device, 1, 63, 65, 15);
  check_matmul(device, 1, 64, 64, 16);
  check_matmul(device, 1, 65, 63, 17);
  check_matmul(device, 3, 5, 68, 64);    // k in pieces of 16 bytes, m not
  check_matmul(device, 1, 72, 12, 61);   // the other way round
  check_matmul(device, 1, 7, 33, 1031);  // k cut in parts
}

OP_TEST("precision: large tiles") {
  if (!has_precisions(device)) return;
  check_product(device, matmul_product(false, false), {33, 129, 19}, {33, 19, 127}, 19);
  check_product(device, matmul_product(true, true), {66, 32, 128}, {66, 129, 32}, 32);
  check_product(device, matmul_product(true, false), {34, 16, 132}, {34, 16, 130}, 16);
  check_product(device, matmul_product(false, true), {66, 127, 36}, {66, 68, 36}, 36);
}

OP_TEST("precision: linear, forward and both gradients") {
  if (!has_precisions(device)) return;
  const auto forward = [](Backend& backend, const Tensor& x, const Tensor& weight) {
    Tensor y = Tensor::empty_like(x, {x.dim(0), weight.dim(0)});
    backend.linear_forward(x, weight, Tensor(), y);
    return y;
  };
  const auto input = [](Backend& backend, const Tensor& dy, const Tensor& weight) {
    Tensor dx = Tensor::empty_like(dy, {dy.dim(0), weight.dim(1)});
    backend.linear_backward_input(dy, weight, dx);
    return dx;
  };
  const auto weight = [](Backend& backend, const Tensor& x, const Tensor& dy) {
    Tensor dweight = Tensor::empty_like(x, {dy.dim(1), x.dim(1)}), none;
    backend.linear_backward_weight(x, dy, dweight, none);
    return dweight;
  };
  for (const std::int64_t rows : {1, 5, 64, 197}) {
    check_product(device, forward, {rows, 36}, {7, 36}, 36);
    check_product(device, input, {rows, 7}, {7, 36}, 7);
    check_product(device, weight, {rows, 36}, {rows, 7}, static_cast<double>(rows));
  }
}

struct ConvCase {
  std::int64_t n, h, w, in, out, kernel;
  Conv2dOptions options;
};

OP_TEST("precision: convolution, forward and both gradients") {
  if (!has_precisions(device)) return;
  for (const ConvCase& c : {
           ConvCase{1, 5, 7, 3, 5, 3, {1, 1, 1}},    // channels that are not aligned
           ConvCase{2, 9, 8, 8, 12, 3, {2, 1, 1}},   // in pieces of 16 bytes, strided
           ConvCase{1, 6, 5, 16, 24, 3, {1, 1, 2}},  // groups
           ConvCase{3, 7, 7, 20, 68, 1, {1, 0, 1}},  // a plain product
           ConvCase{1, 11, 11, 4, 8, 5, {3, 2, 1}},  // stride beyond the class's taps
           ConvCase{1, 4, 4, 6, 4, 1, {2, 0, 2}},    // pixels without a tap: their gradient is zero
       }) {
    const std::int64_t oh = (c.h + 2 * c.options.padding - c.kernel) / c.options.stride + 1;
    const std::int64_t ow = (c.w + 2 * c.options.padding - c.kernel) / c.options.stride + 1;
    const Shape x{c.n, c.h, c.w, c.in}, y{c.n, oh, ow, c.out};
    const Shape weight{c.out, c.kernel, c.kernel, c.in / c.options.groups};
    const auto taps = static_cast<double>(c.kernel * c.kernel);
    check_product(
        device,
        [&](Backend& backend, const Tensor& from, const Tensor& by) {
          Tensor result = Tensor::empty_like(from, y);
          backend.conv2d_forward(from, by, Tensor(), c.options, result);
          return result;
        },
        x, weight, taps * static_cast<double>(c.in));
    check_product(
        device,
        [&](Backend& backend, const Tensor& dy, const Tensor& by) {
          Tensor result = Tensor::empty_like(dy, x);
          backend.conv2d_backward_input(dy, by, c.options, result);
          return result;
        },
        y, weight, taps * static_cast<double>(c.out));
    check_product(
        device,
        [&](Backend& backend, const Tensor& from, const Tensor& dy) {
          Tensor result = Tensor::empty_like(from, weight), none;
          backend.conv2d_backward_weight(from, dy, c.options, result, none);
          return result;
        },
        x, y, static_cast<double>(c.n * oh * ow));
  }
}

OP_TEST("precision: a bias is added in float32, once, also where k is cut in parts") {
  if (!has_precisions(device)) return;
  for (const std::int64_t inputs : {16, 1040}) {
    const Tensor x = Tensor::zeros({3, inputs}, DType::float32, device);
    const Tensor weight = Tensor::full({5, inputs}, 1.0, DType::float32, device);
    const Tensor bias = random_matrix({5}, 3).to(device);
    for (Precision precision : {Precision::float32, Precision::tf32, Precision::bf16}) {
      const PrecisionScope scope(device, precision);
      Tensor y = Tensor::empty({3, 5}, DType::float32, device);
      backend(device).linear_forward(x, weight, bias, y);
      for (int row = 0; row < 3; ++row) {
        CHECK(y.slice(row, 1).reshape({5}).to_vector<float>() == bias.to_vector<float>());
      }
    }
  }
}

OP_TEST("precision: an epilogue works on the product's float32 sums") {
  if (!has_precisions(device)) return;
  Backend& on = backend(device);
  for (const std::int64_t inputs : {36, 1040}) {  // k in one part, and cut
    const Tensor x = random_matrix({65, inputs}, 7).to(device), w = random_matrix({20, inputs}, 8).to(device);
    const Tensor bias = random_matrix({20}, 9).to(device), residual = random_matrix({65, 20}, 10).to(device);
    for (Precision precision : {Precision::float32, Precision::tf32, Precision::bf16}) {
      CAPTURE(precision);
      const PrecisionScope scope(device, precision);
      Tensor sum = Tensor::empty_like(residual), wanted = Tensor::empty_like(sum),
             y = Tensor::empty_like(sum);
      on.linear_forward(x, w, bias, sum);
      on.activation_forward(UnaryOp::gelu, sum, wanted);
      on.accumulate(residual, 1.0, wanted);
      LinearEpilogue epilogue{bias, true, Tensor::empty_like(sum), residual};
      on.linear_fused_forward(x, w, epilogue, y);
      CHECK(difference(y, wanted) < 1e-6);
      CHECK(epilogue.before_gelu.to_vector<float>() == sum.to_vector<float>());
      // The gradient of the bias uses dy itself, not dy rounded for a product.
      Tensor dw = Tensor::empty_like(w), db = Tensor::empty_like(bias), sums = Tensor::empty_like(bias);
      on.linear_backward_weight(x, residual, dw, db);
      on.sum_to(residual, sums);
      CHECK(difference(db, sums) < 1e-6);
    }
  }
}

OP_TEST("precision: column sums of dy come out of large tiles, with k in parts, as dy is") {
  if (!has_precisions(device)) return;
  const std::int64_t rows = 33792;  // 132 parts of 256, for which the large tile is taken
  const Tensor x = random_matrix({rows, 65}, 8).to(device), dy = random_matrix({rows, 65}, 9).to(device);
  Tensor sums = Tensor::empty({65}, DType::float32, device);
  backend(device).sum_to(dy, sums);
  Tensor dw = Tensor::empty({65, 65}, DType::float32, device), db = Tensor::empty_like(sums);
  const PrecisionScope scope(device, Precision::tf32);
  backend(device).linear_backward_weight(x, dy, dw, db);
  CHECK(difference(db, sums) < 1e-5);
}

OP_TEST("precision: float64 and empty sums are unaffected") {
  if (!has_precisions(device)) return;
  const PrecisionScope scope(device, Precision::bf16);
  const Tensor a = Tensor::from<double>({1, 2}, {1.0 + 0x1p-40, 3.0}, device);
  Tensor y = Tensor::empty({1, 1}, DType::float64, device);
  backend(device).matmul(a, false, a, true, y);
  CHECK(y.item() == (1.0 + 0x1p-40) * (1.0 + 0x1p-40) + 9.0);
  Tensor z = Tensor::empty({3, 2}, DType::float32, device);
  backend(device).matmul(Tensor::empty({3, 0}, DType::float32, device), false,
                         Tensor::empty({0, 2}, DType::float32, device), false, z);
  check_values(z, {3, 2}, {0, 0, 0, 0, 0, 0});
}

OP_TEST("precision: the same bits every time") {
  if (!has_precisions(device)) return;
  const Tensor a = random_matrix({31, 1100}, 4).to(device), b = random_matrix({1100, 70}, 5).to(device);
  for (Precision precision : {Precision::tf32, Precision::bf16}) {
    const PrecisionScope scope(device, precision);
    const Product product = matmul_product(false, false);
    CHECK(product(backend(device), a, b).to_vector<float>() ==
          product(backend(device), a, b).to_vector<float>());
  }
}

#if FER_HAVE_SIMT
TEST_CASE("precision: copies that arrive early or late, lanes in any order") {
  for (const simt::AsyncCopy copy : {simt::AsyncCopy::early, simt::AsyncCopy::late}) {
    for (const simt::LaneOrder order :
         {simt::LaneOrder::forward, simt::LaneOrder::reverse, simt::LaneOrder::shuffled}) {
      simt::Options options = simt::options();
      options.async_copy = copy;
      options.order = order;
      const simt::OptionsScope scope(options);
      for (const std::int64_t k : {1, 16, 31, 33, 64, 81}) {  // 1 to 6 steps, through 4 stages
        check_product(Device::simt, matmul_product(false, false), {1, 17, k}, {1, k, 20},
                      static_cast<double>(k));
      }
    }
  }
}

#endif

TEST_CASE("precision: the CPU has only float32, and the error names devices that have more") {
  set_precision(Device::cpu, Precision::float32);
  CHECK_MESSAGE_OF(set_precision(Device::cpu, Precision::tf32), ConfigError,
                   "device cpu has no tf32 arithmetic: it computes in float32 (or float64); use --precision "
                   "float32, or --device cuda or simt, whose products have tensor-core kernels");
  CHECK(precision(Device::cpu) == Precision::float32);
}

OP_TEST("precision: an operand of two products is converted to bf16 once, and again after it has changed") {
  if (!has_precisions(device)) return;
  Tensor x = random_matrix({4, 6}, 6).to(device);
  CHECK(product_operand(x).shares_memory_with(x));
  const PrecisionScope scope(device, Precision::bf16);
  CHECK(product_operand(x).dtype() == DType::bfloat16);
  CHECK_FALSE(product_operand(x).shares_memory_with(product_operand(x)));
  const SharedOperand shared(x);
  const Tensor operand = product_operand(x.reshape({24}));
  CHECK(operand.shares_memory_with(product_operand(x)));
  CHECK(operand.shape() == Shape{24});
  CHECK_FALSE(product_operand(x.slice(0, 2)).shares_memory_with(operand));
  x.fill(3.0);
  CHECK_FALSE(product_operand(x).shares_memory_with(operand));
  const SharedOperand again(x);
  check_values(product_operand(x).to(DType::float32), {4, 6}, std::vector<double>(24, 3.0));
}

TEST_CASE("precision: names") {
  for (Precision precision : {Precision::float32, Precision::tf32, Precision::bf16}) {
    CHECK(parse_precision(name_of(precision)) == precision);
  }
  CHECK_MESSAGE_OF(parse_precision("fp16"), ConfigError,
                   "unknown precision 'fp16'; known are float32, tf32, bf16");
}

}  // namespace
}  // namespace fer::test
