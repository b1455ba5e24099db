#include "fer/training/network_description.h"

#include "fer/data/face_detector.h"
#include "formats/json_text.h"

namespace fer {

std::filesystem::path weight_file(const std::filesystem::path& weights) {
  std::error_code none;
  return std::filesystem::is_directory(weights, none) ? weights / "best.safetensors" : weights;
}

bool describes_network(const Metadata& metadata) {
  const auto config = metadata.find("config");
  return config != metadata.end() && config->second.starts_with('{') && metadata.contains("classes");
}

NetworkDescription parse_description(const Metadata& metadata, const std::string& source) {
  require<FormatError>(metadata.contains("config") && metadata.contains("classes"), source,
                       ": has tensors but does not say of which network (no 'config' and 'classes' in its "
                       "metadata); weights written by 'fer train' do");
  NetworkDescription description;
  apply_json(description.config, metadata.at("config"), source);
  const std::string where = source + ": 'classes' in its metadata";
  description.class_names =
      json_as<std::vector<std::string>>(parse_json(metadata.at("classes"), where), where);
  const ModelConfig& model = description.config.model;
  require<FormatError>(static_cast<std::int64_t>(description.class_names.size()) == model.classes(), source,
                       ": names ", description.class_names.size(), " classes, the network has ",
                       model.classes());
  if (const auto stated = metadata.find(input_key); stated != metadata.end()) {
    description.input = parse_input_spec(stated->second, source);
    require<FormatError>(description.input.size == model.image_size(), source, ": '", input_key,
                         "' in its metadata specifies pictures of ", description.input.size,
                         " pixels a side, but the network takes ", model.image_size());
    return description;
  }
  description.input = input_spec(description.config);
  if (description.input.colour == InputColour::grey) {
    description.note =
        concat(source, " does not say what input its network expects; it was trained on '",
               description.config.data.name,
               "', which is grey, so pictures are converted to grey ('fer convert' can write that into it)");
  }
  return description;
}

std::unique_ptr<Network> make_network(const RunConfig& config, const StateDict& tensors,
                                      const std::string& source) {
  try {
    check(config);
    validate(config.model);
  } catch (const ConfigError& error) {
    throw ConfigError(concat(source, ": its configuration: ", error.what()));
  }
  const ParameterLimit limit(tensors.element_count(), source);
  const SkipInit skip;
  return make_network(config.model);
}

std::string description_of(const NetworkDescription& description) {
  std::string classes;
  for (const std::string& name : description.class_names) classes += (classes.empty() ? "" : ", ") + name;
  return concat("network ", description.config.preset, " for ", description.class_names.size(), " classes (",
                classes, "), trained on '", description.config.data.name, "'\nexpects ",
                description_of(description.input), description.note.empty() ? "" : "\n", description.note);
}

Metadata to_metadata(const NetworkDescription& description) {
  return {{"config", to_json(description.config)},
          {"classes", Json(description.class_names).dump()},
          {input_key, to_json(description.input)}};
}

InputSpec input_spec(const RunConfig& config) {
  const ColourMode colour = config.training.colour;
  const std::string& dataset = config.data.name;
  const bool grey_data = dataset == "fer2013" || dataset == "ferplus";
  const bool grey = colour == ColourMode::automatic ? grey_data : colour == ColourMode::grey;
  InputSpec spec;
  spec.colour = grey ? InputColour::grey : InputColour::rgb;
  spec.size = config.model.image_size();
  spec.face_share = !config.model.for_faces()        ? 0
                    : config.training.face_share > 0 ? config.training.face_share
                                                     : face_share(dataset);
  return spec;
}

}  // namespace fer
