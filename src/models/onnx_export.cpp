// The graph follows the forward passes of fernet.cpp, ir50.cpp, mobile_face_net.cpp and dual_attention.cpp,
// module by module and under their names. Maps are N x C x h x w, as ONNX has them; tokens N x T x D.
#include "fer/models/onnx_export.h"

#include <cmath>
#include <numbers>
#include <unordered_map>

#include "fer/error.h"

namespace fer {
namespace {

using Ints = std::vector<std::int64_t>;

Tensor plain(const Tensor& tensor) {
  return tensor.to(Device::cpu).to(DType::float32);
}

std::vector<double> doubles(const Tensor& tensor) {
  return tensor.to(Device::cpu).to(DType::float64).to_vector<double>();
}

/// y = factor * x + offset, a channel.
struct Affine {
  std::vector<double> factor, offset;
};

Affine affine_of(const BatchNorm& norm) {
  Affine affine{doubles(norm.weight.value()), doubles(norm.bias.value())};
  const std::vector<double> mean = doubles(norm.running_mean), var = doubles(norm.running_var);
  for (std::size_t c = 0; c < mean.size(); ++c) {
    affine.factor[c] /= std::sqrt(var[c] + norm.eps());
    affine.offset[c] -= mean[c] * affine.factor[c];
  }
  return affine;
}

/// I x O of O x I.
Tensor transposed(const Tensor& weight) {
  const std::int64_t rows = weight.dim(0), columns = weight.dim(1);
  const auto values = plain(weight).to_vector<float>();
  std::vector<float> turned(values.size());
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c) {
      turned[static_cast<std::size_t>(c * rows + r)] = values[static_cast<std::size_t>(r * columns + c)];
    }
  }
  return Tensor::from<float>({columns, rows}, turned);
}

class Exporter {
 public:
  Exporter(FERNet& model, const InputSpec& input) : config_(model.config()), input_(input) {
    for (const auto& [path, module] : model.named_modules()) modules_.emplace(path, module);
    for (const NamedVariable& parameter : model.named_parameters()) {
      parameters_.emplace(parameter.name, parameter.variable.value());
    }
  }

  OnnxModel run();

 private:
  // What the graph is made of. Each returns the name of the value that it gives.
  std::string node(const std::string& op, const std::string& name, const std::vector<std::string>& inputs,
                   const std::vector<OnnxAttribute>& attributes = {});
  std::string constant(const std::string& name, const Tensor& value);
  std::string integers(const std::string& name, const Ints& values);
  std::string number(const std::string& name, double value);

  template <typename M>
  const M& at(const std::string& path) const;
  bool has(const std::string& path) const { return modules_.contains(path); }

  // Layers.
  std::string conv(const std::string& x, const std::string& path, const std::string& norm = "");
  std::string batch_norm(const std::string& x, const std::string& path);
  std::string prelu(const std::string& x, const std::string& path);
  std::string linear(const std::string& x, const std::string& path);
  std::string layer_norm(const std::string& x, const std::string& path);
  std::string gelu(const std::string& x, const std::string& name);

  // From bytes to what the backbones are fed.
  std::string luma(const std::string& pixels);
  std::string normalised(const std::string& bytes);

  // The backbones.
  std::string ir_unit(const std::string& x, const std::string& path);
  std::string image_features(const std::string& image);
  std::string conv_block(const std::string& x, const std::string& path);
  std::string depth_wise(const std::string& x, const std::string& path);
  std::string landmark_features(const std::string& image);

  // The dual attention.
  std::string fuse(const std::string& f_img, const std::string& f_lm);
  std::string heat_map(const std::string& f_lm);
  std::string tokens(const std::string& map, const std::string& stream);
  std::string first_row(const std::string& t, const std::string& name);
  std::string split_heads(const std::string& x, const Ints& order);
  std::string attended(const std::string& f, const std::string& l, const std::string& path);
  std::string block(const std::string& t, const std::string& t_query, const std::string& path, bool last);
  std::string finish(const std::string& row);

  const FERNetConfig config_;
  const InputSpec input_;
  std::unordered_map<std::string, Module*> modules_;
  std::unordered_map<std::string, Tensor> parameters_;
  OnnxModel graph_;
};

std::string Exporter::node(const std::string& op, const std::string& name,
                           const std::vector<std::string>& inputs,
                           const std::vector<OnnxAttribute>& attributes) {
  graph_.nodes.push_back({op, name, inputs, {name}, attributes});
  return name;
}

std::string Exporter::constant(const std::string& name, const Tensor& value) {
  graph_.initializers.push_back({name, value});
  return name;
}

std::string Exporter::integers(const std::string& name, const Ints& values) {
  return constant(name, Tensor::from<std::int64_t>({static_cast<std::int64_t>(values.size())}, values));
}

std::string Exporter::number(const std::string& name, double value) {
  return constant(name, Tensor::scalar(value));
}

template <typename M>
const M& Exporter::at(const std::string& path) const {
  const auto found = modules_.find(path);
  const M* module = found == modules_.end() ? nullptr : dynamic_cast<const M*>(found->second);
  require<ConfigError>(module != nullptr, "[onnx] the model's module '", path,
                       found == modules_.end() ? "' is missing" : "' is of another kind than expected");
  return *module;
}

std::string Exporter::conv(const std::string& x, const std::string& path, const std::string& norm) {
  const Conv2d& layer = at<Conv2d>(path);
  const Conv2dOptions& options = layer.options();
  Tensor weight = to_pytorch_layout(plain(layer.weight.value())), bias;
  if (layer.bias.defined()) bias = plain(layer.bias.value());
  if (!norm.empty()) {
    const Affine affine = affine_of(at<BatchNorm>(norm));
    std::vector<double> w = doubles(weight), b = affine.offset;
    const std::size_t row = w.size() / b.size();
    for (std::size_t i = 0; i < w.size(); ++i) w[i] *= affine.factor[i / row];
    if (bias.defined()) {
      const std::vector<double> before = doubles(bias);
      for (std::size_t c = 0; c < b.size(); ++c) b[c] += affine.factor[c] * before[c];
    }
    weight = Tensor::from<double>(weight.shape(), w).to(DType::float32);
    bias = Tensor::from<double>({layer.out()}, b).to(DType::float32);
  }
  std::vector<std::string> inputs{x, constant(path + ".weight", weight)};
  if (bias.defined()) inputs.push_back(constant(path + ".bias", bias));
  return node("Conv", path, inputs,
              {{"group", std::int64_t{options.groups}},
               {"kernel_shape", Ints{layer.kernel(), layer.kernel()}},
               {"pads", Ints(4, options.padding)},
               {"strides", Ints{options.stride, options.stride}}});
}

std::string Exporter::batch_norm(const std::string& x, const std::string& path) {
  const BatchNorm& norm = at<BatchNorm>(path);
  return node("BatchNormalization", path,
              {x, constant(path + ".weight", plain(norm.weight.value())),
               constant(path + ".bias", plain(norm.bias.value())),
               constant(path + ".running_mean", plain(norm.running_mean)),
               constant(path + ".running_var", plain(norm.running_var))},
              {{"epsilon", static_cast<float>(norm.eps())}});
}

std::string Exporter::prelu(const std::string& x, const std::string& path) {
  const Tensor slope = plain(at<PReLU>(path).weight.value());
  return node("PRelu", path, {x, constant(path + ".weight", slope.reshape({-1, 1, 1}))});
}

std::string Exporter::linear(const std::string& x, const std::string& path) {
  const Linear& layer = at<Linear>(path);
  const std::string weight = constant(path + ".weight", transposed(layer.weight.value()));
  if (!layer.bias.defined()) return node("MatMul", path, {x, weight});
  const std::string product = node("MatMul", path + ".product", {x, weight});
  return node("Add", path, {product, constant(path + ".bias", plain(layer.bias.value()))});
}

std::string Exporter::layer_norm(const std::string& x, const std::string& path) {
  const LayerNorm& norm = at<LayerNorm>(path);
  return node("LayerNormalization", path,
              {x, constant(path + ".weight", plain(norm.weight.value())),
               constant(path + ".bias", plain(norm.bias.value()))},
              {{"axis", -1}, {"epsilon", static_cast<float>(norm.eps())}});
}

/// The exact form, x/2 (1 + erf(x / sqrt 2)).
std::string Exporter::gelu(const std::string& x, const std::string& name) {
  const std::string scaled =
      node("Mul", name + ".scaled", {x, number(name + ".inverse_sqrt_2", 1 / std::numbers::sqrt2)});
  const std::string erf = node("Erf", name + ".erf", {scaled});
  const std::string sum = node("Add", name + ".sum", {erf, number(name + ".one", 1)});
  const std::string half = node("Mul", name + ".half_x", {x, number(name + ".half", 0.5)});
  return node("Mul", name, {half, sum});
}

/// N x S x S x 3 -> N x S x S x 1, as to_grey() gives it. Bytes times weights of 16 fractional bits, and
/// their sums, are exact in float32. No matrix product, which a device may round.
std::string Exporter::luma(const std::string& pixels) {
  const std::string name = "image.luma";
  std::vector<float> weights;
  for (const int weight : luma_weights) weights.push_back(static_cast<float>(weight) / 65536);
  const std::string shares =
      node("Mul", name + ".shares", {pixels, constant(name + ".weights", Tensor::from<float>({3}, weights))});
  const std::string sum =
      node("ReduceSum", name + ".sum", {shares, integers(name + ".axes", {3})}, {{"keepdims", 1}});
  return node("Floor", name, {node("Add", name + ".raised", {sum, number(name + ".half", 0.5)})});
}

/// N x S x S x 3 bytes -> N x 3 x S x S.
std::string Exporter::normalised(const std::string& bytes) {
  const auto channels = [](const std::array<double, 3>& values) {
    return Tensor::from<double>({3, 1, 1}, {values.begin(), values.end()}).to(DType::float32);
  };
  std::string x = node("Cast", "image.pixels", {bytes}, {{"to", 1}});  // TensorProto.FLOAT
  if (input_.colour == InputColour::grey) x = luma(x);
  x = node("Transpose", "image.planes", {x}, {{"perm", Ints{0, 3, 1, 2}}});
  x = node("Div", "image.unit", {x, number("image.white", 255)});
  x = node("Sub", "image.centred", {x, constant("image.mean", channels(input_.normalisation.mean))});
  return node("Div", "image.normalised", {x, constant("image.std", channels(input_.normalisation.std))});
}

std::string Exporter::ir_unit(const std::string& x, const std::string& path) {
  const std::string res = path + ".res_layer", shortcut = path + ".shortcut_layer";
  const std::int64_t stride = at<Conv2d>(res + ".3").options().stride;
  std::string y = batch_norm(x, res + ".0");  // stays: the convolution behind it pads with zeros, not with it
  y = prelu(conv(y, res + ".1"), res + ".2");
  y = conv(y, res + ".3", res + ".4");
  std::string skipped = x;
  if (has(shortcut + ".0")) {
    skipped = conv(x, shortcut + ".0", shortcut + ".1");
  } else if (stride > 1) {
    skipped =
        node("MaxPool", shortcut, {x}, {{"kernel_shape", Ints{1, 1}}, {"strides", Ints{stride, stride}}});
  }
  return node("Add", path, {y, skipped});
}

std::string Exporter::image_features(const std::string& image) {
  const std::string path = "image_backbone";
  std::string x = conv(image, path + ".input_layer.0", path + ".input_layer.1");
  x = prelu(x, path + ".input_layer.2");
  for (int i = 0; has(concat(path, ".body.", i)); ++i) x = ir_unit(x, concat(path, ".body.", i));
  return x;
}

std::string Exporter::conv_block(const std::string& x, const std::string& path) {
  const std::string y = conv(x, path + ".conv", path + ".bn");
  return has(path + ".prelu") ? prelu(y, path + ".prelu") : y;
}

std::string Exporter::depth_wise(const std::string& x, const std::string& path) {
  std::string y = conv_block(x, path + ".conv");
  y = conv_block(y, path + ".conv_dw");
  y = conv_block(y, path + ".project");
  return at<DepthWise>(path).residual() ? node("Add", path, {x, y}) : y;
}

std::string Exporter::landmark_features(const std::string& image) {
  const std::string path = "landmark_backbone";
  std::string x = image;
  if (config_.landmark_unit_input) {  // not folded into the convolution, whose border is zero in [0, 1]
    x = node("Mul", path + ".scaled", {x, "image.std"});
    x = node("Add", path + ".unit_input", {x, "image.mean"});
  }
  x = conv_block(conv_block(x, path + ".conv1"), path + ".conv2_dw");
  for (const char* name : {".conv_23", ".conv_3", ".conv_34", ".conv_4"}) {
    const std::string stage = path + name;
    if (!has(stage + ".model")) {
      x = depth_wise(x, stage);
      continue;
    }
    for (int i = 0; has(concat(stage, ".model.", i)); ++i) x = depth_wise(x, concat(stage, ".model.", i));
  }
  return x;
}

std::string Exporter::heat_map(const std::string& f_lm) {
  const std::string name = "attention.heat_map";
  switch (config_.attention.heatmap) {
    case Heatmap::max:
      return node("ReduceMax", name, {f_lm}, {{"axes", Ints{1}}, {"keepdims", 1}});
    case Heatmap::sum:
      return node("ReduceSum", name, {f_lm, integers(name + ".axes", {1})}, {{"keepdims", 1}});
    case Heatmap::abs_sum:
      return node("ReduceL1", name, {f_lm}, {{"axes", Ints{1}}, {"keepdims", 1}});
    case Heatmap::conv:
      return conv(f_lm, "attention.heatmap_conv");
  }
  throw ConfigError("[onnx] not a heat map");
}

std::string Exporter::fuse(const std::string& f_img, const std::string& f_lm) {
  if (!config_.attention.product) return f_img;
  return node("Mul", "attention.fused", {heat_map(f_lm), f_img});  // Eq. 1
}

/// Eq. 2; `stream` is "fusion" or "lm". Map N x C x h x w -> N x (1 + hw) x D.
std::string Exporter::tokens(const std::string& map, const std::string& stream) {
  const std::string name = "attention." + stream, embed = "attention.embed_" + stream;
  const std::string flat = node("Reshape", name + ".flat", {map, integers(name + ".flat_shape", {0, 0, -1})});
  const std::string rows = node("Transpose", name + ".rows", {flat}, {{"perm", Ints{0, 2, 1}}});
  const std::string pixels = linear(rows, embed);
  const std::string token = constant(name + "_class", plain(parameters_.at(name + "_class")));
  const std::string first = node("Expand", name + ".class_row", {token, "class_shape"});
  std::string t = node("Concat", name + ".tokens", {first, pixels}, {{"axis", 1}});
  if (!config_.attention.pos_embed) return t;
  const std::string positions = "attention.pos_" + stream;
  return node("Add", name + ".placed", {t, constant(positions, plain(parameters_.at(positions)))});
}

/// N x T x D -> N x 1 x D.
std::string Exporter::first_row(const std::string& t, const std::string& name) {
  return node("Slice", name, {t, "zero", "one", "one"});  // from 0 to 1 along dimension 1
}

/// N x T x D, its columns cut into heads, with (N, T, heads, D / heads) permuted by `order`.
std::string Exporter::split_heads(const std::string& x, const Ints& order) {
  const std::string cut = node("Reshape", x + ".cut", {x, "head_shape"});
  return node("Transpose", x + ".heads", {cut}, {{"perm", order}});
}

/// Eqs. 3 and 4: softmax(q k^T / sqrt d) v, through the projection, of queries from l, keys and values from
/// f.
std::string Exporter::attended(const std::string& f, const std::string& l, const std::string& path) {
  const DualAttentionConfig& c = config_.attention;
  const std::int64_t width = c.dim / c.heads;
  const double factor = 1 / std::sqrt(static_cast<double>(width));
  const std::string projected = linear(l, path + ".q_lm");
  const std::string q = node("Mul", path + ".q_scaled", {projected, number(path + ".q_factor", factor)});
  const std::string q_heads = split_heads(q, {0, 2, 1, 3});
  const std::string k_heads = split_heads(linear(f, path + ".k_fusion"), {0, 2, 3, 1});
  const std::string v_heads = split_heads(linear(f, path + ".v_fusion"), {0, 2, 1, 3});
  const std::string scores = node("MatMul", path + ".attention.scores", {q_heads, k_heads});
  const std::string weights = node("Softmax", path + ".attention.weights", {scores}, {{"axis", -1}});
  const std::string values = node("MatMul", path + ".attention.values", {weights, v_heads});
  const std::string rows =
      node("Transpose", path + ".attention.rows", {values}, {{"perm", Ints{0, 2, 1, 3}}});
  return linear(node("Reshape", path + ".attention", {rows, "row_shape"}), path + ".proj");
}

std::string Exporter::block(const std::string& t, const std::string& t_query, const std::string& path,
                            bool last) {
  const bool norms = config_.attention.pre_norm;
  const std::string query = last ? first_row(t_query, path + ".query") : t_query;
  const std::string residual = last ? first_row(t, path + ".residual") : t;
  const std::string f = norms ? layer_norm(t, path + ".norm1") : t;
  const std::string l = norms ? layer_norm(query, path + ".norm_lm") : query;
  const std::string u = node("Add", path + ".attended", {attended(f, l, path), residual});
  const std::string hidden = gelu(linear(layer_norm(u, path + ".norm"), path + ".fc1"), path + ".gelu");
  return node("Add", path, {linear(hidden, path + ".fc2"), u});  // Eq. 5
}

/// N x 1 x D -> N x D.
std::string Exporter::finish(const std::string& row) {
  std::string token = node("Squeeze", "attention.token", {row, "one"});
  if (config_.attention.final_norm) token = layer_norm(token, "attention.final_norm");
  if (!config_.attention.se_gate) return token;
  const std::string hidden = node("Relu", "attention.se_relu", {linear(token, "attention.se_linear1")});
  const std::string gate = node("Sigmoid", "attention.se_sigmoid", {linear(hidden, "attention.se_linear2")});
  return node("Mul", "attention.gated", {token, gate});
}

OnnxModel Exporter::run() {
  const DualAttentionConfig& c = config_.attention;
  const std::int64_t side = config_.image_size;
  graph_.graph_name = "fernet";
  graph_.inputs = {{"image", {"N", side, side, 3}, DType::uint8}};
  graph_.outputs = {{"scores", {"N", config_.classes}}, {"probabilities", {"N", config_.classes}}};
  const std::string x = normalised("image");
  const std::string f_lm = landmark_features(x), f_img = image_features(x);

  integers("zero", {0});
  integers("one", {1});
  integers("head_shape", {0, 0, c.heads, c.dim / c.heads});
  integers("row_shape", {0, 0, c.dim});
  node("Shape", "batch", {"image"}, {{"start", 0}, {"end", 1}});
  node("Concat", "class_shape", {"batch", integers("class_extents", {1, c.dim})}, {{"axis", 0}});
  std::string t = tokens(fuse(f_img, f_lm), "fusion");
  const std::string t_lm = c.cross ? tokens(f_lm, "lm") : "";
  for (std::int64_t i = 0; i < c.depth; ++i) {
    t = block(t, c.cross ? t_lm : t, concat("attention.blocks.", i), i + 1 == c.depth);
  }
  const std::string token = finish(t);
  const Linear& head = at<Linear>("head");
  node("Gemm", "scores",
       {token, constant("head.weight", plain(head.weight.value())),
        constant("head.bias", plain(head.bias.value()))},
       {{"transB", 1}});
  node("Softmax", "probabilities", {"scores"}, {{"axis", 1}});
  return std::move(graph_);
}

}  // namespace

OnnxModel onnx_model(FERNet& model, const InputSpec& input, const Metadata& metadata) {
  require<ConfigError>(input.size == model.config().image_size, "[onnx] the input is of ", input.size,
                       " pixels a side, the network takes ", model.config().image_size);
  OnnxModel onnx = Exporter(model, input).run();
  onnx.description = "FERNet: facial expression from an aligned face, product-cross dual attention";
  onnx.metadata = metadata;
  onnx.metadata[input_key] = to_json(input);
  return onnx;
}

}  // namespace fer
