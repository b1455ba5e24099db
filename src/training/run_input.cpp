#include "training/run_input.h"

#include "fer/formats/safetensors.h"
#include "fer/training/network_description.h"

namespace fer {

void settle_colour(RunConfig& config, bool all_grey, TrainingObserver& observer) {
  std::string& colour = config.training.colour;
  const bool open = colour == "auto";
  if (open) colour = name_of(all_grey ? InputColour::grey : InputColour::rgb);
  if (colour != name_of(InputColour::grey)) return;
  observer.on_note(concat("colour: ", open ? "every picture to train on is grey, so " : "",
                          "the network is fed grey pictures; colour ones are turned grey"));
}

void require_input_of_run(const std::filesystem::path& folder, const RunConfig& config) {
  const std::filesystem::path file = folder / "last.safetensors";
  std::error_code error;
  if (!std::filesystem::exists(file, error)) return;
  const Metadata metadata = SafetensorsFile(file).metadata();
  const auto stated = metadata.find(input_key);
  if (stated == metadata.end()) return;  // of an older program
  const InputSpec begun = parse_input_spec(stated->second, file.string()), now = input_spec(config);
  require<ConfigError>(begun == now, file.string(), ": the run expects ", description_of(begun),
                       "; the settings now say ", description_of(now),
                       "; resume with those that it was begun with");
}

}  // namespace fer
