// fer info
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "app/commands.h"
#include "fer/models/fernet.h"
#include "fer/models/info.h"
#include "fer/models/poster.h"
#include "fer/training/network_description.h"
#include "formats/json_document.h"

namespace fer::app {
namespace {

struct InfoCommandOptions {
  std::string weights;
  int levels = 2;
  bool json = false;
};

struct Row {
  std::string name;
  double paper_parameters, paper_macs;  // in millions and in billions; Tables 7 and 8
  std::int64_t parameters, macs;
  std::string why;
};

const ModuleInfo& find(const std::vector<ModuleInfo>& infos, std::string_view path) {
  for (const ModuleInfo& info : infos) {
    if (info.path == path) return info;
  }
  throw ConfigError(concat("info: no module '", path, "'"));
}

void print_modules(const std::vector<ModuleInfo>& infos, int levels) {
  std::cout << std::left << std::setw(44) << "module" << std::right << std::setw(14) << "parameters"
            << std::setw(16) << "multiply-adds"
            << "  what it is\n";
  for (const ModuleInfo& info : infos) {
    if (info.depth > levels) continue;
    const std::string name = std::string(static_cast<std::size_t>(2 * info.depth), ' ') +
                             (info.path.empty() ? "(model)" : info.path);
    std::cout << std::left << std::setw(44) << name << std::right << std::setw(14) << info.parameters
              << std::setw(16) << info.macs << "  " << info.description << "\n";
  }
}

/// What the paper says about a model of the registry.
struct PaperCounts {
  std::string title;
  std::vector<Row> rows;
  std::string note;
};

PaperCounts fernet_counts() {
  FERNet model = uninitialised<FERNet>(preset("paper"));
  const auto full = describe_model(
      model,
      [&](const std::vector<Variable>& in) {
        FERNetTrace all_rows;
        all_rows.attention.full_last_block = true;
        return std::vector{model(in[0], &all_rows).scores};
      },
      model.config().image_size);
  MobileFaceNet landmark_net({64, {4, 6, 2}, true, 136});
  const auto landmarks = describe_model(
      landmark_net, [&](const std::vector<Variable>& in) { return std::vector{landmark_net(in[0])}; }, 112);
  const auto& image = find(full, "image_backbone");
  const auto& attention = find(full, "attention");
  const auto& whole = find(full, "");
  std::vector<Row> rows{
      {"image backbone", 17.6, 5.5, image.parameters, image.macs, "the same, rounded"},
      {"landmark backbone", 1.0, 0.2, landmarks[0].parameters, landmarks[0].macs,
       "with its landmark head, which the paper counts; FERNet stops at the 14 x 14 map (0.57 M, 0.195 G)"},
      {"cross attention", 15.6, 3.6, attention.parameters, attention.macs,
       "W_q_fusion of Eq. 3 (1.18 M, 0.23 G in two blocks) is never read by Eq. 4 and does not exist here; "
       "no equation accounts for the other 0.4 G"},
      {"whole model", 34.2, 9.3, whole.parameters, whole.macs,
       "the above and the landmark head (0.44 M, 0.03 G), which is not used to classify expressions"},
  };
  return {
      "Compared with the paper's Tables 7 and 8, with all rows of the last block computed, as in the "
      "equations:",
      std::move(rows),
      "  At run time, the last block is computed only for the class token, the only row that is used; this "
      "is "
      "exact and saves 1.44 G. In inference, two consecutive layers become one, which saves another 0.27 "
      "G.\n"};
}

PaperCounts poster_counts() {
  Poster model = uninitialised<Poster>(PosterConfig{});
  const ModuleInfo whole = describe_model(model)[0];
  return {"Compared with the paper's Table 7:",
          {{"whole model", 71.8, 15.7, whole.parameters, whole.macs,
            "the table counts two operations per multiply-add for POSTER, but one for FERNet; 12.8 M of the "
            "parameters are IR50's embedding layer, which never runs (--unused false leaves it out)"}},
          ""};
}

std::optional<PaperCounts> paper_counts(const std::string& preset) {
  if (preset == "paper") return fernet_counts();
  if (preset == "poster") return poster_counts();
  return std::nullopt;
}

nlohmann::ordered_json paper_json(const PaperCounts& paper) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const Row& row : paper.rows) {
    rows.push_back({{"module", row.name},
                    {"paper_parameters", row.paper_parameters * 1e6},
                    {"paper_macs", row.paper_macs * 1e9},
                    {"parameters", row.parameters},
                    {"macs", row.macs},
                    {"difference", row.why}});
  }
  return rows;
}

void print_paper(const PaperCounts& paper) {
  std::cout << "\n"
            << paper.title << "\n\n"
            << std::left << std::setw(20) << "" << std::right << std::setw(16) << "paper" << std::setw(21)
            << "here"
            << "\n";
  for (const Row& row : paper.rows) {
    std::cout << std::left << std::setw(20) << row.name << std::right << std::fixed << std::setprecision(1)
              << std::setw(6) << row.paper_parameters << " M" << std::setw(6) << row.paper_macs << " G"
              << std::setprecision(2) << std::setw(11) << static_cast<double>(row.parameters) / 1e6 << " M"
              << std::setw(6) << static_cast<double>(row.macs) / 1e9 << " G\n";
  }
  std::cout << "\nDifferences:\n";
  for (const Row& row : paper.rows) std::cout << "  " << row.name << ": " << row.why << "\n";
  std::cout << paper.note;
}

int run(const InfoCommandOptions& options, const SettingFlags& flags) {
  RunConfig config;
  config.model = model_config(config.preset);
  std::optional<NetworkDescription> network;
  if (!options.weights.empty()) {
    const std::string file = weight_file(options.weights).string();
    const StateFile held = read_state_file(file);
    network = parse_description(held.metadata, file);
    config = network->config;
    (void)make_network(config, held.tensors, file);  // throws if the file holds less than its network needs
  }
  flags.apply(config);
  // Initialised: constant zero channels would be dropped and not counted.
  const std::unique_ptr<Network> model = make_network(config.model);
  const auto infos = describe_model(*model, /*optimised=*/true);
  const std::optional<PaperCounts> paper = paper_counts(config.preset);
  if (options.json) {
    nlohmann::ordered_json modules = nlohmann::ordered_json::array();
    for (const ModuleInfo& info : infos) {
      modules.push_back({{"path", info.path},
                         {"description", info.description},
                         {"parameters", info.parameters},
                         {"macs", info.macs}});
    }
    nlohmann::ordered_json json =
        json_document("model", 1, {{"preset", config.preset}, {"modules", modules}});
    if (network) {
      json["classes"] = network->class_names;
      json[input_key] = nlohmann::ordered_json::parse(to_json(network->input));
    }
    if (paper) json["paper"] = paper_json(*paper);
    std::cout << json.dump(2) << "\n";
    return 0;
  }
  if (network) std::cout << options.weights << ": " << description_of(*network) << "\n\n";
  std::cout << "model " << config.preset << ", one image of " << config.model.image_size() << " x "
            << config.model.image_size() << "\n\n";
  print_modules(infos, options.levels);
  if (paper) print_paper(*paper);
  return 0;
}

}  // namespace

Command add_info(CLI::App& program) {
  CLI::App* command = program.add_subcommand("info", "Parameters and multiply-adds, module by module");
  auto options = std::make_shared<InfoCommandOptions>();
  command->add_option(
      "--weights", options->weights,
      "weights or run folder written by fer train: shows their network, and the input that it expects");
  command->add_option("--levels", options->levels, "levels of modules shown")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_flag("--json", options->json, "print everything as JSON");
  auto flags = std::make_shared<SettingFlags>(*command, std::vector<std::string>{"model"});
  add_examples(*command, {{"fer info --model paper", "the paper's network, beside the paper's own counts"},
                          {"fer info --model small --levels 3 --json", "deeper, as JSON"}});
  return [options, flags] { return run(*options, *flags); };
}

}  // namespace fer::app
