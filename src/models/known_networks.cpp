#include "fer/models/known_networks.h"

#include <algorithm>
#include <regex>
#include <unordered_set>

#include "fer/formats/matching.h"
#include "fer/models/fernet.h"
#include "fer/models/poster.h"
#include "fer/models/resnet.h"

namespace fer {
namespace {

/// "body.12.res_layer.0.weight" -> "body.#.res_layer.#.weight", so that the number of blocks does not matter.
std::string without_numbers(const std::string& name) {
  std::string text;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const bool starts = i == 0 || name[i - 1] == '.';
    const std::size_t end = std::min(name.find_first_not_of("0123456789", i), name.size());
    if (starts && end > i && (end == name.size() || name[end] == '.')) {
      text += '#';
      i = end - 1;
    } else {
      text += name[i];
    }
  }
  return text;
}

struct KnownNetwork {
  NameMap map;
  std::unordered_set<std::string> names;  // without numbers

  void add(Module& module) {
    for (const NamedVariable& p : module.named_parameters()) names.insert(without_numbers(p.name));
    for (const NamedBuffer& b : module.named_buffers()) {
      const std::string name = without_numbers(b.name);
      names.insert(name);
      constexpr std::string_view mean = "running_mean";
      if (name.ends_with(mean)) {  // PyTorch's batch norm also has a counter
        names.insert(name.substr(0, name.size() - mean.size()) + "num_batches_tracked");
      }
    }
  }
  bool has(std::string name) const {
    for (const RenameRule& rule : map.renames) {
      if (auto changed = rule(name)) name = std::move(*changed);
    }
    if (names.contains(without_numbers(name))) return true;
    return std::any_of(map.asides.begin(), map.asides.end(),
                       [&name](const AsideRule& rule) { return rule.applies(name); });
  }
};

/// Names do not depend on sizes, so small networks stand for all sizes. Together they use every switch.
std::vector<KnownNetwork> make_networks() {
  KnownNetwork fernet{fernet_names(), {}}, image{ir50_names(), {}}, landmarks{mobilefacenet_names(), {}};
  ResNetConfig thin;
  thin.widths = thin.units = {1, 1, 1, 1};
  ResNet thin_resnet = uninitialised<ResNet>(thin);
  KnownNetwork resnet{thin_resnet.public_names(), {}};
  resnet.add(thin_resnet);
  for (const char* variant : {"tiny_extras", "tiny_no_product", "tiny_no_cross", "tiny"}) {
    FERNetConfig config = preset(variant);
    config.landmarks.head = true;
    FERNet net = uninitialised<FERNet>(config);
    fernet.add(net);
    image.add(net.image_backbone());
    landmarks.add(net.landmark_backbone());
  }
  KnownNetwork poster{poster_names(), {}};
  Poster poster_net = uninitialised<Poster>(tiny_poster());
  poster.add(poster_net);
  KnownNetwork transformer;
  transformer.map.title = "vision transformer (timm)";
  transformer.map.asides.push_back(leave_aside(
      "cls_token|dist_token|pos_embed|norm\\.(weight|bias)|(head|head_dist|pre_logits|fc_norm|patch_embed)\\."
      ".+|"
      "blocks\\.[0-9]{1,4}\\.(norm1|norm2|attn\\.qkv|attn\\.proj|mlp\\.fc1|mlp\\.fc2)\\.(weight|bias)",
      "of timm"));
  std::vector<KnownNetwork> networks;
  for (KnownNetwork* network : {&fernet, &image, &landmarks, &resnet, &poster, &transformer}) {
    networks.push_back(std::move(*network));
  }
  return networks;
}

const std::vector<KnownNetwork>& networks() {
  static const std::vector<KnownNetwork> all = make_networks();
  return all;
}

bool is_known(const std::string& name) {
  return std::any_of(networks().begin(), networks().end(),
                     [&name](const KnownNetwork& network) { return network.has(name); });
}

}  // namespace

KnownNetworks known_networks(const std::vector<std::string>& names) {
  KnownNetworks found;
  found.unknown = names;
  // A name that two networks share ("head.weight") goes to the network that has more of the file's names.
  for (;;) {
    KnownNetworks::Share best;
    std::vector<std::string> remaining;
    for (const KnownNetwork& network : networks()) {
      std::vector<std::string> unmatched;
      for (const std::string& name : found.unknown) {
        if (!network.has(name)) unmatched.push_back(name);
      }
      const std::size_t covered = found.unknown.size() - unmatched.size();
      if (covered <= best.names) continue;
      best = {network.map.title, covered};
      remaining = std::move(unmatched);
    }
    if (best.names == 0) return found;
    found.shares.push_back(best);
    found.unknown = std::move(remaining);
  }
}

StateFile read_known_state(const std::filesystem::path& path, const LoadOptions& options,
                           KnownNetworks* found) {
  StateFile file = read_state_file(path, options);
  free_names(file, is_known, path.string());
  if (found) {
    std::vector<std::string> names;
    for (const auto& [name, tensor] : file.tensors) names.push_back(name);
    *found = known_networks(names);
  }
  return file;
}

}  // namespace fer
