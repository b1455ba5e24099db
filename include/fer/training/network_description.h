// The description of a network in the metadata of its weight file: its training configuration, its classes in
// the order of its scores, and the input that it expects.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "fer/formats/input_spec.h"
#include "fer/formats/state_dict.h"
#include "fer/training/config.h"

namespace fer {

struct NetworkDescription {
  RunConfig config;
  std::vector<std::string> class_names;
  InputSpec input;
  /// For the user: that an older file does not state its input, and what was assumed instead, if that affects
  /// the network's input. Empty otherwise.
  std::string note;
};

/// `weights` itself, or its best.safetensors if it is a run folder.
std::filesystem::path weight_file(const std::filesystem::path& weights);

/// Whether `metadata` were written by `fer train`: they have "config", an object, and "classes".
bool describes_network(const Metadata& metadata);

/// Parses the description. A file without "input" was written by an older program: its pictures are grey if
/// its training data set is (fer2013, ferplus), and its face share is the data set's. FormatError or
/// ConfigError, naming `source`, if metadata are missing, damaged, or contradict each other.
NetworkDescription parse_description(const Metadata& metadata, const std::string& source);

/// Creates the network that a file describes, to be filled from its tensors. FormatError, before it allocates
/// memory, if the tensors are too small for the network. ConfigError, naming `source`, if the configuration
/// contradicts itself.
std::unique_ptr<Network> make_network(const RunConfig& config, const StateDict& tensors,
                                      const std::string& source);

/// "network small for 7 classes (surprise, ...), trained on 'rafdb'; expects colour pictures of 112 x 112,
/// ...".
std::string description_of(const NetworkDescription& description);

/// "config", "classes" and "input".
Metadata to_metadata(const NetworkDescription& description);

/// The input that a network trained with `config` expects. TrainingConfig::colour "auto" means the colour
/// that the data set's name implies.
InputSpec input_spec(const RunConfig& config);

}  // namespace fer
