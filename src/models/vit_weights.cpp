#include "fer/models/vit_weights.h"

#include <algorithm>
#include <cmath>
#include <regex>

namespace fer {
namespace {

const Tensor& required_tensor(const StateDict& tensors, const std::string& source, const std::string& name) {
  const Tensor* found = tensors.find(name);
  require<FormatError>(found != nullptr, source, ": not a vision transformer of timm's: '", name,
                       "' is missing");
  return *found;
}

/// Whether the weights are those of timm's vit_small of 2020, the only one of this width without biases.
bool is_old_small(const StateDict& tensors) {
  const Tensor* qkv = tensors.find("blocks.0.attn.qkv.weight");
  return qkv && qkv->rank() == 2 && qkv->dim(1) == 768 && !tensors.contains("blocks.0.attn.qkv.bias");
}

Tensor scaled(const Tensor& tensor, double factor) {
  std::vector<float> values = tensor.to(DType::float32).to_vector<float>();
  for (float& v : values) v = static_cast<float>(v * factor);
  return Tensor::from<float>(tensor.shape(), values);
}

/// Stores tensor `rest` ("attn.qkv.weight") of the block with `prefix` ("blocks.0.") under our names. Returns
/// whether it has a counterpart.
bool translate_block(const std::string& prefix, const std::string& rest, const Tensor& tensor,
                     double query_factor, const std::string& source, StateDict& out) {
  const std::string kind = rest.substr(rest.rfind('.') + 1);
  if (rest == "attn.qkv." + kind) {
    require<ShapeError>(tensor.rank() >= 1 && tensor.dim(0) % 3 == 0, source, ": '", prefix, rest,
                        "' has shape ", tensor.shape(),
                        "; its rows should be queries, keys and values in equal parts");
    const std::int64_t dim = tensor.dim(0) / 3;
    const Tensor queries = tensor.slice(0, dim);
    out.insert(prefix + "q_lm." + kind, query_factor == 1 ? queries : scaled(queries, query_factor));
    out.insert(prefix + "k_fusion." + kind, tensor.slice(dim, dim));
    out.insert(prefix + "v_fusion." + kind, tensor.slice(2 * dim, dim));
    return true;
  }
  const std::pair<const char*, std::vector<const char*>> parts[] = {{"attn.proj.", {"proj."}},
                                                                    {"norm1.", {"norm1.", "norm_lm."}},
                                                                    {"norm2.", {"norm."}},
                                                                    {"mlp.fc1.", {"fc1."}},
                                                                    {"mlp.fc2.", {"fc2."}}};
  for (const auto& [theirs, ours] : parts) {
    if (rest != theirs + kind) continue;
    for (const char* name : ours) out.insert(concat(prefix, name, kind), tensor);
    return true;
  }
  return false;
}

/// The file's tensors under the attention module's names; those without a counterpart keep their own.
StateDict translate(const StateDict& file, const std::string& source, std::int64_t heads) {
  static const std::regex block("(blocks\\.[0-9]{1,4}\\.)(.+)");
  const double query_factor = is_old_small(file) ? 1 / std::sqrt(static_cast<double>(heads)) : 1;
  const std::pair<const char*, std::vector<const char*>> tokens[] = {
      {"cls_token", {"fusion_class", "lm_class"}},
      {"pos_embed", {"pos_fusion", "pos_lm"}},
      {"norm.weight", {"final_norm.weight"}},
      {"norm.bias", {"final_norm.bias"}}};
  StateDict out;
  for (const auto& [name, tensor] : file) {
    bool translated = false;
    for (const auto& [theirs, ours] : tokens) {
      if (name != theirs) continue;
      for (const char* our_name : ours) out.insert(our_name, tensor);
      translated = true;
    }
    std::smatch found;
    if (!translated && name.size() < 200 && std::regex_match(name, found, block)) {
      translated = translate_block(found[1].str(), found[2].str(), tensor, query_factor, source, out);
    }
    if (!translated) out.insert(name, tensor);
  }
  return out;
}

NameMap vit_names() {
  NameMap names;
  names.title = "attention blocks (timm's vision transformer)";
  names.asides.push_back(leave_aside("patch_embed\\..*", "the embedding of image patches"));
  names.asides.push_back(leave_aside("(head|head_drop|fc_norm|pre_logits)\\..*", "its classifier"));
  names.asides.push_back(leave_aside("(lm_class|pos_lm|blocks\\.[0-9]+\\.norm_lm\\..*)",
                                     "a landmark stream that this configuration lacks"));
  names.asides.push_back(leave_aside("(pos_fusion|final_norm\\..*|blocks\\.[0-9]+\\.norm1\\..*)",
                                     "switched off in this configuration"));
  names.asides.push_back(leave_aside("blocks\\.[0-9]+\\..*", "blocks or parts beyond this configuration"));
  return names;
}

/// Parts that only our model has; see the header.
bool starts_fresh(const std::string& name) {
  for (const char* prefix : {"embed_", "se_linear", "heatmap_conv"}) {
    if (name.rfind(prefix, 0) == 0) return true;
  }
  return false;
}

}  // namespace

void adopt_vit_sizes(const StateDict& tensors, const std::string& source, DualAttentionConfig& config) {
  const Tensor qkv = required_tensor(tensors, source, "blocks.0.attn.qkv.weight");
  const Tensor fc1 = required_tensor(tensors, source, "blocks.0.mlp.fc1.weight");
  require<ShapeError>(qkv.rank() == 2 && fc1.rank() == 2 && qkv.dim(0) == 3 * qkv.dim(1) &&
                          fc1.dim(1) == qkv.dim(1) && fc1.dim(0) % fc1.dim(1) == 0,
                      source, ": 'blocks.0.attn.qkv.weight' of ", qkv.shape(),
                      " and 'blocks.0.mlp.fc1.weight' of ", fc1.shape(),
                      " are not those of a vision transformer");
  config.dim = qkv.dim(1);
  config.mlp_ratio = fc1.dim(0) / fc1.dim(1);
  config.depth = 1;
  const auto matches_first_block = [&](const char* name, const Tensor& first) {
    const std::string key = concat("blocks.", config.depth, name);
    const Tensor* other = tensors.find(key);
    require<ShapeError>(!other || other->shape() == first.shape(), source, ": '", key, "' of ",
                        other ? other->shape() : Shape(), " is not of the shape of block 0's, ",
                        first.shape());
    return other != nullptr;
  };
  while (matches_first_block(".attn.qkv.weight", qkv) && matches_first_block(".mlp.fc1.weight", fc1))
    ++config.depth;
  config.heads = is_old_small(tensors) ? 8 : std::max<std::int64_t>(1, config.dim / 64);
  config.qkv_bias = tensors.contains("blocks.0.attn.qkv.bias");
  config.pre_norm = tensors.contains("blocks.0.norm1.weight");
  config.final_norm = tensors.contains("norm.weight");
  config.pos_embed = tensors.contains("pos_embed");
}

MatchReport load_vit(DualAttention& attention, const StateDict& tensors, const std::string& source) {
  required_tensor(tensors, source, "blocks.0.attn.qkv.weight");
  const StateDict translated = translate(tensors, source, attention.config().heads);
  std::vector<NamedShape> wanted;
  for (const NamedVariable& p : attention.named_parameters()) wanted.push_back({p.name, p.variable.shape()});
  MatchReport report = match(wanted, shapes_of(translated), vit_names(), source);
  // Positions of another grid start fresh, as the other embeddings do.
  std::erase_if(report.wrong_shape, [&report](const MatchReport::WrongShape& w) {
    if (w.wanted != "pos_fusion" && w.wanted != "pos_lm") return false;
    report.left_aside.push_back(
        {w.held, concat("positions of ", w.held_shape, ", the model has ", w.wanted_shape)});
    return true;
  });
  MatchReport strict = report;
  std::erase_if(strict.missing, starts_fresh);
  const auto is_position = [](const std::string& name) { return name == "pos_fusion" || name == "pos_lm"; };
  std::erase_if(strict.missing, is_position);
  strict.require_complete(source);
  for (NamedVariable& p : attention.named_parameters()) {
    for (const MatchReport::Pair& pair : report.matched) {
      if (pair.wanted == p.name) p.variable.mutable_value().copy_from(translated.at(pair.held));
    }
  }
  return report;
}

}  // namespace fer
