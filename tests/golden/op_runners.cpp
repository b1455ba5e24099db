// How fer runs each op of ops.safetensors: translates PyTorch's names and layouts to fer's. Shapes and
// attributes come from the case.
#include "tests/golden/op_case.h"

namespace fer::test {
namespace {

constexpr Layout moved = Layout::channels_moved;

using Unary = Variable (*)(const Variable&);

/// f along dimension `dim` of x, for functions that work on the last one.
Variable along(int dim, const Variable& x, Unary f) {
  const int last = x.rank() - 1, axis = dim < 0 ? dim + x.rank() : dim;
  if (axis == last) return f(x);
  std::vector<int> order;
  for (int i = 0; i < x.rank(); ++i) order.push_back(i);
  std::swap(order[axis], order[last]);  // its own inverse
  return permute(f(permute(x, order)), order);
}

void unary(OpCase& c, Unary f) {
  c.output("y", f(c.input("x")));
}

void conv2d_case(OpCase& c) {
  const Variable x = c.input("x", moved), weight = c.input("weight", moved), bias = c.optional_input("bias");
  const Conv2dOptions options{c.attribute<int>("stride"), c.attribute<int>("padding"),
                              c.attribute<int>("groups")};
  c.output("y", conv2d(x, weight, bias, options), moved);
}

void batch_norm_train_case(OpCase& c) {
  const Variable x = c.input("x", moved), weight = c.input("weight"), bias = c.input("bias");
  Tensor mean = c.input("running_mean").value().clone(), var = c.input("running_var").value().clone();
  c.output(
      "y",
      batch_norm(x, weight, bias, mean, var, c.attribute<double>("momentum"), c.attribute<double>("eps")),
      moved);
  c.output("running_mean", Variable(mean));
  c.output("running_var", Variable(var));
}

void batch_norm_eval_case(OpCase& c) {
  const Variable x = c.input("x", moved), weight = c.input("weight"), bias = c.input("bias");
  const Tensor mean = c.input("running_mean").value(), var = c.input("running_var").value();
  c.output("y", batch_norm_eval(x, weight, bias, mean, var, c.attribute<double>("eps")), moved);
}

void layer_norm_case(OpCase& c) {
  c.output("y", layer_norm(c.input("x"), c.input("weight"), c.input("bias"), c.attribute<double>("eps")));
}

void gelu_case(OpCase& c) {
  require<DataError>(c.attribute<std::string>("approximate") == "none", "fer has the exact gelu alone");
  unary(c, &gelu);
}

void heatmap_case(OpCase& c, HeatmapKind kind) {
  c.output("h", heatmap(c.input("f", moved), kind), moved);
}

HeatmapKind heatmap_kind(const std::string& name) {
  if (name == "max") return HeatmapKind::max;
  if (name == "sum") return HeatmapKind::sum;
  require<DataError>(name == "abs_sum", "fer has no heat map '", name, "'");
  return HeatmapKind::abs_sum;
}

void heatmap_product_case(OpCase& c) {
  const HeatmapKind kind = heatmap_kind(c.attribute_or<std::string>("kind", "max"));
  c.output("fusion", heatmap_product(c.input("f_lm", moved), c.input("f_img", moved), kind), moved);
}

void permute_case(OpCase& c) {
  c.output("y", permute(c.input("x"), c.attribute<std::vector<int>>("order")));
}

void slice_case(OpCase& c) {
  c.output("y", slice(c.input("x"), c.attribute<int>("dim"), c.attribute<std::int64_t>("start"),
                      c.attribute<std::int64_t>("length")));
}

/// An operation that takes a shape.
void to_shape(OpCase& c, Variable (*f)(const Variable&, const Shape&)) {
  c.output("y", f(c.input("x"), Shape(c.attribute<std::vector<std::int64_t>>("shape"))));
}

void transpose_case(OpCase& c) {
  const Variable x = c.input("x");
  const int from = c.attribute<int>("flatten_from");
  std::vector<std::int64_t> dims(x.shape().begin(), x.shape().begin() + from);
  dims.push_back(-1);
  c.output("y", transpose(reshape(x, Shape(dims))));
}

void dropout_mask_case(OpCase& c) {
  const Variable x = c.input("x");
  const Variable mask(c.integers("mask").to(x.dtype()));
  c.output("y", scale(mul(x, mask), 1.0 / (1.0 - c.attribute<double>("p"))));
}

/// Features, scores and labels of a batch; the scores determine the number of classes.
struct Batch {
  explicit Batch(OpCase& c)
      : features(c.input("features")),
        scores(c.input("scores")),
        labels(c.integers("labels")),
        neutral(c.attribute<std::int64_t>("neutral")) {
    require<DataError>(c.attribute<std::int64_t>("classes") == scores.dim(1), "classes and scores disagree");
  }
  Variable features, scores;
  Tensor labels;
  std::int64_t neutral;
};

void total_loss_case(OpCase& c) {
  const Batch b(c);
  const Variable neaa = neaa_loss(b.features, b.scores.value(), b.labels, b.neutral);
  c.output("loss", add(cross_entropy(b.scores, b.labels), scale(neaa, c.attribute<double>("weight"))));
}

/// Calls step(gradient, count) for each row of the input `gradients`, the first with count 1.
void for_each_step(OpCase& c, const std::function<void(const Tensor&, std::int64_t)>& step) {
  const Tensor gradients = c.input("gradients").value();
  for (std::int64_t i = 0; i < gradients.dim(0); ++i) {
    step(gradients.slice(i, 1).reshape(Shape{-1}).clone(), i + 1);
  }
}

void adam_case(OpCase& c, bool decoupled) {
  const AdamOptions options{c.attribute<double>("lr"),           c.attribute<double>("beta1"),
                            c.attribute<double>("beta2"),        c.attribute<double>("eps"),
                            c.attribute<double>("weight_decay"), decoupled};
  const Tensor param = c.input("param").value().clone();
  AdamSlot slot{param, Tensor(), Tensor::zeros_like(param), Tensor::zeros_like(param)};
  for_each_step(c, [&](const Tensor& gradient, std::int64_t step) {
    slot.grad = gradient;
    backend_of(param).adam_step({&slot, 1}, options, step);
  });
  c.output("param", Variable(slot.param));
}

void sgd_case(OpCase& c) {
  const SgdOptions options{c.attribute<double>("lr"), c.attribute<double>("momentum"),
                           c.attribute<double>("weight_decay"), c.attribute_or<bool>("nesterov", false)};
  const Tensor param = c.input("param").value().clone();
  SgdSlot slot{param, Tensor(), options.momentum != 0 ? Tensor::zeros_like(param) : Tensor()};
  for_each_step(c, [&](const Tensor& gradient, std::int64_t step) {
    slot.grad = gradient;
    backend_of(param).sgd_step({&slot, 1}, options, step);
  });
  c.output("param", Variable(slot.param));
}

OpRunners make_runners() {
  OpRunners run;
  run["conv2d"] = conv2d_case;
  run["batch_norm_train"] = batch_norm_train_case;
  run["batch_norm_eval"] = batch_norm_eval_case;
  run["layer_norm"] = layer_norm_case;
  run["relu"] = [](OpCase& c) { unary(c, &relu); };
  run["sigmoid"] = [](OpCase& c) { unary(c, &sigmoid); };
  run["gelu"] = gelu_case;
  run["softmax"] = [](OpCase& c) { c.output("y", along(c.attribute<int>("dim"), c.input("x"), &softmax)); };
  run["log_softmax"] = [](OpCase& c) {
    c.output("y", along(c.attribute<int>("dim"), c.input("x"), &log_softmax));
  };
  run["prelu"] = [](OpCase& c) { c.output("y", prelu(c.input("x", moved), c.input("weight")), moved); };
  run["linear"] = [](OpCase& c) {
    c.output("y", linear(c.input("x"), c.input("weight"), c.optional_input("bias")));
  };
  run["linear_gelu"] = [](OpCase& c) {
    c.output("y", linear_gelu(c.input("x"), c.input("weight"), c.input("bias")));
  };
  run["matmul"] = [](OpCase& c) { c.output("y", matmul(c.input("a"), c.input("b"))); };
  run["attention"] = [](OpCase& c) {
    c.output("y", attention(c.input("q"), c.input("k"), c.input("v"), c.attribute<int>("heads")));
  };
  run["heatmap_max"] = [](OpCase& c) { heatmap_case(c, HeatmapKind::max); };
  run["heatmap_sum"] = [](OpCase& c) { heatmap_case(c, HeatmapKind::sum); };
  run["heatmap_abs_sum"] = [](OpCase& c) { heatmap_case(c, HeatmapKind::abs_sum); };
  run["heatmap_product"] = heatmap_product_case;
  run["max_pool2d"] = [](OpCase& c) {
    c.output("y", max_pool2d(c.input("x", moved), c.attribute<int>("kernel"), c.attribute<int>("stride")),
             moved);
  };
  run["global_avg_pool2d"] = [](OpCase& c) { c.output("y", global_avg_pool2d(c.input("x", moved))); };
  run["add"] = [](OpCase& c) { c.output("y", add(c.input("a"), c.input("b"))); };
  run["sub"] = [](OpCase& c) { c.output("y", sub(c.input("a"), c.input("b"))); };
  run["mul"] = [](OpCase& c) { c.output("y", mul(c.input("a"), c.input("b"))); };
  run["concat"] = [](OpCase& c) {
    c.output("y", concat({c.input("a"), c.input("b")}, c.attribute<int>("dim")));
  };
  run["transpose"] = transpose_case;
  run["permute"] = permute_case;
  run["slice"] = slice_case;
  run["reshape"] = [](OpCase& c) { to_shape(c, &reshape); };
  run["broadcast_to"] = [](OpCase& c) { to_shape(c, &broadcast_to); };
  run["sum_to"] = [](OpCase& c) { to_shape(c, &sum_to); };
  run["sum"] = [](OpCase& c) { unary(c, &sum); };
  run["mean"] = [](OpCase& c) { unary(c, &mean); };
  run["scale"] = [](OpCase& c) { c.output("y", scale(c.input("x"), c.attribute<double>("alpha"))); };
  run["dropout_mask"] = dropout_mask_case;
  run["cross_entropy"] = [](OpCase& c) {
    c.output("loss", cross_entropy(c.input("scores"), c.integers("labels"),
                                   c.attribute_or<double>("label_smoothing", 0.0)));
  };
  run["entropy"] = [](OpCase& c) { c.output("h", entropy(c.input("scores"))); };
  run["soft_cross_entropy"] = [](OpCase& c) {
    c.output("loss", soft_cross_entropy(c.input("scores"), c.input("target")));
  };
  run["anchor_loss"] = [](OpCase& c) {
    const Batch b(c);
    c.output("loss", anchor_loss(b.features, b.scores.value(), b.labels));
  };
  run["neutral_loss"] = [](OpCase& c) {
    const Batch b(c);
    c.output("loss", neutral_loss(b.features, b.labels, b.neutral));
  };
  run["neaa_loss"] = [](OpCase& c) {
    const Batch b(c);
    c.output("loss", neaa_loss(b.features, b.scores.value(), b.labels, b.neutral));
  };
  run["total_loss"] = total_loss_case;
  run["adam"] = [](OpCase& c) { adam_case(c, false); };
  run["adamw"] = [](OpCase& c) { adam_case(c, true); };
  run["sgd"] = sgd_case;
  return run;
}

}  // namespace

const OpRunners& op_runners() {
  static const OpRunners runners = make_runners();
  return runners;
}

}  // namespace fer::test
