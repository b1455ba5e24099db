#include "training/run_input.h"

#include "fer/data/class_map.h"
#include "fer/formats/safetensors.h"
#include "fer/training/network_description.h"

namespace fer {

void settle_colour(RunConfig& config, bool all_grey, TrainingObserver& observer) {
  ColourMode& colour = config.training.colour;
  const bool open = colour == ColourMode::automatic;
  if (open) colour = all_grey ? ColourMode::grey : ColourMode::rgb;
  if (colour != ColourMode::grey) return;
  observer.on_note(concat("colour: ", open ? "every training picture is grey, so " : "",
                          "the network takes grey pictures; colour ones are converted"));
}

bool has_checkpoint(const std::filesystem::path& folder) {
  std::error_code error;
  return std::filesystem::exists(folder / "last.safetensors", error);
}

void require_classes_of_run(const std::filesystem::path& folder, const DatasetInfo& data) {
  if (!has_checkpoint(folder)) return;
  const std::filesystem::path file = folder / "last.safetensors";
  const Metadata metadata = SafetensorsFile(file).metadata();
  if (!describes_network(metadata)) return;  // load_checkpoint() reports what the file lacks
  const std::vector<std::string> learnt = parse_description(metadata, file.string()).class_names;
  require<DataError>(
      learnt == data.class_names, file.string(), ": the run learns the classes ", class_list_text(learnt),
      "; the data set '", data.name, "' now has ", class_list_text(data.class_names),
      "; resume with the data that it was started with, or start another run with --init ", folder.string());
}

void require_input_of_run(const std::filesystem::path& folder, const RunConfig& config) {
  if (!has_checkpoint(folder)) return;
  const std::filesystem::path file = folder / "last.safetensors";
  const Metadata metadata = SafetensorsFile(file).metadata();
  const auto stated = metadata.find(input_key);
  if (stated == metadata.end()) return;  // written by an older program
  const InputSpec begun = parse_input_spec(stated->second, file.string()), now = input_spec(config);
  require<ConfigError>(begun == now, file.string(), ": the run expects ", description_of(begun),
                       "; the settings now say ", description_of(now),
                       "; resume with those that it was started with");
}

}  // namespace fer
