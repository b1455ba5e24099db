#include "training/initial_weights.h"

#include <algorithm>
#include <optional>
#include <sstream>

#include "fer/data/class_map.h"
#include "fer/formats/matching.h"
#include "fer/models/known_networks.h"
#include "fer/training/checkpoint.h"
#include "fer/training/experiment.h"
#include "fer/training/network_description.h"

namespace fer {
namespace {

namespace fs = std::filesystem;

constexpr const char *head_weight = "head.weight", *head_bias = "head.bias";

/// A file of weights and its description of itself.
struct InitialWeights {
  std::string name;
  StateFile file;
  std::optional<NetworkDescription> network;  ///< none: the file has no description
};

InitialWeights read_initial_weights(const fs::path& path) {
  const fs::path file = weight_file(path);
  StateFile state = read_known_state(file);
  InitialWeights weights{file.string(), std::move(state), {}};
  const Metadata& metadata = weights.file.metadata;
  if (describes_network(metadata)) weights.network = parse_description(metadata, weights.name);
  return weights;
}

std::vector<std::string> classes_of(const InitialWeights& weights) {
  return weights.network ? weights.network->class_names : std::vector<std::string>{};
}

/// The model's head, with the file's rows for the classes that the file knows, under the head's names.
StateDict head_by_class(const InitialWeights& weights, const ClassMap& map, FERNet& model) {
  StateDict head;
  const auto rows = static_cast<std::int64_t>(classes_of(weights).size());
  for (const auto& [name, fresh] : {std::pair{head_weight, model.head().weight.value()},
                                    std::pair{head_bias, model.head().bias.value()}}) {
    if (rows == 0) {
      head.insert(name, fresh);
      continue;
    }
    const Tensor* held = weights.file.tensors.find(name);
    require<FormatError>(held != nullptr, weights.name, ": '", name, "' is missing");
    const std::int64_t width = fresh.shape().numel() / fresh.dim(0);
    require<ShapeError>(held->shape().numel() == rows * width && held->dim(0) == rows, weights.name, ": '",
                        name, "' has shape ", held->shape(), ", and the file names ", rows, " classes");
    std::vector<float> values = fresh.to_vector<float>();
    const std::vector<float> known = held->to_vector<float>();
    for (const ClassMap::Pair& p : map.common) {
      std::copy_n(known.begin() + p.second * width, width, values.begin() + p.first * width);
    }
    head.insert(name, Tensor::from<float>(fresh.shape(), values));
  }
  return head;
}

/// "7 classes keep their trained weights: angry (anger), ...; new: bored; not used: contempt".
std::string head_text(const ClassMap& map, const ClassList& data, const ClassList& weights) {
  std::ostringstream out;
  out << "head: " << map.common.size() << " of " << data.names.size()
      << " classes keep their trained weights";
  for (std::size_t i = 0; i < map.common.size(); ++i) {
    const std::string &here = data.names[static_cast<std::size_t>(map.common[i].first)],
                      &there = weights.names[static_cast<std::size_t>(map.common[i].second)];
    out << (i == 0 ? ": " : ", ") << here << (here == there ? "" : " (" + there + ")");
  }
  if (!map.only_first.empty()) out << "; new: " << class_list_text(map.only_first);
  if (!map.only_second.empty()) out << "; dropped: " << class_list_text(map.only_second);
  return out.str();
}

}  // namespace

RunConfig fine_tuning(const fs::path& file) {
  RunConfig config;
  config.model = preset(config.preset);
  const InitialWeights weights = read_initial_weights(file);
  if (weights.network) {
    config.preset = weights.network->config.preset;
    config.model = weights.network->config.model;
    const bool grey = weights.network->input.colour == InputColour::grey;
    config.training.colour = grey ? ColourMode::grey : ColourMode::rgb;
    config.training.face_share = weights.network->input.face_share;
  }
  config.training.init = file.string();
  // Measured on 126 pictures (docs/fine-tuning.md): larger steps forget more than they learn, and a dozen
  // held-out pictures would choose an epoch by chance.
  config.training.lr = 5e-5;
  config.training.batch_size = 16;
  config.training.epochs = 15;
  config.data.validation_fraction = 0;
  return config;
}

void require_network_of(const fs::path& file, const FERNetConfig& config) {
  const InitialWeights weights = read_initial_weights(file);
  if (!weights.network) return;
  RunConfig asked;
  asked.model = config;
  const std::vector<SettingInfo> here = settings_of(asked), there = settings_of(weights.network->config);
  std::vector<std::string> free{"classes", "drop_attention", "drop_hidden", "drop_mlp"};
  if (!config.attention.pos_embed) free.emplace_back("image_size");
  for (std::size_t i = 0; i < here.size(); ++i) {
    if (here[i].section != "model" || std::find(free.begin(), free.end(), here[i].key) != free.end())
      continue;
    require<ConfigError>(here[i].value == there[i].value, "'", here[i].key, "' is ", here[i].value,
                         ", but the network of '", weights.name, "' that the run starts from has ",
                         there[i].value, "; with 'init', leave out 'preset' and the network's settings");
  }
}

std::string load_initial_weights(const fs::path& file, FERNet& model,
                                 const std::vector<std::string>& classes) {
  const InitialWeights weights = read_initial_weights(file);
  const ClassList data{"the data set", classes}, held{concat("'", weights.name, "'"), classes_of(weights)};
  const ClassMap map = match_classes(data, held);
  StateDict whole = head_by_class(weights, map, model);
  for (const auto& [name, tensor] : weights.file.tensors) {
    if (!whole.contains(name)) whole.insert(name, tensor);
  }
  const MatchReport report = load_weights(whole, weights.name, model);
  std::string text = concat("network: ", weights.name, "\n");
  for (const std::string& note : notes(weights.file, report)) text += concat("  ", note, "\n");
  if (weights.network && !weights.network->note.empty()) text += concat("  ", weights.network->note, "\n");
  return text + (held.names.empty() ? "head: new, because the file does not name its classes"
                                    : head_text(map, data, held));
}

}  // namespace fer
