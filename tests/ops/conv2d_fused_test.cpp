// conv2d_fused_forward: a convolution for inference, with border, bias, PReLU and residual in one call,
// against the composition of single operations.
#include "fer/tensor/device_runtime.h"
#include "fer/tensor/precision.h"
#include "tests/ops/op_test.h"

namespace fer::test {
namespace {

struct FusedCase {
  Shape x, weight;
  Conv2dOptions options;
};

/// Cases from the landmark and image backbones, and odd ones: products, Winograd's tiles of both sizes,
/// gathered rows, a picture's three channels, depthwise.
const std::vector<FusedCase>& fused_cases() {
  static const std::vector<FusedCase> all{
      {{2, 9, 7, 5}, {6, 1, 1, 5}, {1, 0, 1}},      {{1, 3, 3, 3}, {7, 1, 1, 3}, {1, 1, 1}},
      {{2, 5, 6, 3}, {16, 3, 3, 3}, {2, 1, 1}},     {{1, 14, 14, 16}, {24, 3, 3, 16}, {1, 1, 1}},
      {{3, 28, 28, 32}, {32, 3, 3, 32}, {1, 1, 1}}, {{2, 9, 9, 17}, {33, 3, 3, 17}, {2, 1, 1}},
      {{2, 8, 8, 19}, {5, 1, 1, 19}, {2, 0, 1}},    {{1, 4, 4, 40}, {40, 3, 3, 40}, {1, 1, 1}},
      {{1, 6, 7, 350}, {9, 3, 3, 350}, {1, 1, 1}},  {{2, 7, 6, 19}, {19, 3, 3, 1}, {2, 1, 19}},
      {{1, 8, 9, 32}, {32, 3, 3, 1}, {1, 1, 32}},   {{1, 7, 7, 8}, {8, 7, 7, 1}, {1, 0, 8}},
  };
  return all;
}

/// x with a frame of `padding` pixels of the values in `border`, one per channel.
Variable framed(const Variable& x, const Variable& border, int padding) {
  if (padding == 0) return x;
  const auto strip = [&](std::int64_t h, std::int64_t w) {
    return broadcast_to(reshape(border, {1, 1, 1, x.dim(3)}), {x.dim(0), h, w, x.dim(3)});
  };
  const Variable side = strip(x.dim(1), padding), wide = concat({side, x, side}, 2);
  const Variable row = strip(padding, wide.dim(2));
  return concat({row, wide, row}, 1);
}

OP_TEST("conv2d_fused: equals frame, convolution, bias, PReLU and sum") {
  NoGrad no_grad;
  for (const FusedCase& c : fused_cases()) {
    if (device == Device::simt && c.x[0] * c.x[1] * c.x[3] * c.weight[0] > 5000) continue;  // slow there
    for (const DType dtype : {DType::float32, DType::float64}) {
      for (int parts = 0; parts < 16; ++parts) {
        const bool depthwise = c.options.groups > 1;
        if (depthwise && (parts & 8)) continue;
        const std::int64_t out = c.weight[0];
        const auto value = [&](const char* name, const Shape& shape) {
          return CaseInputs(concat("conv2d_fused ", name), device)
              .uniform(name, shape)
              .take()[0]
              .value()
              .to(dtype);
        };
        const Variable x(value("x", c.x)), w(value("weight", c.weight)), b(value("bias", {out}));
        const Variable slope(value("slope", {out})), border(value("border", {c.x[3]}));
        const Variable zero(Tensor::zeros({c.x[3]}, dtype, device));
        Conv2dOptions bare = c.options;
        bare.padding = 0;
        Variable expected = conv2d(framed(x, parts & 8 ? border : zero, c.options.padding), w, {}, bare);
        const Variable residual(value("residual", expected.shape()));
        if (parts & 1) expected = add(expected, b);
        if (parts & 2) expected = prelu(expected, slope);
        if (parts & 4) expected = add(expected, residual);
        const auto packed = backend(device).pack_conv2d(w.value(), c.options);
        for (int call = 0; call < 2; ++call) {  // the second uses what the first has packed
          Tensor y = Tensor::full(expected.shape(), NAN, dtype, device);
          backend(device).conv2d_fused_forward(
              x.value(), *packed, parts & 8 ? border.value() : Tensor(),
              {parts & 1 ? b.value() : Tensor(), parts & 2 ? slope.value() : Tensor(),
               parts & 4 ? residual.value() : Tensor()},
              y);
          INFO(c.x << " by " << c.weight << ", parts " << parts << ", call " << call);
          CHECK(difference(y, expected.value()) < (dtype == DType::float32 ? 2e-5 : 1e-13));
        }
      }
    }
  }
}

bool has_kernels_of_our_own(Device device) {
  return device != Device::cpu && math_mode(device) == MathMode::native;
}

OP_TEST("conv2d_fused: rounds in tf32 and bf16 as the operations do, a border's values too") {
  if (!has_kernels_of_our_own(device)) return;
  NoGrad no_grad;
  const auto value = [&](const char* name, const Shape& shape) {
    return Variable(CaseInputs(concat("conv2d_fused precision ", name), device)
                        .uniform(name, shape)
                        .take()[0]
                        .value()
                        .to(DType::float32));
  };
  for (const FusedCase& c : {FusedCase{{1, 5, 6, 8}, {12, 3, 3, 8}, {1, 1, 1}},       // in pieces of 16 bytes
                             FusedCase{{2, 7, 5, 5}, {9, 3, 3, 5}, {2, 1, 1}},        // element by element
                             FusedCase{{1, 4, 4, 64}, {20, 3, 3, 64}, {1, 1, 1}}}) {  // k cut in parts
    const Variable x = value("x", c.x), w = value("weight", c.weight),
                   one_more = value("border", {c.x[3] + 1});
    const Variable b = value("bias", {c.weight[0]}), slope = value("slope", {c.weight[0]});
    Conv2dOptions bare = c.options;
    bare.padding = 0;
    const auto packed = backend(device).pack_conv2d(w.value(), c.options);
    // At offset 0 the border has the alignment that 16-byte accesses need; at offset 1 it does not.
    for (const auto& [precision, first] :
         {std::pair{Precision::tf32, 0}, {Precision::tf32, 1}, {Precision::bf16, 0}}) {
      CAPTURE(precision);
      CAPTURE(first);
      const PrecisionScope scope(device, precision);
      const Variable border(one_more.value().slice(first, c.x[3]));
      Variable expected = prelu(conv2d(framed(x, border, c.options.padding), w, b, bare), slope);
      const Variable residual = value("residual", expected.shape());
      expected = add(expected, residual);
      Tensor y = Tensor::empty_like(expected.value());
      backend(device).conv2d_fused_forward(x.value(), *packed, border.value(),
                                           {b.value(), slope.value(), residual.value()}, y);
      CHECK(difference(y, expected.value()) < 2e-6);
    }
  }
}

OP_TEST("conv2d_fused: one kernel, with all of its parts") {
  if (!has_kernels_of_our_own(device)) return;
  const auto kernels = [&](const Shape& shape, const Shape& weight, const Conv2dOptions& options) {
    const auto zeros = [&](const Shape& of) { return Tensor::zeros(of, DType::float32, device); };
    const Tensor x = zeros(shape), border = options.groups == 1 ? zeros({shape[3]}) : Tensor();
    const Tensor bias = zeros({weight[0]}), slope = zeros({weight[0]});
    const Tensor residual = zeros({shape[0], shape[1], shape[2], weight[0]});
    Tensor y = zeros(residual.shape());
    const auto packed = backend(device).pack_conv2d(zeros(weight), options);
    return capture_graph(
               device,
               [&] {
                 backend(device).conv2d_fused_forward(x, *packed, border, {bias, slope, residual}, y);
               })
        ->operations();
  };
  CHECK(kernels({2, 9, 7, 5}, {6, 1, 1, 5}, {1, 0, 1}) == 1);
  CHECK(kernels({2, 5, 6, 3}, {16, 3, 3, 3}, {1, 1, 1}) == 1);
  CHECK(kernels({1, 8, 9, 32}, {32, 3, 3, 1}, {1, 1, 32}) == 1);
}

OP_TEST("conv2d_fused: one packed weight serves shapes that want different layouts") {
  NoGrad no_grad;
  const auto value = [&](const char* name, const Shape& shape) {
    return CaseInputs(concat("conv2d_fused shapes ", name), device)
        .uniform(name, shape)
        .take()[0]
        .value()
        .to(DType::float32);
  };
  const Variable w(value("weight", {16, 3, 3, 16}));
  const auto packed = backend(device).pack_conv2d(w.value(), {1, 1, 1});
  for (const std::int64_t size : {1, 3, 8, 20}) {
    const Variable x(value("x", {1, size, size, 16}));
    const Variable expected = conv2d(x, w, {}, {1, 1, 1});
    Tensor y = Tensor::empty_like(expected.value());
    backend(device).conv2d_fused_forward(x.value(), *packed, {}, {}, y);
    CHECK(difference(y, expected.value()) < 2e-5);
  }
}

OP_TEST("conv2d_fused: errors") {
  const auto zeros = [&](const Shape& shape) { return Tensor::zeros(shape, DType::float32, device); };
  Backend& b = backend(device);
  const Tensor x = zeros({1, 4, 4, 2});
  Tensor y = zeros({1, 4, 4, 3});
  const auto dense = b.pack_conv2d(zeros({3, 1, 1, 2}), {});
  CHECK_MESSAGE_OF(b.conv2d_fused_forward(x, *dense, zeros({3}), {}, y), ShapeError,
                   "[conv2d_fused] border has shape (3), but 2 elements are needed");
  CHECK_MESSAGE_OF(b.conv2d_fused_forward(x, *dense, {}, {zeros({2}), {}, {}}, y), ShapeError,
                   "[conv2d_fused] bias has shape (2), but 3 elements are needed");
  CHECK_MESSAGE_OF(b.conv2d_fused_forward(x, *dense, {}, {{}, zeros({4}), {}}, y), ShapeError,
                   "[conv2d_fused] slope has shape (4), but 3 elements are needed");
  CHECK_MESSAGE_OF(b.conv2d_fused_forward(x, *dense, {}, {{}, {}, x}, y), ShapeError,
                   "[conv2d_fused] residual has shape (1, 4, 4, 2), but 48 elements are needed");
  const auto depthwise = b.pack_conv2d(zeros({2, 3, 3, 1}), {1, 1, 2});
  Tensor same = zeros(x.shape());
  CHECK_MESSAGE_OF(b.conv2d_fused_forward(x, *depthwise, zeros({2}), {}, same), ShapeError,
                   "[conv2d_fused] a depthwise convolution has no border");
  const auto grouped = b.pack_conv2d(zeros({4, 1, 1, 1}), {1, 0, 2});
  Tensor four = zeros({1, 4, 4, 4});
  CHECK_MESSAGE_OF(b.conv2d_fused_forward(x, *grouped, {}, {}, four), ShapeError,
                   "[conv2d_fused] 2 groups of weight (4, 1, 1, 1): only 1, or one a channel");
}

}  // namespace
}  // namespace fer::test
