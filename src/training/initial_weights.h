// A whole network that starts from weights of fer (TrainingConfig::init).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "fer/models/fernet.h"
#include "fer/training/config.h"

namespace fer {

/// ConfigError, naming the first setting that differs, if `file` says which network it is of and `config` is
/// another one. Classes, dropout and, without position embeddings, the size of the pictures may differ.
void require_network_of(const std::filesystem::path& file, const FERNetConfig& config);

/// Loads the network, and of its head the rows of `classes` that the file names; rows of other classes stay
/// as they are. Returns what to say of it. FormatError or ShapeError unless all else is there.
std::string load_initial_weights(const std::filesystem::path& file, FERNet& model,
                                 const std::vector<std::string>& classes);

}  // namespace fer
