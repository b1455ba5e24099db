// Starts a whole network from weights of fer (TrainingConfig::init).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "fer/models/fernet.h"
#include "fer/training/config.h"

namespace fer {

/// ConfigError, naming the first setting that differs, if `file` describes another network than `config`.
/// Classes, dropout and, without position embeddings, the size of the pictures may differ.
void require_network_of(const std::filesystem::path& file, const FERNetConfig& config);

/// Loads the network. Of the head, it loads the rows for those of `classes` that the file names; other rows
/// stay as they are. Returns a note about it. FormatError or ShapeError unless everything else is there.
std::string load_initial_weights(const std::filesystem::path& file, FERNet& model,
                                 const std::vector<std::string>& classes);

}  // namespace fer
