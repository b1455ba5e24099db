// fer convert
#include <iostream>
#include <nlohmann/json.hpp>

#include "app/commands.h"
#include "fer/formats/matching.h"
#include "fer/models/fernet.h"
#include "fer/models/onnx_export.h"
#include "fer/training/evaluate.h"

namespace fer::app {
namespace {

struct ConvertOptions {
  std::string input, output, key, names, colour;
  double face_share = 0;
  bool list = false, json = false;
};

NameMap name_map(const std::string& kind) {
  if (kind == "ir50") return ir50_names();
  if (kind == "mobilefacenet") return mobilefacenet_names();
  if (kind == "fernet") return fernet_names();
  throw ConfigError(concat("convert: unknown names '", kind, "'; known are ir50, mobilefacenet, fernet"));
}

/// What the network of `kind` wants, under fer's names.
std::vector<NamedShape> wanted_by(const std::string& kind) {
  FERNet net(preset("paper"));
  MobileFaceNet landmarks({64, {4, 6, 2}, true, 136});
  Module& module = kind == "ir50"            ? static_cast<Module&>(net.image_backbone())
                   : kind == "mobilefacenet" ? static_cast<Module&>(landmarks)
                                             : static_cast<Module&>(net);
  std::vector<NamedShape> wanted;
  for (const NamedVariable& p : module.named_parameters()) wanted.push_back({p.name, p.variable.shape()});
  for (const NamedBuffer& b : module.named_buffers()) wanted.push_back({b.name, b.buffer->shape()});
  return wanted;
}

void list(const StateFile& file, bool json) {
  if (json) {
    nlohmann::ordered_json tensors = nlohmann::ordered_json::array();
    for (const auto& [name, tensor] : file.tensors) {
      tensors.push_back({{"name", name},
                         {"dtype", name_of(tensor.dtype())},
                         {"shape", std::vector<std::int64_t>(tensor.shape().begin(), tensor.shape().end())}});
    }
    std::cout << nlohmann::ordered_json{{"format", name_of(file.format)},
                                        {"metadata", file.metadata},
                                        {"tensors", tensors}}
                     .dump(2)
              << "\n";
    return;
  }
  for (const auto& [name, tensor] : file.tensors) {
    std::cout << name << "  " << tensor.dtype() << " " << to_pytorch_layout(tensor).shape() << "\n";
  }
}

/// What the file says of its network, with --colour and --face-share; nothing for files that are not of fer
/// train.
std::optional<NetworkDescription> description(const ConvertOptions& options, const StateFile& file) {
  if (!describes_network(file.metadata)) {
    require<ConfigError>(options.colour.empty() && options.face_share == 0,
                         "convert: --colour and --face-share are said of a network, and '", options.input,
                         "' does not say of which its tensors are; weights written by 'fer train' do");
    return std::nullopt;
  }
  NetworkDescription description = parse_description(file.metadata, options.input);
  if (!options.colour.empty()) {
    description.input.colour = parse_input_colour(options.colour);
    description.note.clear();  // it is of what was not known
  }
  if (options.face_share > 0) description.input.face_share = options.face_share;
  return description;
}

/// The inference graph of a file that describes its network.
void export_to_onnx(const ConvertOptions& options, const Metadata& metadata) {
  require<ConfigError>(
      options.key.empty() && options.names.empty(),
      "convert: --key and --names do not go with .onnx, which takes weights written by 'fer train'");
  const Classifier classifier = load_classifier(options.input, Device::cpu);
  OnnxModel model = onnx_model(*classifier.model, parse_input_spec(metadata.at(input_key), options.input),
                               {{"classes", metadata.at("classes")}, {"config", metadata.at("config")}});
  model.producer_version = FER_VERSION;
  write_onnx(options.output, model);
}

void print_head(const ConvertOptions& options, const StateFile& file,
                const std::optional<NetworkDescription>& network) {
  std::cout << options.input << ": " << name_of(file.format) << ", " << file.tensors.size() << " tensors"
            << (file.found_under.empty() ? "" : " under '" + file.found_under + "'")
            << (file.stripped_prefix.empty() ? "" : ", prefix '" + file.stripped_prefix + "' taken off")
            << "\n";
  for (const std::string& name : file.skipped) std::cout << "left aside, no tensor: " << name << "\n";
  if (network) std::cout << description_of(*network) << "\n";
}

/// The tensors under fer's names, and the report of what matched.
StateDict renamed(const ConvertOptions& options, const StateFile& file, nlohmann::ordered_json& json) {
  const std::vector<NamedShape> wanted = wanted_by(options.names), held = shapes_of(file.tensors);
  const MatchReport report = match(wanted, held, name_map(options.names));
  if (!options.json) std::cout << report.text();
  json["matched"] = report.matched.size();
  for (const MatchReport::Aside& aside : report.left_aside)
    json["left_aside"].push_back({{"name", aside.held}, {"reason", aside.reason}});
  return matched_tensors(report, file.tensors, options.input);
}

int run(const ConvertOptions& options) {
  require<ConfigError>(options.list || !options.output.empty(), "convert: name an output file, or --list");
  LoadOptions load;
  load.key = options.key;
  StateFile file = read_state_file(options.input, load);
  const std::optional<NetworkDescription> network = description(options, file);
  if (!options.json) print_head(options, file, network);
  if (options.list) list(file, options.json);
  if (options.output.empty()) return 0;
  if (network) file.metadata[input_key] = to_json(network->input);  // what older programs did not write
  nlohmann::ordered_json json{{"input", options.input},
                              {"format", name_of(file.format)},
                              {"tensors", file.tensors.size()},
                              {"skipped", file.skipped},
                              {"output", options.output}};
  if (std::filesystem::path(options.output).extension() == ".onnx") {
    export_to_onnx(options, file.metadata);
  } else {
    const StateDict tensors = options.names.empty() ? file.tensors : renamed(options, file, json);
    save_state_dict(options.output, tensors, file.metadata);
  }
  if (!options.json) {
    std::cout << "wrote " << options.output << "\n";
  } else if (!options.list) {
    std::cout << json.dump(2) << "\n";
  }
  return 0;
}

}  // namespace

Command add_convert(CLI::App& program) {
  CLI::App* command = program.add_subcommand(
      "convert", "Convert weights between PyTorch (.pth, .pt, .tar) and .safetensors, or export to .onnx");
  auto options = std::make_shared<ConvertOptions>();
  command->add_option("input", options->input, "weights in any known format, recognised by content")
      ->required();
  command->add_option("output", options->output, ".safetensors, .pth, .pt or .tar, or .onnx for inference");
  command->add_option("--key", options->key,
                      "dictionary of a nested checkpoint that holds the tensors (ema.model)");
  command->add_option("--names", options->names,
                      "rename to fer's names and check shapes: ir50, mobilefacenet or fernet");
  command
      ->add_option(
          "--colour", options->colour,
          "what the network expects, written into its weights in place of what they say: grey or rgb")
      ->check(CLI::IsMember({"grey", "rgb"}));
  command
      ->add_option("--face-share", options->face_share,
                   "the same of the part of its pictures' side that the detector's box of a face takes")
      ->check(CLI::Range(0.1, 2.0));
  command->add_flag("--list", options->list, "list the tensors, shapes as PyTorch has them");
  command->add_flag("--json", options->json, "print the list, or what was done, as JSON");
  return [options] { return run(*options); };
}

}  // namespace fer::app
