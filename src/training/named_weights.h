// The weights that a run starts from, in files that its settings name.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "fer/models/network.h"
#include "fer/training/config.h"
#include "fer/training/network_description.h"

namespace fer {

/// A weight file of fer, and its description of its network if it has one.
struct DescribedWeights {
  std::string name;  ///< the file's path
  StateFile file;
  std::optional<NetworkDescription> network;

  explicit DescribedWeights(const std::filesystem::path& path);
};

/// The files of `init`, `landmarks`, `image_backbone` and `vit`, each read once.
class NamedWeights {
 public:
  /// `with_init`: false if a resumed run does not need its initial weights any more. IoError or FormatError,
  /// naming the file, if one cannot be read.
  NamedWeights(const RunConfig& config, bool with_init);

  bool empty() const { return !init_ && !landmarks_ && !image_backbone_ && !vit_; }
  /// Sets the sizes that the files imply. ConfigError if the network has no part for a file, or if it differs
  /// from the network of `init`: classes, dropout and, without position embeddings, image_size may differ.
  void adopt_sizes(RunConfig& config) const;
  /// Loads the files and returns a note about each. FormatError or ShapeError, naming file and tensors, if
  /// something is missing. Of the head of `init`, it loads the rows for those of the data set's classes that
  /// the file names; the other rows stay as they are.
  std::vector<std::string> load(const DatasetInfo& data, Network& network) const;

 private:
  struct Named {
    std::string name;
    StateFile file;
  };
  static std::optional<Named> read(const std::string& path);

  std::optional<DescribedWeights> init_;
  std::optional<Named> landmarks_, image_backbone_, vit_;
};

}  // namespace fer
