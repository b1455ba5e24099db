// Matrix products, convolutions and attention: extents around their tile sizes, with every kind of remainder.
#include <array>
#include <optional>

#include "fer/tensor/precision.h"
#include "tests/kernels/kernel_case.h"

namespace fer::test {
namespace {

void add_products(std::vector<KernelCase>& cases) {
  struct Extents {
    std::int64_t batch, m, n, k;
  };
  // Tiles are 64 x 64 x 16, or 128 x 16 x 8 and 16 x 128 x 8 for up to 32 columns or rows. k is split into
  // parts from 256 on, on tensor cores from 512 on. In the weight gradient, k is the number of rows of x.
  for (const Extents e : {Extents{1, 1, 1, 1},
                          {2, 3, 7, 5},
                          {1, 63, 65, 15},
                          {1, 64, 64, 16},
                          {1, 65, 63, 17},
                          {3, 1, 33, 31},
                          {1, 31, 1, 257},
                          {1, 17, 13, 521},
                          {1, 129, 5, 7},
                          {1, 127, 15, 9},
                          {2, 128, 16, 8},
                          {1, 129, 17, 261},
                          {1, 33, 32, 7},
                          {2, 16, 128, 8},
                          {1, 17, 129, 7},
                          {1, 1031, 9, 5}}) {
    cases.push_back(
        {concat("matmul/", e.batch, " of ", e.m, " x ", e.n, " x ", e.k), {"matmul"}, [=](Bench& b) {
           for (const bool ta : {false, true}) {
             for (const bool tb : {false, true}) {
               const Tensor x = b.random(ta ? Shape{e.batch, e.k, e.m} : Shape{e.batch, e.m, e.k});
               const Tensor z = b.random(tb ? Shape{e.batch, e.n, e.k} : Shape{e.batch, e.k, e.n});
               b.backend().matmul(x, ta, z, tb, b.result({e.batch, e.m, e.n}));
             }
           }
         }});
    cases.push_back({concat("linear/", e.m, " x ", e.n, " x ", e.k),
                     {"linear_forward", "linear_backward_input", "linear_backward_weight"},
                     [=](Bench& b) {
                       const Tensor x = b.random({e.m, e.k}), weight = b.parameter({e.n, e.k}),
                                    bias = b.parameter({e.n}), dy = b.random({e.m, e.n});
                       Tensor none;
                       b.backend().linear_forward(x, weight, bias, b.result({e.m, e.n}));
                       b.backend().linear_forward(x, weight, none, b.result({e.m, e.n}));
                       b.backend().linear_backward_input(dy, weight, b.result({e.m, e.k}));
                       b.backend().linear_backward_weight(x, dy, b.parameter_result({e.n, e.k}),
                                                          b.parameter_result({e.n}));
                       b.backend().linear_backward_weight(x, dy, b.parameter_result({e.n, e.k}), none);
                     }});
    cases.push_back(
        {concat("linear fused/", e.m, " x ", e.n, " x ", e.k), {"linear_fused_forward"}, [=](Bench& b) {
           const Tensor x = b.random({e.m, e.k}), weight = b.parameter({e.n, e.k});
           const Tensor bias = b.parameter({e.n}), residual = b.random({e.m, e.n});
           LinearEpilogue all{.bias = bias, .gelu = true, .residual = residual};
           all.before_gelu = b.result({e.m, e.n});
           b.backend().linear_fused_forward(x, weight, all, b.result({e.m, e.n}));
           LinearEpilogue added{.residual = residual}, gelu{.gelu = true};
           b.backend().linear_fused_forward(x, weight, added, b.result({e.m, e.n}));
           b.backend().linear_fused_forward(x, weight, gelu, b.result({e.m, e.n}));
         }});
  }
}

struct Conv {
  std::int64_t height, width, in, out;
  int kernel;
  Conv2dOptions options;

  Shape x() const { return {2, height, width, in}; }
  Shape weight() const { return {out, kernel, kernel, in / options.groups}; }
  Shape y() const {
    const auto extent = [&](std::int64_t e) {
      return (e + 2 * options.padding - kernel) / options.stride + 1;
    };
    return {2, extent(height), extent(width), out};
  }
  std::string name() const {
    return concat(height, " x ", width, " x ", in, " to ", out, " by ", kernel, ", stride ", options.stride,
                  ", padding ", options.padding, ", groups ", options.groups);
  }
};

void add_convolutions(std::vector<KernelCase>& cases) {
  for (const Conv c : {Conv{1, 1, 1, 1, 1, {}},
                       {5, 3, 3, 7, 3, {1, 1, 1}},
                       {7, 9, 3, 33, 3, {2, 1, 1}},
                       {8, 8, 17, 65, 1, {2, 0, 1}},
                       {5, 5, 6, 9, 3, {1, 1, 3}},
                       {11, 9, 5, 3, 5, {3, 2, 1}},
                       {7, 7, 31, 15, 7, {1, 0, 1}},
                       {6, 5, 64, 63, 1, {1, 0, 1}}}) {
    cases.push_back({"conv2d/" + c.name(),
                     {"conv2d_forward", "conv2d_backward_input", "conv2d_backward_weight"},
                     [=](Bench& b) {
                       const Tensor x = b.random(c.x()), weight = b.parameter(c.weight()),
                                    bias = b.parameter({c.out}), dy = b.random(c.y());
                       Tensor none;
                       b.backend().conv2d_forward(x, weight, bias, c.options, b.result(c.y()));
                       b.backend().conv2d_forward(x, weight, none, c.options, b.result(c.y()));
                       b.backend().conv2d_backward_input(dy, weight, c.options, b.result(c.x()));
                       b.backend().conv2d_backward_weight(x, dy, c.options, b.parameter_result(c.weight()),
                                                          b.parameter_result({c.out}));
                       b.backend().conv2d_backward_weight(x, dy, c.options, b.parameter_result(c.weight()),
                                                          none);
                     }});
  }
  const auto depthwise = [](std::int64_t h, std::int64_t w, int channels, int kernel, int stride,
                            int padding) {
    return Conv{h, w, channels, channels, kernel, {stride, padding, channels}};
  };
  for (const Conv& c :
       {depthwise(1, 1, 1, 1, 1, 0), depthwise(5, 7, 3, 3, 1, 1), depthwise(7, 5, 33, 3, 2, 1),
        depthwise(9, 9, 31, 7, 1, 3), depthwise(7, 7, 32, 7, 1, 0), depthwise(6, 8, 65, 5, 2, 2)}) {
    cases.push_back(
        {"depthwise_conv2d/" + c.name(),
         {"depthwise_conv2d_forward", "depthwise_conv2d_backward_input", "depthwise_conv2d_backward_weight"},
         [=](Bench& b) {
           const Tensor x = b.random(c.x()), weight = b.parameter(c.weight()), dy = b.random(c.y());
           b.backend().depthwise_conv2d_forward(x, weight, c.options, b.result(c.y()));
           b.backend().depthwise_conv2d_backward_input(dy, weight, c.options, b.result(c.x()));
           b.backend().depthwise_conv2d_backward_weight(x, dy, c.options, b.parameter_result(c.weight()));
         }});
  }
}

/// y of a fused convolution with each combination of bias, slope, residual and border.
void run_fused(Bench& b, const Conv& c, const Tensor& x, const Tensor& weight, const Tensor& border) {
  const Tensor bias = b.parameter({c.out}), slope = b.parameter({c.out}), residual = b.random(c.y()), none;
  const auto packed = b.backend().pack_conv2d(weight, c.options);
  for (int parts = 0; parts < (border.defined() ? 16 : 8); ++parts) {
    b.backend().conv2d_fused_forward(
        x, *packed, parts & 8 ? border : none,
        {parts & 1 ? bias : none, parts & 2 ? slope : none, parts & 4 ? residual : none}, b.result(c.y()));
  }
}

void add_fused_convolutions(std::vector<KernelCase>& cases) {
  // Plain products, and patches: in tiles of all shapes, with strides, with k cut in parts, and with a border
  // as wide as the image.
  for (const Conv& c : {Conv{1, 1, 1, 1, 1, {}},
                        {5, 3, 3, 7, 3, {1, 1, 1}},
                        {7, 9, 17, 33, 3, {2, 1, 1}},
                        {3, 3, 29, 40, 3, {1, 1, 1}},
                        {11, 9, 5, 3, 5, {3, 2, 1}},
                        {2, 1, 4, 35, 5, {1, 2, 1}},
                        {4, 5, 8, 36, 1, {1, 1, 1}},
                        {6, 5, 64, 66, 1, {1, 0, 1}},
                        {7, 5, 33, 33, 3, {2, 1, 33}},
                        {6, 8, 65, 65, 5, {2, 2, 65}},
                        {9, 9, 31, 31, 7, {1, 3, 31}}}) {
    cases.push_back({"conv2d_fused/" + c.name(), {"conv2d_fused_forward"}, [=](Bench& b) {
                       const Tensor x = b.random(c.x()), weight = b.parameter(c.weight());
                       run_fused(b, c, x, weight, c.options.groups == 1 ? b.parameter({c.in}) : Tensor());
                     }});
  }
  // On tensor cores, of operands that they do not round: in pieces of 16 bytes in both precisions, in tf32
  // alone, and in neither.
  for (const Precision precision : {Precision::tf32, Precision::bf16}) {
    for (const Conv& c : {Conv{4, 4, 64, 20, 3, {1, 1, 1}},
                          {7, 9, 12, 33, 3, {2, 1, 1}},
                          {5, 3, 3, 7, 3, {1, 1, 1}},
                          {9, 8, 24, 66, 1, {1, 0, 1}}}) {
      cases.push_back({concat("conv2d_fused in ", name_of(precision), "/", c.name()),
                       {"conv2d_fused_forward"},
                       [=](Bench& b) {
                         if (b.dtype() != DType::float32) return;
                         std::optional<PrecisionScope> scope;
                         if (b.device() != Device::cpu) scope.emplace(b.device(), precision);
                         const Tensor x = b.small_integers(c.x()), weight = b.small_integers(c.weight());
                         run_fused(b, c, x, weight, b.small_integers({c.in}));
                       }});
    }
  }
}

void add_attention(std::vector<KernelCase>& cases) {
  struct Heads {
    std::int64_t queries, keys;
    int heads;
    std::int64_t width;
  };
  // Tiles have 64 queries or keys in float and 32 in double; heads are up to 64 or up to 128 wide. Of wide
  // heads on a GPU with less shared memory they have 32 and 16.
  for (const Heads h : {Heads{1, 1, 1, 1},
                        {1, 65, 2, 5},
                        {33, 31, 2, 8},
                        {63, 3, 1, 4},
                        {64, 64, 1, 3},
                        {65, 129, 1, 7},
                        {7, 32, 1, 64},
                        {5, 33, 1, 65},
                        {33, 33, 1, 96},
                        {3, 5, 1, 127},
                        {2, 65, 2, 128}}) {
    cases.push_back(
        {concat("attention/", h.queries, " x ", h.keys, ", ", h.heads, " heads of ", h.width),
         {"attention_forward", "attention_backward"},
         [=](Bench& b) {
           const std::int64_t d = h.heads * h.width;
           const Shape q_shape{2, h.queries, d}, k_shape{2, h.keys, d};
           const Tensor q = b.random(q_shape, -2, 2), k = b.random(k_shape, -2, 2), v = b.random(k_shape),
                        dy = b.random(q_shape);
           Tensor &y = b.result(q_shape), &log_sum_exp = b.parameter_result({2, h.heads, h.queries}), none;
           b.backend().attention_forward(q, k, v, {}, h.heads, y, log_sum_exp);
           Tensor &dq = b.result(q_shape), &dk = b.result(k_shape), &dv = b.result(k_shape);
           b.backend().attention_backward(q, k, v, {}, y, log_sum_exp, dy, h.heads, dq, dk, dv, none);
         }});
    cases.push_back(
        {concat("attention, bias and mask/", h.queries, " x ", h.keys, ", ", h.heads, " heads of ", h.width),
         {"attention_forward", "attention_backward"},
         [=](Bench& b) {
           const std::int64_t d = h.heads * h.width;
           const Shape q_shape{2, h.queries, d}, k_shape{2, h.keys, d}, scores{2, h.heads, h.queries, h.keys};
           const Tensor q = b.random(q_shape, -2, 2), k = b.random(k_shape, -2, 2), v = b.random(k_shape),
                        dy = b.random(q_shape);
           // A fifth of the scores are masked, and all of the first query's.
           std::vector<std::uint8_t> seen(static_cast<std::size_t>(h.queries * h.keys));
           for (std::size_t i = static_cast<std::size_t>(h.keys); i < seen.size(); ++i) seen[i] = i % 5 != 0;
           const Tensor mask = Tensor::from<std::uint8_t>({h.queries, h.keys}, seen).to(b.device());
           const AttentionBias bias{b.parameter({h.heads, h.queries, h.keys}, -2, 2), mask};
           Tensor &y = b.result(q_shape), log_sum_exp = b.output({2, h.heads, h.queries}, b.parameter_type());
           b.backend().attention_forward(q, k, v, bias, h.heads, y, log_sum_exp);
           Tensor &dq = b.result(q_shape), &dk = b.result(k_shape), &dv = b.result(k_shape),
                  &dscores = b.parameter_result(scores);
           // Not the y above: it was rounded where it is stored as bfloat16, and dscores, in float32, would show it.
           const Tensor exact_y = b.random(q_shape);
           b.backend().attention_backward(q, k, v, bias, exact_y, log_sum_exp, dy, h.heads, dq, dk, dv,
                                          dscores);
         }});
  }
}

}  // namespace

std::vector<KernelCase> product_cases() {
  std::vector<KernelCase> cases;
  add_products(cases);
  add_convolutions(cases);
  add_fused_convolutions(cases);
  add_attention(cases);
  return cases;
}

}  // namespace fer::test
