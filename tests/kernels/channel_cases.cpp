// Operations on rows or columns of channels: activations, norms, softmax, pooling, heat maps.
#include <array>

#include "tests/kernels/kernel_case.h"

namespace fer::test {
namespace {

/// Rows and channels around a warp, a block of four rows, a chunk of a column sum.
constexpr std::array<std::int64_t, 2> rows_and_channels[] = {{1, 1},  {1, 129}, {3, 31}, {4, 32},
                                                             {5, 33}, {33, 7},  {300, 3}};

void add_activations(std::vector<KernelCase>& cases) {
  for (const std::int64_t n : ragged) {
    cases.push_back({concat("activation/", n), {"activation_forward", "activation_backward"}, [=](Bench& b) {
                       const Tensor x = b.random({n}, -3, 3), dy = b.random({n});
                       for (const UnaryOp op : {UnaryOp::relu, UnaryOp::gelu, UnaryOp::sigmoid}) {
                         Tensor& y = b.result({n});
                         b.backend().activation_forward(op, x, y);
                         b.backend().activation_backward(op, x, y, dy, b.result({n}));
                       }
                       const Tensor positive = b.random({n}, 0.25, 3);
                       for (const UnaryOp op : {UnaryOp::exp, UnaryOp::log, UnaryOp::sqrt, UnaryOp::abs}) {
                         const Tensor& in = op == UnaryOp::abs ? x : positive;
                         Tensor& y = b.result({n});
                         b.backend().activation_forward(op, in, y);
                         b.backend().activation_backward(op, in, y, dy, b.result({n}));
                       }
                     }});
  }
  for (const auto& [rows, channels] : rows_and_channels) {
    cases.push_back(
        {concat("prelu/", rows, " x ", channels), {"prelu_forward", "prelu_backward"}, [=](Bench& b) {
           const Shape shape{rows, channels}, vector{channels};
           const Tensor x = b.random(shape), slope = b.parameter(vector), dy = b.random(shape);
           Tensor none;
           b.backend().prelu_forward(x, slope, b.result(shape));
           b.backend().prelu_backward(x, slope, dy, b.result(shape), b.parameter_result(vector));
           b.backend().prelu_backward(x, slope, dy, b.result(shape), none);
           b.backend().prelu_backward(x, slope, dy, none, b.parameter_result(vector));
         }});
  }
}

void add_norms(std::vector<KernelCase>& cases) {
  for (const auto& [rows, channels] : rows_and_channels) {
    if (rows > 1) {
      cases.push_back(
          {concat("batch_norm/", rows, " x ", channels),
           {"batch_norm_forward", "batch_norm_apply", "batch_norm_backward"},
           [=](Bench& b) {
             const Shape shape{rows, channels}, vector{channels};
             const Tensor x = b.random(shape, 1, 4), weight = b.parameter(vector), bias = b.parameter(vector),
                          slope = b.parameter(vector), residual = b.random(shape), dy = b.random(shape);
             Tensor none;
             for (const bool fused : {false, true}) {  // alone, and with PReLU and a sum
               const Tensor &s = fused ? slope : none, &r = fused ? residual : none;
               Tensor running_mean = b.parameter(vector), running_var = b.parameter(vector, 0.5, 2);
               Tensor &mean = b.parameter_result(vector), &inv_std = b.parameter_result(vector);
               b.backend().batch_norm_forward(x, weight, bias, s, r, 0.1, 1e-5, running_mean, running_var,
                                              b.result(shape), mean, inv_std);
               b.changed(running_mean);
               b.changed(running_var);
               b.backend().batch_norm_apply(x, weight, bias, s, r, mean, inv_std, b.result(shape));
               Tensor& dslope = fused ? b.parameter_result(vector) : none;
               b.backend().batch_norm_backward(x, weight, bias, s, mean, inv_std, dy, r, b.result(shape),
                                               b.parameter_result(vector), b.parameter_result(vector),
                                               dslope);
             }
             const Tensor mean = b.parameter(vector), inv_std = b.parameter(vector, 0.5, 2);
             b.backend().batch_norm_backward(x, weight, bias, none, mean, inv_std, dy, none, none,
                                             b.parameter_result(vector), none, none);
           }});
    }
    cases.push_back(
        {concat("batch_norm in parts/", rows, " x ", channels),
         {"batch_norm_moments", "batch_norm_statistics", "batch_norm_backward_sums",
          "batch_norm_backward_apply"},
         [=](Bench& b) {
           const Shape shape{rows, channels}, vector{channels};
           const Tensor x = b.random(shape, 1, 4), weight = b.parameter(vector), bias = b.parameter(vector),
                        slope = b.parameter(vector), addend = b.random(shape), dy = b.random(shape);
           // Sums are float64, but as exact as the terms; what follows from them is compared.
           Tensor moments = b.output({1, 3, channels}, DType::float64);
           b.backend().batch_norm_moments(x, moments);
           Tensor parts = Tensor::empty({3, 3, channels}, DType::float64, b.device());
           for (int part = 0; part < 3; ++part) b.backend().paste(moments, 0, part, parts);
           Tensor running_mean = b.parameter(vector), running_var = b.parameter(vector, 0.5, 2);
           Tensor &mean = b.parameter_result(vector), &inv_std = b.parameter_result(vector);
           b.backend().batch_norm_statistics(parts, 0.1, 1e-2, running_mean, running_var, mean, inv_std);
           b.changed(running_mean);
           b.changed(running_var);
           for (const bool all : {false, true}) {
             Tensor none, sums = b.output({3, channels}, DType::float64);
             const Tensor &s = all ? slope : none, &a = all ? addend : none;
             Tensor &dweight = all ? b.parameter_result(vector) : none,
                    &dbias = all ? b.parameter_result(vector) : none,
                    &dslope = all ? b.parameter_result(vector) : none;
             b.backend().batch_norm_backward_sums(x, weight, bias, s, mean, inv_std, dy, sums, dweight, dbias,
                                                  dslope);
             b.backend().batch_norm_backward_apply(x, weight, bias, s, mean, inv_std, dy, sums, a,
                                                   b.result(shape));
           }
         }});
    cases.push_back(
        {concat("batch_norm_eval/", rows, " x ", channels),
         {"batch_norm_eval_forward", "batch_norm_eval_backward"},
         [=](Bench& b) {
           const Shape shape{rows, channels}, vector{channels};
           const Tensor x = b.random(shape), weight = b.parameter(vector), bias = b.parameter(vector),
                        mean = b.parameter(vector), var = b.parameter(vector, 0.5, 2), dy = b.random(shape);
           b.backend().batch_norm_eval_forward(x, weight, bias, mean, var, 1e-5, b.result(shape));
           b.backend().batch_norm_eval_backward(x, weight, mean, var, 1e-5, dy, b.result(shape),
                                                b.parameter_result(vector), b.parameter_result(vector));
           Tensor none;
           b.backend().batch_norm_eval_backward(x, weight, mean, var, 1e-5, dy, b.result(shape), none, none);
         }});
    if (channels > 1) {  // one channel has no variance
      cases.push_back(
          {concat("layer_norm/", rows, " x ", channels),
           {"layer_norm_forward", "layer_norm_backward"},
           [=](Bench& b) {
             const Shape shape{rows, channels}, vector{channels};
             const Tensor x = b.random(shape), weight = b.parameter(vector), bias = b.parameter(vector),
                          dy = b.random(shape);
             Tensor &mean = b.parameter_result({rows}), &inv_std = b.parameter_result({rows});
             b.backend().layer_norm_forward(x, weight, bias, 1e-5, b.result(shape), mean, inv_std);
             b.backend().layer_norm_backward(x, weight, mean, inv_std, dy, b.result(shape),
                                             b.parameter_result(vector), b.parameter_result(vector));
             Tensor none;
             b.backend().layer_norm_backward(x, weight, mean, inv_std, dy, none, b.parameter_result(vector),
                                             none);
           }});
    }
    cases.push_back(
        {concat("softmax/", rows, " x ", channels), {"softmax_forward", "softmax_backward"}, [=](Bench& b) {
           const Shape shape{rows, channels};
           const Tensor x = b.random(shape, -5, 5), dy = b.random(shape);
           for (const bool log : {false, true}) {
             Tensor& y = b.result(shape);
             b.backend().softmax_forward(x, log, y);
             b.backend().softmax_backward(y, dy, log, b.result(shape));
           }
         }});
    cases.back().bfloat16 = false;
  }
}

void add_pooling(std::vector<KernelCase>& cases) {
  struct Pool {
    std::int64_t height, width, channels;
    Pool2dOptions options;
  };
  for (const Pool p : {Pool{1, 1, 1, {1, 1, 0}},
                       {7, 5, 3, {1, 2, 0}},
                       {7, 9, 33, {3, 2, 0}},
                       {8, 6, 31, {2, 2, 0}},
                       {9, 9, 1, {3, 1, 0}},
                       {8, 7, 33, {3, 2, 1}},
                       {1, 6, 5, {5, 2, 2}}}) {
    const std::string padded = p.options.padding > 0 ? concat(", padding ", p.options.padding) : "";
    cases.push_back(
        {concat("max_pool2d/", p.height, " x ", p.width, " x ", p.channels, " by ", p.options.kernel, padded),
         {"max_pool2d_forward", "max_pool2d_backward"},
         [=](Bench& b) {
           const Shape in{2, p.height, p.width, p.channels};
           const auto& [kernel, stride, padding] = p.options;
           const Shape out{2, (p.height + 2 * padding - kernel) / stride + 1,
                           (p.width + 2 * padding - kernel) / stride + 1, p.channels};
           const Tensor x = b.random(in), dy = b.random(out);
           Tensor& argmax = b.result(out, DType::int32);
           b.backend().max_pool2d_forward(x, p.options, b.result(out), argmax);
           b.backend().max_pool2d_backward(dy, argmax, b.result(in));
         }});
    cases.push_back({concat("global_avg_pool2d/", p.height, " x ", p.width, " x ", p.channels),
                     {"global_avg_pool2d_forward", "global_avg_pool2d_backward"},
                     [=](Bench& b) {
                       const Shape in{3, p.height, p.width, p.channels}, out{3, p.channels};
                       b.backend().global_avg_pool2d_forward(b.random(in), b.result(out));
                       b.backend().global_avg_pool2d_backward(b.random(out), b.result(in));
                     }});
  }
}

void add_heatmaps(std::vector<KernelCase>& cases) {
  struct Maps {
    std::int64_t height, width, lm, img;
  };
  for (const Maps m :
       {Maps{1, 1, 1, 1}, {3, 5, 3, 7}, {1, 9, 33, 31}, {7, 7, 16, 32}, {2, 3, 128, 129}, {3, 1, 4, 8}}) {
    for (const HeatmapKind kind : {HeatmapKind::max, HeatmapKind::sum, HeatmapKind::abs_sum}) {
      cases.push_back(
          {concat("heatmap/", m.height, " x ", m.width, " of ", m.lm, " and ", m.img, ", kind ",
                  static_cast<int>(kind)),
           {"heatmap_forward", "heatmap_backward", "heatmap_product_forward", "heatmap_product_backward"},
           [=](Bench& b) {
             const Shape lm{2, m.height, m.width, m.lm}, img{2, m.height, m.width, m.img},
                 one{2, m.height, m.width, 1};
             const Tensor f_lm = b.random(lm), f_img = b.random(img), dy = b.random(img),
                          dheat = b.random(one);
             Tensor none;
             const bool max = kind == HeatmapKind::max;
             Tensor winners, argmax;  // of the maximum alone
             if (max) winners = b.result(one, DType::int32), argmax = b.result(one, DType::int32);
             b.backend().heatmap_forward(f_lm, kind, b.result(one), winners);
             b.backend().heatmap_backward(f_lm, winners, kind, dheat, b.result(lm));
             Tensor& heat = b.result(one);
             b.backend().heatmap_product_forward(f_lm, f_img, kind, b.result(img), heat, argmax);
             const auto backward = [&](Tensor& df_lm, Tensor& df_img) {
               b.backend().heatmap_product_backward(f_lm, f_img, heat, argmax, kind, dy, df_lm, df_img);
             };
             backward(b.result(lm), b.result(img));
             backward(none, b.result(img));
             backward(b.result(lm), none);
           }});
    }
  }
}

}  // namespace

std::vector<KernelCase> channel_cases() {
  std::vector<KernelCase> cases;
  add_activations(cases);
  add_norms(cases);
  add_pooling(cases);
  add_heatmaps(cases);
  return cases;
}

}  // namespace fer::test
