// Recognises which network's weights a file holds by the names of its tensors, whatever the network's sizes:
// fer's own network, the backbones that it takes from others, POSTER, and timm's vision transformer.
//
//   fer::KnownNetworks found;
//   // model.conv1.weight -> conv1.weight
//   fer::StateFile file = fer::read_known_state("model.ckpt", {}, &found);
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "fer/formats/state_dict.h"

namespace fer {

struct KnownNetworks {
  struct Share {
    std::string title;  ///< "landmark backbone (MobileFaceNet)"
    std::size_t names = 0;
  };
  std::vector<Share> shares;         ///< the network with the most names first
  std::vector<std::string> unknown;  ///< names of the file that no known network has
};

KnownNetworks known_networks(const std::vector<std::string>& names);

/// read_state_file(), then removes the prefixes of wrappers and training programs (`module.`, `model.`,
/// `net.`; before names or within them) where that yields names of a known network. StateFile::taken_off
/// lists them. FormatError, naming the file, if two names become equal.
StateFile read_known_state(const std::filesystem::path& path, const LoadOptions& options = {},
                           KnownNetworks* found = nullptr);

}  // namespace fer
