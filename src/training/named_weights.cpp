#include "training/named_weights.h"

#include <algorithm>
#include <sstream>

#include "fer/data/class_map.h"
#include "fer/formats/matching.h"
#include "fer/models/fernet.h"
#include "fer/models/known_networks.h"
#include "fer/models/vit_weights.h"
#include "fer/training/checkpoint.h"
#include "fer/training/experiment.h"

namespace fer {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> classes_of(const DescribedWeights& weights) {
  return weights.network ? weights.network->class_names : std::vector<std::string>{};
}

/// The network's head, with the file's rows for the classes that the file knows, under the head's names.
StateDict head_by_class(const DescribedWeights& weights, const ClassMap& map, Network& network) {
  StateDict head;
  const auto rows = static_cast<std::int64_t>(classes_of(weights).size());
  const std::string path = network.head().path() + ".";
  for (const auto& [name, fresh] : {std::pair{path + "weight", network.head().weight.value()},
                                    std::pair{path + "bias", network.head().bias.value()}}) {
    if (rows == 0) {
      head.insert(name, fresh);
      continue;
    }
    const Tensor* loaded = weights.file.tensors.find(name);
    require<FormatError>(loaded != nullptr, weights.name, ": '", name, "' is missing");
    const std::int64_t width = fresh.shape().numel() / fresh.dim(0);
    require<ShapeError>(loaded->shape().numel() == rows * width && loaded->dim(0) == rows, weights.name,
                        ": '", name, "' has shape ", loaded->shape(), ", and the file names ", rows,
                        " classes");
    std::vector<float> values = fresh.to_vector<float>();
    const std::vector<float> loaded_values = loaded->to_vector<float>();
    for (const ClassMap::Pair& p : map.common) {
      std::copy_n(loaded_values.begin() + p.second * width, width, values.begin() + p.first * width);
    }
    head.insert(name, Tensor::from<float>(fresh.shape(), values));
  }
  return head;
}

/// "head: 7 of 8 classes keep their trained weights: angry (anger), ...; new: bored; dropped: contempt".
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

/// ConfigError, naming the first setting that differs, if the file describes another network than `config`.
void require_network_of(const DescribedWeights& weights, const RunConfig& config) {
  if (!weights.network) return;
  const auto differs = [&](const std::string& key, const std::string& here, const std::string& there) {
    throw ConfigError(concat("'", key, "' is ", here, ", but the network of '", weights.name,
                             "' that the run starts from has ", there,
                             "; with 'init', leave out 'preset' and the network's settings"));
  };
  const ModelConfig& learnt = weights.network->config.model;
  if (!learnt.same_kind(config.model)) differs("preset", config.preset, weights.network->config.preset);
  std::vector<std::string> free{"classes", "drop_attention", "drop_hidden", "drop_mlp", "drop_path"};
  const FERNetConfig* fernet = config.model.as<FERNetConfig>();
  if (!fernet || !fernet->attention.pos_embed) free.emplace_back("image_size");
  const std::vector<SettingInfo> here = settings_of(config), there = settings_of(weights.network->config);
  for (std::size_t i = 0; i < here.size(); ++i) {
    if (here[i].section != "model" || std::find(free.begin(), free.end(), here[i].key) != free.end())
      continue;
    if (here[i].value != there[i].value) differs(here[i].key, here[i].value, there[i].value);
  }
}

/// Loads the parameters and statistics `wanted` of a backbone from a file; returns the match report.
std::string load_backbone(const std::string& name, const StateFile& file, Module& net,
                          const std::vector<NamedShape>& wanted, const NameMap& names) {
  const StateDict& tensors = file.tensors;
  const MatchReport report = match(wanted, shapes_of(tensors), names, name);
  net.load_state_dict(matched_tensors(report, tensors, name), /*strict=*/false);
  std::string text = report.text();
  for (const std::string& note : notes(file)) text += "  " + note + "\n";
  return text;
}

/// Sets the sizes (width, units, head) to those of a landmark checkpoint of any known kind. FormatError if the
/// file is not one.
void adopt_landmark_sizes(const std::string& name, const StateDict& tensors, MobileFaceNetConfig& config) {
  const auto find = [&tensors](const std::string& key) -> const Tensor* {
    for (const char* prefix : {"", "landmark_backbone.", "face_landback."}) {
      if (const Tensor* found = tensors.find(prefix + key)) return found;
    }
    return nullptr;
  };
  const auto blocks = [&find](const std::string& stack) {
    std::int64_t count = 0;
    while (find(concat(stack, ".model.", count, ".conv.conv.weight"))) ++count;
    return count;
  };
  const Tensor* first = find("conv1.conv.weight");
  require<FormatError>(first != nullptr, name, ": not a landmark backbone: 'conv1.conv.weight' is missing");
  require<ShapeError>(first->rank() == 4, name, ": 'conv1.conv.weight' has shape ", first->shape(),
                      ", not that of a convolution");
  const Tensor* last = find("output_layer.linear.weight");
  require<ShapeError>(!last || last->rank() == 2, name, ": 'output_layer.linear.weight' has shape ",
                      last ? last->shape() : Shape(), ", not that of a linear layer");
  config.width = first->dim(0);
  config.head = last != nullptr;
  config.units = {blocks("conv_3"), blocks("conv_4"), config.head ? blocks("conv_5") : config.units.at(2)};
  if (last) config.outputs = last->dim(0);
  // Limits the network to the file's element count: a tensor without elements can still claim any width.
  const ParameterLimit limit(tensors.element_count(), name);
  const auto fits = uninitialised<MobileFaceNet>(config);
}

std::string load_image_backbone(const std::string& name, const StateFile& file, IRBackbone& net) {
  const std::vector<std::int64_t>& units = net.config().units;
  require<ConfigError>(units.size() == 3,
                       "'image_backbone' needs a network of three stages, as IR50 is cut, got ",
                       units.size());
  // Only the parts that run: a network's backbone may hold others, such as IR50's embedding layer.
  const auto run = uninitialised<IRBackbone>(net.config());
  return load_backbone(
      name, file, net, shapes_of(run.state_dict()),
      ir50_names({static_cast<int>(units[0]), static_cast<int>(units[1]), static_cast<int>(units[2])}));
}

/// Loads the whole network; returns a note about it.
std::string load_network(const DescribedWeights& weights, Network& network,
                         const std::vector<std::string>& classes) {
  const ClassList data{"the data set", classes}, loaded{concat("'", weights.name, "'"), classes_of(weights)};
  const ClassMap map = match_classes(data, loaded);
  StateDict merged = head_by_class(weights, map, network);
  for (const auto& [name, tensor] : weights.file.tensors) {
    if (!merged.contains(name)) merged.insert(name, tensor);
  }
  const MatchReport report = load_weights(merged, weights.name, network, network.public_names());
  std::string text = concat("network: ", weights.name, "\n");
  for (const std::string& note : notes(weights.file, report)) text += concat("  ", note, "\n");
  if (weights.network && !weights.network->note.empty()) text += concat("  ", weights.network->note, "\n");
  return text + (loaded.names.empty() ? "head: new, because the file does not name its classes"
                                      : head_text(map, data, loaded));
}

}  // namespace

DescribedWeights::DescribedWeights(const fs::path& path)
    : name(weight_file(path).string()), file(read_known_state(name)) {
  if (describes_network(file.metadata)) network = parse_description(file.metadata, name);
}

std::optional<NamedWeights::Named> NamedWeights::read(const std::string& path) {
  if (path.empty()) return std::nullopt;
  return Named{path, read_known_state(path)};
}

NamedWeights::NamedWeights(const RunConfig& config, bool with_init)
    : landmarks_(read(config.landmarks.file)),
      image_backbone_(read(config.training.image_backbone)),
      vit_(read(config.training.vit)) {
  if (with_init && !config.training.init.empty()) init_.emplace(config.training.init);
}

void NamedWeights::adopt_sizes(RunConfig& config) const {
  if (init_) require_network_of(*init_, config);
  const auto require_part = [&](bool has, const char* key, const char* part) {
    require<ConfigError>(has, "'", key, "': the model '", config.preset, "' has no ", part);
  };
  MobileFaceNetConfig* landmarks = config.model.landmark_net();
  FERNetConfig* fernet = config.model.as<FERNetConfig>();
  require_part(landmarks || !landmarks_, "landmarks", "landmark backbone");
  require_part(fernet || !vit_, "vit", "attention blocks that could start from it");
  if (landmarks_) {
    adopt_landmark_sizes(landmarks_->name, landmarks_->file.tensors, *landmarks);
  } else if (landmarks && config.training.init.empty()) {
    landmarks->head = true;  // the backbone learns its points through the head
  }
  if (vit_) adopt_vit_sizes(vit_->file.tensors, vit_->name, fernet->attention);
}

std::vector<std::string> NamedWeights::load(const DatasetInfo& data, Network& network) const {
  std::vector<std::string> notes;
  if (init_) notes.push_back(load_network(*init_, network, data.class_names));
  if (landmarks_) {
    MobileFaceNet& net = *network.landmark_net();  // adopt_sizes() requires it
    notes.push_back("landmark backbone: " + landmarks_->name + "\n" +
                    load_backbone(landmarks_->name, landmarks_->file, net, shapes_of(net.state_dict()),
                                  mobilefacenet_names()));
  }
  if (image_backbone_) {
    IRBackbone* net = network.pretrainable();
    require<ConfigError>(net != nullptr, "'image_backbone': ", network.describe(), " has no such part");
    notes.push_back("image backbone: " + image_backbone_->name + "\n" +
                    load_image_backbone(image_backbone_->name, image_backbone_->file, *net));
  }
  if (vit_) {
    auto& fernet = dynamic_cast<FERNet&>(network);  // adopt_sizes() requires it
    notes.push_back("attention blocks: " + vit_->name + " (what it lacks starts fresh)\n" +
                    load_vit(fernet.attention(), vit_->file.tensors, vit_->name).text());
  }
  return notes;
}

RunConfig fine_tuning(const fs::path& file) {
  RunConfig config;
  config.model = model_config(config.preset);
  const DescribedWeights weights(file);
  if (weights.network) {
    select_model(config, weights.network->config.preset);
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

}  // namespace fer
