// fer convert
#include <iostream>
#include <nlohmann/json.hpp>

#include "app/commands.h"
#include "fer/formats/matching.h"
#include "fer/models/fernet.h"
#include "fer/models/known_networks.h"
#include "fer/models/onnx_export.h"
#include "fer/models/registry.h"
#include "fer/nearest.h"
#include "fer/training/checkpoint.h"
#include "fer/training/network_description.h"
#include "formats/json_document.h"

namespace fer::app {
namespace {

struct ConvertOptions {
  std::string input, output, key, names, model, colour;
  std::vector<std::string> strip, class_names;
  double face_share = 0;
  bool list = false, json = false;
};

NameMap name_map(const std::string& kind) {
  if (kind == "ir50") return ir50_names();
  if (kind == "mobilefacenet") return mobilefacenet_names();
  if (kind == "fernet") return fernet_names();
  throw ConfigError("convert: " + unknown_name("names", kind, {"ir50", "mobilefacenet", "fernet"}));
}

/// The tensors that a network of `kind` needs, under fer's names.
std::vector<NamedShape> wanted_by(const std::string& kind) {
  FERNet net = uninitialised<FERNet>(preset("paper"));
  MobileFaceNet landmarks = uninitialised<MobileFaceNet>(MobileFaceNetConfig{64, {4, 6, 2}, true, 136});
  Module& module = kind == "ir50"            ? static_cast<Module&>(net.image_backbone())
                   : kind == "mobilefacenet" ? static_cast<Module&>(landmarks)
                                             : static_cast<Module&>(net);
  return shapes_of(module.state_dict());
}

/// Weights of another program, described by --model and --class-names: fer can then use them like its own.
struct Adopted {
  StateDict tensors;
  NetworkDescription description;
};

Adopted adopt(const ConvertOptions& options, const StateFile& file) {
  require<ConfigError>(!describes_network(file.metadata), "convert: '", options.input,
                       "' says itself which network it holds; leave --model out");
  require<ConfigError>(options.class_names.size() >= 2,
                       "convert: --model needs --class-names: the classes in the order of the scores");
  NetworkDescription description;
  RunConfig& config = description.config;
  select_model(config, options.model);
  config.data.name = "folder";  // whose pictures are as those of most data sets
  config.model.set_classes(static_cast<std::int64_t>(options.class_names.size()));
  description.class_names = options.class_names;
  description.input = input_spec(config);
  const std::unique_ptr<Network> network = make_network(config, file.tensors, options.input);
  const MatchReport report = load_weights(file.tensors, options.input, *network, network->public_names());
  if (!options.json) std::cout << report.text();
  return {network->state_dict(), std::move(description)};
}

/// The facts about the file besides its tensors.
nlohmann::ordered_json json_of(const ConvertOptions& options, const StateFile& file,
                               const KnownNetworks& found) {
  nlohmann::ordered_json json = json_document("conversion", 1,
                                              {{"input", options.input},
                                               {"format", name_of(file.format)},
                                               {"tensors", file.tensors.size()},
                                               {"found_under", file.found_under}});
  if (!file.module.empty()) json["module"] = file.module;
  json["taken_off"] = nlohmann::ordered_json::array();
  for (const TakenOff& t : file.taken_off)
    json["taken_off"].push_back({{"prefix", t.prefix}, {"names", t.names}});
  json["networks"] = nlohmann::ordered_json::array();
  for (const auto& share : found.shares)
    json["networks"].push_back({{"title", share.title}, {"names", share.names}});
  json["unknown"] = found.unknown;
  json["skipped"] = file.skipped;
  json["inert"] = file.inert;
  json["widened"] = file.widened;
  json["other_weights"] = file.others;
  return json;
}

void list(const StateFile& file) {
  for (const auto& [name, tensor] : file.tensors) {
    std::cout << name << "  " << tensor.dtype() << " " << to_pytorch_layout(tensor).shape() << "\n";
  }
}

/// Applies --colour and --face-share.
void state_input(const ConvertOptions& options, NetworkDescription& description) {
  if (!options.colour.empty()) {
    description.input.colour = parse_input_colour(options.colour);
    description.note.clear();  // the note says that the colour was unknown
  }
  if (options.face_share > 0) description.input.face_share = options.face_share;
}

/// The file's description of its network, changed by --colour and --face-share; none for files that fer train
/// did not write.
std::optional<NetworkDescription> description(const ConvertOptions& options, const StateFile& file) {
  if (!options.model.empty()) return std::nullopt;  // adopt() describes them
  if (!describes_network(file.metadata)) {
    require<ConfigError>(options.colour.empty() && options.face_share == 0,
                         "convert: --colour and --face-share apply to a network, but '", options.input,
                         "' does not say to which one its tensors belong; weights written by 'fer train' do");
    return std::nullopt;
  }
  NetworkDescription description = parse_description(file.metadata, options.input);
  state_input(options, description);
  return description;
}

nlohmann::ordered_json listed(const StateFile& file) {
  nlohmann::ordered_json tensors = nlohmann::ordered_json::array();
  for (const auto& [name, tensor] : file.tensors) {
    tensors.push_back({{"name", name},
                       {"dtype", name_of(tensor.dtype())},
                       {"shape", std::vector<std::int64_t>(tensor.shape().begin(), tensor.shape().end())}});
  }
  return tensors;
}

/// Exports the inference graph of a file that describes its network.
void export_to_onnx(const ConvertOptions& options, const StateFile& file) {
  require<ConfigError>(
      !options.model.empty() || (options.key.empty() && options.names.empty() && options.strip.empty()),
      "convert: --key, --names and --strip do not apply to .onnx, which needs weights written by 'fer "
      "train'");
  const NetworkDescription description = parse_description(file.metadata, options.input);
  const std::unique_ptr<Network> network = make_network(description.config, file.tensors, options.input);
  network->set_normalisation(description.input.normalisation);
  load_weights(file.tensors, options.input, *network, network->public_names());
  OnnxModel model =
      onnx_model(*network, description.input,
                 {{"classes", file.metadata.at("classes")}, {"config", file.metadata.at("config")}});
  model.producer_version = FER_VERSION;
  write_onnx(options.output, model);
}

void print_head(const ConvertOptions& options, const StateFile& file, const KnownNetworks& found,
                const std::optional<NetworkDescription>& network) {
  std::cout << options.input << ": " << name_of(file.format) << ", " << file.tensors.size() << " tensors"
            << (file.found_under.empty() ? "" : " under '" + file.found_under + "'") << "\n";
  for (const KnownNetworks::Share& share : found.shares) {
    std::cout << "  " << share.names << (share.names == 1 ? " name" : " names") << " of: " << share.title
              << "\n";
  }
  for (const std::string& note : notes(file)) std::cout << "  " << note << "\n";
  if (network) std::cout << description_of(*network) << "\n";
}

/// Writes to stderr, so that scripts that check only the exit code leave a trace.
void warn_of_unknown(const ConvertOptions& options, const StateFile& file, const KnownNetworks& found) {
  if (found.unknown.empty()) return;
  std::cerr << "note: " << options.input << ": " << found.unknown.size() << " of " << file.tensors.size()
            << " names belong to no network that fer knows: " << some_of(found.unknown)
            << "; --names, --strip and --key may help\n";
}

/// The tensors under fer's names; adds the match report to `json`.
StateDict renamed(const ConvertOptions& options, const StateFile& file, nlohmann::ordered_json& json) {
  const std::vector<NamedShape> wanted = wanted_by(options.names), held = shapes_of(file.tensors);
  const MatchReport report = match(wanted, held, name_map(options.names), options.input);
  if (!options.json) std::cout << report.text();
  json["matched"] = report.matched.size();
  for (const MatchReport::Aside& aside : report.left_aside)
    json["left_aside"].push_back({{"name", aside.held}, {"reason", aside.reason}});
  return matched_tensors(report, file.tensors, options.input);
}

int run(const ConvertOptions& options) {
  require<ConfigError>(options.list || !options.output.empty(), "convert: give an output file, or --list");
  LoadOptions load;
  load.key = options.key;
  load.strip = options.strip;
  KnownNetworks found;
  StateFile file = read_known_state(options.input, load, &found);
  std::optional<NetworkDescription> network = description(options, file);
  nlohmann::ordered_json json = json_of(options, file, found);
  if (!options.json) print_head(options, file, found, network);
  if (options.list && options.json) {
    json["metadata"] = file.metadata;
    json["tensors"] = listed(file);
  } else if (options.list) {
    list(file);
  }
  if (options.names.empty()) warn_of_unknown(options, file, found);
  if (!options.model.empty()) {
    Adopted adopted = adopt(options, file);
    state_input(options, adopted.description);
    if (!options.json) std::cout << description_of(adopted.description) << "\n";
    file.tensors = std::move(adopted.tensors);
    file.metadata = to_metadata(adopted.description);
    network = std::move(adopted.description);
  }
  if (network) file.metadata[input_key] = to_json(network->input);  // older programs did not write it
  if (std::filesystem::path(options.output).extension() == ".onnx") {
    export_to_onnx(options, file);
  } else if (!options.output.empty()) {
    const StateDict tensors = options.names.empty() ? file.tensors : renamed(options, file, json);
    save_state_dict(options.output, tensors, file.metadata);
  }
  if (!options.output.empty()) json["output"] = options.output;
  if (options.json) {
    // Invalid UTF-8 in a checkpoint's texts is replaced.
    std::cout << json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  } else if (!options.output.empty()) {
    std::cout << "wrote " << options.output << "\n";
  }
  return 0;
}

}  // namespace

Command add_convert(CLI::App& program) {
  CLI::App* command = program.add_subcommand(
      "convert", "Convert weights between PyTorch (.pth, .pt, .tar) and .safetensors, or export to .onnx");
  auto options = std::make_shared<ConvertOptions>();
  command->add_option("input", options->input, "weights in any known format, recognised by content")
      ->type_name("PATH")
      ->required();
  command->add_option("output", options->output, ".safetensors, .pth, .pt or .tar, or .onnx for inference")
      ->type_name("PATH");
  command->add_option("--key", options->key,
                      "dictionary with the tensors in a nested checkpoint (ema.model)");
  command
      ->add_option("--names", options->names,
                   "rename to fer's names and check shapes: ir50, mobilefacenet or fernet")
      ->check(known_words({"ir50", "mobilefacenet", "fernet"}));
  command
      ->add_option("--model", options->model,
                   "the network whose public checkpoint this is; the output is then used like weights of fer")
      ->check(known_words(model_names()));
  command
      ->add_option("--class-names", options->class_names,
                   "with --model: its classes, in the order of its scores")
      ->delimiter(',');
  command
      ->add_option("--colour", options->colour,
                   "colour that the network expects, grey or rgb; replaces what its weights say")
      ->check(one_of({"grey", "rgb"}));
  command
      ->add_option("--face-share", options->face_share,
                   "replace the face share: side of the detected face box, as a share of the pictures' side")
      ->check(CLI::Range(0.1, 2.0));
  command
      ->add_option("--strip", options->strip,
                   "prefix to remove from the names that begin with it (student.); may be repeated")
      ->take_all();
  command->add_flag("--list", options->list, "list the tensors, with shapes in PyTorch's layout");
  command->add_flag("--json", options->json, "print the list, or what was done, as JSON");
  add_examples(*command, {{"fer convert model.pth --list", "what is in a checkpoint"},
                          {"fer convert model.pth model.safetensors", "PyTorch's format to safetensors"},
                          {"fer convert runs/mine/best.safetensors model.onnx",
                           "the inference graph, for other programs"}});
  return [options] { return run(*options); };
}

}  // namespace fer::app
