// The stages of a run: first parts of the network learn the landmarks of drawn faces, then the whole network
// learns its classes.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "fer/models/network.h"
#include "fer/training/loop.h"

namespace fer {

struct DrawnFaces;

/// What the stages of a run share.
struct StageContext {
  StageContext(const RunConfig& config, Network& network, std::filesystem::path folder, Device device,
               TrainingObserver& observer, Communicator& ranks);
  ~StageContext();

  const RunConfig& config;
  Network& network;
  std::filesystem::path folder;
  Device device;
  TrainingObserver& observer;
  Communicator& ranks;

  /// The drawn faces of the landmark stages, drawn at the first call.
  DrawnFaces& drawn_faces();
  /// Frees them; returns their pictures if the main stage can use them, too, else null.
  std::shared_ptr<SampleCache> release_drawn_faces();

 private:
  std::unique_ptr<DrawnFaces> drawn_;
};

struct Stage {
  std::string name;  ///< its weight files begin with it (stage_prefix)
  std::string note;  ///< what the log says when it begins
  Module* part;      ///< what it trains
  std::function<LoopResult(StageContext& run)> train;
};

/// The stages in which parts of `network` learn landmarks: those for which `config` names no checkpoint. None
/// if the network has no such parts.
std::vector<Stage> landmark_stages(const RunConfig& config, Network& network);

/// The settings of the landmark stages.
RunConfig landmark_settings(const RunConfig& config, std::int64_t epochs);

}  // namespace fer
