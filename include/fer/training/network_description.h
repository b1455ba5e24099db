// What a weight file says of its network, in its metadata: the configuration that it was trained with, its
// classes in the order of its scores, and what it expects of a picture.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fer/formats/input_spec.h"
#include "fer/formats/state_dict.h"
#include "fer/models/fernet.h"
#include "fer/training/config.h"

namespace fer {

struct NetworkDescription {
  RunConfig config;
  std::vector<std::string> class_names;
  InputSpec input;
  /// What to tell the user: that the file is older, does not state its input, and what is taken for it where
  /// that changes what the network is fed. Empty otherwise.
  std::string note;
};

/// Whether `metadata` are those of `fer train`: "config", an object, and "classes".
bool describes_network(const Metadata& metadata);

/// Reads it. A file without "input" was written by an older program: pictures are grey if the data set of the
/// training is (fer2013, ferplus), and a face's share is the data set's. FormatError or ConfigError, naming
/// `source`, if metadata are missing, damaged, or contradict each other.
NetworkDescription parse_description(const Metadata& metadata, const std::string& source);

/// The network that a file describes, to be filled from its tensors. FormatError, before memory is taken for
/// it, if they are too few for it; ConfigError, naming `source`, if the configuration contradicts itself.
std::unique_ptr<FERNet> make_network(const RunConfig& config, const StateDict& tensors,
                                     const std::string& source);

/// "network small for 7 classes (surprise, ...), trained on 'rafdb'; expects colour pictures of 112 x 112,
/// ...".
std::string description_of(const NetworkDescription& description);

/// "config", "classes" and "input".
Metadata to_metadata(const NetworkDescription& description);

/// What a network trained as `config` says expects. TrainingConfig::colour "auto" stands for the colour that
/// the data set's name implies.
InputSpec input_spec(const RunConfig& config);

}  // namespace fer
