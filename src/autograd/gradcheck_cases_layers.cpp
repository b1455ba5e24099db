// Cases of the operations that layers consist of. Extents are 1, primes, and the neighbours of the powers of
// two that kernels use as tile sizes.
#include "autograd/gradcheck_cases.h"
#include "fer/autograd/ops.h"

namespace fer::detail {
namespace {

void add_products(Cases& cases) {
  const auto product = [&](const std::string& name, const Shape& a, const Shape& b) {
    cases.push_back({"matmul/" + name, [=](CaseInputs& in) { in.uniform("a", a).uniform("b", b); },
                     [](Inputs x) { return matmul(x[0], x[1]); }});
  };
  product("1x1", {1, 1}, {1, 1});
  product("primes", {7, 13}, {13, 5});
  product("tile + 1", {33, 17}, {17, 65});
  product("tile - 1", {31, 63}, {63, 15});
  product("a row", {1, 37}, {37, 3});
  product("a column", {29, 1}, {1, 6});
  product("batch", {3, 5, 4}, {3, 4, 7});
  product("batch of heads", {2, 3, 5, 4}, {2, 3, 4, 6});

  const auto layer = [&](const std::string& name, const Shape& x, std::int64_t outputs, bool bias) {
    cases.push_back({"linear/" + name,
                     [=](CaseInputs& in) {
                       in.uniform("x", x).uniform("weight", {outputs, x[-1]});
                       if (bias) in.uniform("bias", {outputs});
                     },
                     [](Inputs v) { return linear(v[0], v[1], v.size() > 2 ? v[2] : Variable()); }});
  };
  cases.push_back({"linear/residual",
                   [](CaseInputs& in) {
                     in.uniform("x", {3, 5, 7}).uniform("weight", {4, 7}).uniform("bias", {4});
                     in.uniform("residual", {3, 5, 4});
                   },
                   [](Inputs v) { return linear(v[0], v[1], v[2], v[3]); }});
  for (const bool bias : {true, false}) {
    cases.push_back({concat("linear_gelu/tokens", bias ? "" : ", no bias"),
                     [=](CaseInputs& in) {
                       in.uniform("x", {2, 9, 13}).uniform("weight", {5, 13});
                       if (bias) in.uniform("bias", {5});
                     },
                     [](Inputs v) { return linear_gelu(v[0], v[1], v.size() > 2 ? v[2] : Variable()); }});
  }
  layer("1x1", {1, 1}, 1, true);
  layer("a vector", {11}, 5, true);
  layer("tokens", {2, 17, 13}, 7, true);
  layer("tokens, no bias", {2, 17, 13}, 7, false);
  layer("tile + 1", {65, 33}, 17, true);
  layer("tile - 1", {15, 31}, 63, true);
}

void add_convolutions(Cases& cases) {
  const auto conv = [&](const std::string& name, const Shape& x, const Shape& weight,
                        const Conv2dOptions& options, bool bias = false) {
    cases.push_back(
        {"conv2d/" + name,
         [=](CaseInputs& in) {
           in.uniform("x", x).uniform("weight", weight);
           if (bias) in.uniform("bias", {weight[0]});
         },
         [=](Inputs v) { return conv2d(v[0], v[1], v.size() > 2 ? v[2] : Variable(), options); }});
  };
  conv("3x3", {2, 5, 7, 3}, {4, 3, 3, 3}, {1, 1, 1}, true);
  conv("3x3, tile + 1", {1, 9, 9, 17}, {17, 3, 3, 17}, {1, 1, 1});
  conv("3x3, tile", {1, 8, 8, 16}, {16, 3, 3, 16}, {1, 1, 1});
  conv("3x3 stride 2", {2, 7, 6, 5}, {3, 3, 3, 5}, {2, 1, 1});
  conv("3x3 without padding", {1, 5, 4, 2}, {7, 3, 3, 2}, {1, 0, 1});
  conv("3x3 on one pixel", {2, 1, 1, 3}, {5, 3, 3, 3}, {1, 1, 1});
  conv("1x1", {2, 3, 5, 7}, {11, 1, 1, 7}, {1, 0, 1}, true);
  conv("1x1 stride 2", {2, 5, 4, 3}, {4, 1, 1, 3}, {2, 0, 1});
  conv("1x1 padded", {1, 3, 3, 2}, {3, 1, 1, 2}, {1, 1, 1}, true);
  conv("5x5 stride 2", {1, 7, 7, 2}, {3, 5, 5, 2}, {2, 2, 1});
  conv("2x2 stride 3", {2, 6, 9, 5}, {1, 2, 2, 5}, {3, 1, 1});
  conv("1x3 kernel", {1, 4, 6, 3}, {2, 1, 3, 3}, {1, 1, 1});
  conv("grey image", {2, 6, 6, 1}, {3, 3, 3, 1}, {1, 1, 1});
  conv("2 groups", {2, 5, 6, 4}, {6, 3, 3, 2}, {1, 1, 2}, true);
  conv("3 groups stride 2", {1, 7, 5, 9}, {3, 3, 3, 3}, {2, 1, 3});
  conv("depthwise 3x3", {2, 6, 5, 7}, {7, 3, 3, 1}, {1, 1, 7});
  conv("depthwise 3x3, tile + 1", {1, 5, 5, 17}, {17, 3, 3, 1}, {1, 1, 17});
  conv("depthwise 3x3 stride 2", {2, 7, 6, 5}, {5, 3, 3, 1}, {2, 1, 5});
  conv("depthwise 3x3 with bias", {1, 4, 4, 3}, {3, 3, 3, 1}, {1, 1, 3}, true);
  conv("depthwise 7x7", {2, 7, 7, 6}, {6, 7, 7, 1}, {1, 0, 6});
  conv("depthwise, one channel", {1, 5, 5, 1}, {1, 3, 3, 1}, {1, 1, 1});
}

void add_pooling(Cases& cases) {
  const auto pool = [&](const std::string& name, const Shape& shape, int kernel, int stride,
                        int padding = 0) {
    cases.push_back({"max_pool2d/" + name, [=](CaseInputs& in) { in.apart("x", shape); },
                     [=](Inputs x) { return max_pool2d(x[0], kernel, stride, padding); }});
  };
  pool("1x1 stride 2", {2, 7, 8, 3}, 1, 2);
  pool("2x2 stride 2", {2, 8, 6, 3}, 2, 2);
  pool("3x3 stride 1, overlapping", {1, 5, 5, 2}, 3, 1);
  pool("2x2 stride 3, gaps", {1, 8, 7, 5}, 2, 3);
  pool("3x3 stride 2, padded", {2, 7, 6, 3}, 3, 2, 1);
  pool("5x5 stride 1, padded beyond a row", {1, 1, 6, 2}, 5, 1, 2);
  for (const Shape& shape : {Shape{2, 5, 3, 7}, Shape{1, 1, 1, 1}, Shape{3, 9, 1, 17}}) {
    cases.push_back({"global_avg_pool2d/" + shape.str(), [=](CaseInputs& in) { in.uniform("x", shape); },
                     [](Inputs x) { return global_avg_pool2d(x[0]); }});
  }
}

void add_norms(Cases& cases) {
  for (const Shape& shape : {Shape{3, 4, 5, 7}, Shape{2, 1}, Shape{37, 17}, Shape{5, 3, 2}}) {
    const std::int64_t channels = shape[-1];
    const auto inputs = [=](CaseInputs& in) {
      in.uniform("x", shape, 1.0, 5.0).uniform("weight", {channels}, 0.5, 1.5).uniform("bias", {channels});
    };
    cases.push_back({"batch_norm/" + shape.str(), inputs, [channels](Inputs x) {
                       const Tensor& like = x[0].value();
                       Tensor mean = Tensor::zeros({channels}, like.dtype(), like.device());
                       Tensor var = Tensor::full({channels}, 1.0, like.dtype(), like.device());
                       return batch_norm(x[0], x[1], x[2], mean, var, 0.1, 1e-5);
                     }});
    cases.push_back(
        {"batch_norm_eval/" + shape.str(),
         [=](CaseInputs& in) {
           inputs(in);
           in.uniform("running_mean", {channels}, -1.0, 1.0, false);
           in.uniform("running_var", {channels}, 0.5, 1.5, false);
         },
         [](Inputs x) { return batch_norm_eval(x[0], x[1], x[2], x[3].value(), x[4].value(), 1e-5); }});
  }
  const auto fused = [&](const std::string& name, const Shape& shape, bool sloped, bool added) {
    const std::int64_t channels = shape[-1];
    cases.push_back({"batch_norm/" + name,
                     [=](CaseInputs& in) {
                       in.uniform("x", shape, 1.0, 5.0).uniform("weight", {channels}, 0.5, 1.5);
                       in.uniform("bias", {channels});
                       if (sloped) in.uniform("slope", {channels});
                       if (added) in.uniform("residual", shape);
                     },
                     [=](Inputs x) {
                       const Tensor& like = x[0].value();
                       Tensor mean = Tensor::zeros({channels}, like.dtype(), like.device());
                       Tensor var = Tensor::full({channels}, 1.0, like.dtype(), like.device());
                       return batch_norm(x[0], x[1], x[2], mean, var, 0.1, 1e-5, sloped ? x[3] : Variable(),
                                         added ? x[sloped ? 4 : 3] : Variable());
                     }});
  };
  fused("with PReLU", {3, 4, 5, 7}, true, false);
  fused("with a residual", {37, 17}, false, true);
  fused("with PReLU and a residual", {5, 3, 2}, true, true);
  for (const Shape& shape : {Shape{2, 5, 7}, Shape{3, 1}, Shape{33, 17}, Shape{7}, Shape{2, 65}}) {
    const std::int64_t channels = shape[-1];
    cases.push_back(
        {"layer_norm/" + shape.str(),
         [=](CaseInputs& in) {
           in.uniform("x", shape, -4.0, 2.0).uniform("weight", {channels}).uniform("bias", {channels});
         },
         [](Inputs x) { return layer_norm(x[0], x[1], x[2], 1e-6); }});
  }
}

void add_attention(Cases& cases) {
  struct Extents {
    std::int64_t batch, queries, keys, dim;
    int heads;
  };
  for (const auto& [label, e] : {std::pair<std::string, Extents>{"one token", {1, 1, 1, 1, 1}},
                                 {"class token alone", {2, 1, 17, 12, 3}},
                                 {"heads of one channel", {1, 5, 3, 4, 4}},
                                 {"primes", {2, 7, 13, 10, 2}},
                                 {"tile + 1", {1, 33, 65, 17, 1}},
                                 {"tile - 1", {1, 31, 15, 48, 2}},
                                 {"wide heads", {1, 17, 18, 140, 2}}}) {
    const auto inputs = [e = e](CaseInputs& in) {
      in.uniform("q", {e.batch, e.queries, e.dim}, -2.0, 2.0);
      in.uniform("k", {e.batch, e.keys, e.dim}, -2.0, 2.0).uniform("v", {e.batch, e.keys, e.dim});
    };
    cases.push_back({"attention/" + label, inputs,
                     [heads = e.heads](Inputs x) { return attention(x[0], x[1], x[2], heads); }});
    cases.push_back({"attention_composed/" + label, inputs,
                     [heads = e.heads](Inputs x) { return attention_composed(x[0], x[1], x[2], heads); }});
  }
  const auto changed = [&](const std::string& name, const Shape& q, std::int64_t keys, int heads,
                           const Shape& bias, const Shape& mask) {
    cases.push_back({"attention/" + name,
                     [=](CaseInputs& in) {
                       in.uniform("q", q, -2.0, 2.0).uniform("k", {q[0], keys, q[2]}, -2.0, 2.0);
                       in.uniform("v", {q[0], keys, q[2]}).uniform("bias", bias, -2.0, 2.0);
                     },
                     [=](Inputs x) {
                       std::vector<std::uint8_t> seen;
                       for (std::int64_t i = 0; i < mask.numel(); ++i) seen.push_back(i % 3 != 0);
                       const Tensor where = Tensor::from<std::uint8_t>(mask, seen, x[0].device());
                       return attention(x[0], x[1], x[2], heads, x[3],
                                        mask.rank() > 0 ? Variable(where) : Variable());
                     }});
  };
  changed("bias by head", {2, 5, 6}, 7, 2, {2, 5, 7}, {});
  changed("bias by head and image, mask of keys", {2, 7, 6}, 9, 3, {2, 3, 7, 9}, {2, 1, 1, 9});
  changed("one query, bias by key, causal mask", {3, 1, 4}, 33, 1, {33}, {1, 33});
  changed("a query that sees nothing", {1, 4, 6}, 3, 2, {4, 3}, {4, 1});
  cases.push_back({"attention/of itself",
                   [](CaseInputs& in) {
                     in.uniform("x", {2, 5, 6});
                   },
                   [](Inputs x) { return attention(x[0], x[0], x[0], 2); }});
}

void add_heatmaps(Cases& cases) {
  for (const auto& [name, kind] : {std::pair<std::string, HeatmapKind>{"max", HeatmapKind::max},
                                   {"sum", HeatmapKind::sum},
                                   {"abs_sum", HeatmapKind::abs_sum}}) {
    for (const Shape& shape : {Shape{2, 3, 4, 5}, Shape{1, 2, 3, 1}, Shape{1, 3, 3, 33}}) {
      cases.push_back({concat("heatmap/", name, " ", shape), [=](CaseInputs& in) { in.apart("f_lm", shape); },
                       [kind = kind](Inputs x) { return heatmap(x[0], kind); }});
      for (std::int64_t channels : {1, 17}) {
        const Shape image = {shape[0], shape[1], shape[2], channels};
        cases.push_back({concat("heatmap_product/", name, " ", shape, " with ", channels),
                         [=](CaseInputs& in) { in.apart("f_lm", shape).uniform("f_img", image); },
                         [kind = kind](Inputs x) { return heatmap_product(x[0], x[1], kind); }});
      }
    }
  }
}

void add_dropout(Cases& cases) {
  const auto add = [&](const std::string& name, const Shape& shape, double p, DropoutMask mask) {
    cases.push_back({"dropout/" + name, [=](CaseInputs& in) { in.uniform("x", shape); },
                     [=](Inputs x) {
                       return dropout(x[0], p, {3, fnv1a64("gradcheck.dropout"), 7}, mask);
                     }});
  };
  for (double p : {0.1, 0.5, 0.9}) add(concat("p ", p), {5, 13}, p, DropoutMask::element);
  add("by sample", {9, 2, 3}, 0.5, DropoutMask::sample);
  add("by sample, one number each", {11}, 0.3, DropoutMask::sample);
}

}  // namespace

void add_layer_cases(Cases& cases) {
  add_products(cases);
  add_convolutions(cases);
  add_pooling(cases);
  add_norms(cases);
  add_attention(cases);
  add_heatmaps(cases);
  add_dropout(cases);
}

}  // namespace fer::detail
