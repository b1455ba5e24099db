// Compares the kernels of device cuda with cuBLAS and cuDNN. Without a GPU, checks only that the build finds
// its libraries.
#include "fer/tensor/device_runtime.h"
#include "tests/ops/op_test.h"

namespace fer::test {
namespace {

/// Whether there is a GPU with the libraries; if not, prints that the test is skipped.
bool library_on_gpu() {
  std::string reason;
  if (is_available(Device::cuda, &reason) && has_math_library(&reason)) return true;
  MESSAGE("skipped: ", reason);
  return false;
}

Tensor random(const Shape& shape, DType dtype, std::uint64_t seed) {
  Random random({seed, fnv1a64("library_math"), 0});
  std::vector<double> values(static_cast<std::size_t>(shape.numel()));
  for (double& value : values) value = random.uniform(-1, 1);
  return Tensor::from<double>(shape, values).to(dtype).to(Device::cuda);
}

/// compute(y) fills y. Runs it with both and checks that the results agree.
void check_both(const char* what, const Shape& shape, DType dtype,
                const std::function<void(Tensor&)>& compute) {
  CAPTURE(what);
  Tensor ours = Tensor::empty(shape, dtype, Device::cuda), theirs = Tensor::empty_like(ours);
  {
    const MathModeScope native(Device::cuda, MathMode::native);
    compute(ours);
  }
  {
    const MathModeScope library(Device::cuda, MathMode::library);
    compute(theirs);
  }
  CHECK(difference(ours, theirs) <= (dtype == DType::float64 ? 1e-12 : 1e-5));
}

TEST_CASE("library math: products agree with the kernels") {
  if (!library_on_gpu()) return;
  Backend& device = backend(Device::cuda);
  for (DType dtype : {DType::float32, DType::float64}) {
    for (const auto& [m, n, k] :
         {std::array<std::int64_t, 3>{1, 1, 1}, {5, 3, 7}, {129, 65, 33}, {197, 768, 96}}) {
      const Tensor x = random({m, k}, dtype, 1), w = random({n, k}, dtype, 2), b = random({n}, dtype, 3),
                   dy = random({m, n}, dtype, 4);
      check_both("linear", {m, n}, dtype, [&](Tensor& y) { device.linear_forward(x, w, b, y); });
      check_both("linear dx", {m, k}, dtype, [&](Tensor& dx) { device.linear_backward_input(dy, w, dx); });
      check_both("linear dw", {n, k}, dtype, [&](Tensor& dw) {
        Tensor db = Tensor::empty_like(b);
        device.linear_backward_weight(x, dy, dw, db);
      });
      check_both("linear db", {n}, dtype, [&](Tensor& db) {
        Tensor dw = Tensor::empty_like(w);
        device.linear_backward_weight(x, dy, dw, db);
      });
      for (const auto& [ta, tb] : {std::pair{false, false}, {true, false}, {false, true}, {true, true}}) {
        const Tensor a = random(ta ? Shape{3, k, m} : Shape{3, m, k}, dtype, 5),
                     c = random(tb ? Shape{3, n, k} : Shape{3, k, n}, dtype, 6);
        check_both("matmul", {3, m, n}, dtype,
                   [&, ta = ta, tb = tb](Tensor& y) { device.matmul(a, ta, c, tb, y); });
      }
    }
  }
}

TEST_CASE("library math: convolutions agree with the kernels") {
  if (!library_on_gpu()) return;
  Backend& device = backend(Device::cuda);
  struct Case {
    std::int64_t n, side, in, out, kernel;
    Conv2dOptions options;
  };
  for (const Case& c : {Case{2, 14, 16, 24, 3, {1, 1, 1}}, Case{1, 28, 3, 64, 3, {1, 1, 1}},
                        Case{2, 15, 32, 32, 3, {2, 1, 1}}, Case{2, 14, 64, 32, 1, {2, 0, 1}},
                        Case{2, 14, 32, 32, 3, {1, 1, 4}}, Case{2, 14, 32, 32, 3, {2, 1, 32}}}) {
    const std::int64_t side = (c.side + 2 * c.options.padding - c.kernel) / c.options.stride + 1;
    const Shape image{c.n, c.side, c.side, c.in}, result{c.n, side, side, c.out};
    const Shape weight{c.out, c.kernel, c.kernel, c.in / c.options.groups};
    const Tensor x = random(image, DType::float32, 1), w = random(weight, DType::float32, 2),
                 dy = random(result, DType::float32, 3), b = random({c.out}, DType::float32, 4);
    CAPTURE(c.options.groups);
    CAPTURE(c.options.stride);
    Tensor none;
    if (c.options.groups == c.in) {
      check_both("depthwise", result, DType::float32,
                 [&](Tensor& y) { device.depthwise_conv2d_forward(x, w, c.options, y); });
      check_both("depthwise dx", image, DType::float32,
                 [&](Tensor& dx) { device.depthwise_conv2d_backward_input(dy, w, c.options, dx); });
      check_both("depthwise dw", weight, DType::float32,
                 [&](Tensor& dw) { device.depthwise_conv2d_backward_weight(x, dy, c.options, dw); });
      continue;
    }
    check_both("conv", result, DType::float32,
               [&](Tensor& y) { device.conv2d_forward(x, w, b, c.options, y); });
    check_both("conv dx", image, DType::float32,
               [&](Tensor& dx) { device.conv2d_backward_input(dy, w, c.options, dx); });
    check_both("conv dw", weight, DType::float32,
               [&](Tensor& dw) { device.conv2d_backward_weight(x, dy, c.options, dw, none); });
  }
}

TEST_CASE("library math: finds its libraries and their functions, or says what to install") {
  std::string reason;
  if (has_math_library(&reason)) return;
  CAPTURE(reason);
  const bool said = reason.find("this build has no device cuda") != std::string::npos ||
                    reason.find("was not found when this build was configured") != std::string::npos ||
                    reason.find("use --math native") != std::string::npos;
  CHECK(said);
}

}  // namespace
}  // namespace fer::test
