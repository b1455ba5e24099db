// Backbones that were trained elsewhere: their sizes, and their weights under the names of other projects.
#include "fer/formats/matching.h"
#include "fer/models/known_networks.h"
#include "fer/training/experiment.h"

namespace fer {
namespace {

namespace fs = std::filesystem;

/// Fills a backbone's parameters and statistics from a file; returns the report of what matched.
std::string load_backbone(const fs::path& file, Module& net, const NameMap& names) {
  const StateFile read = read_known_state(file);
  const StateDict& tensors = read.tensors;
  std::vector<NamedShape> wanted;
  for (const NamedVariable& p : net.named_parameters()) wanted.push_back({p.name, p.variable.shape()});
  for (const NamedBuffer& b : net.named_buffers()) wanted.push_back({b.name, b.buffer->shape()});
  const std::vector<NamedShape> held = shapes_of(tensors);
  const MatchReport report = match(wanted, held, names, file.string());
  const StateDict found = matched_tensors(report, tensors, file.string());
  for (NamedVariable& p : net.named_parameters()) p.variable.mutable_value().copy_from(found.at(p.name));
  for (const NamedBuffer& b : net.named_buffers()) b.buffer->copy_from(found.at(b.name));
  std::string text = report.text();
  for (const std::string& note : notes(read)) text += "  " + note + "\n";
  return text;
}

}  // namespace

void adopt_landmark_sizes(const fs::path& file, FERNetConfig& config) {
  const StateDict tensors = read_known_state(file).tensors;
  const std::string name = file.string();
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
  config.landmarks.width = first->dim(0);
  config.landmarks.head = last != nullptr;
  config.landmarks.units = {blocks("conv_3"), blocks("conv_4"),
                            config.landmarks.head ? blocks("conv_5") : config.landmarks.units.at(2)};
  if (last) config.landmarks.outputs = last->dim(0);
  // Limits the network to the file's element count: a tensor without elements can still claim any width.
  const ParameterLimit limit(tensors.element_count(), name);
  const auto fits = uninitialised<MobileFaceNet>(config.landmarks);
}

std::string load_landmarks(const fs::path& file, MobileFaceNet& net) {
  return load_backbone(file, net, mobilefacenet_names());
}

std::string load_image_backbone(const fs::path& file, IRBackbone& net) {
  const std::vector<std::int64_t>& units = net.config().units;
  require<ConfigError>(units.size() == 3,
                       "'image_backbone' needs a network of three stages, as IR50 is cut, got ",
                       units.size());
  return load_backbone(
      file, net,
      ir50_names({static_cast<int>(units[0]), static_cast<int>(units[1]), static_cast<int>(units[2])}));
}

}  // namespace fer
