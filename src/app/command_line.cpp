#include "app/command_line.h"

#include <algorithm>
#include <iostream>

#include "fer/data/face_detector.h"
#include "fer/data/image.h"
#include "fer/data/video.h"
#include "fer/nearest.h"
#include "fer/tensor/backend.h"
#include "fer/tensor/communicator.h"
#include "fer/tensor/device_runtime.h"

namespace fer::app {
namespace {

std::string version_text() {
  std::string text = "fer " FER_VERSION "\n";
  for (Device device : {Device::cpu, Device::simt, Device::cuda}) {
    std::string reason;
    const bool available = is_available(device, &reason);
    text += concat("  ", device, ": ", available ? backend(device).description() : "not available: " + reason,
                   "\n");
  }
  std::string reason;
  text += has_math_library(&reason) ? "  --math library: cuBLAS and cuDNN\n"
                                    : "  --math library: not available: " + reason + "\n";
  const auto feature = [&text](const char* what, const std::string& name, const std::string& why) {
    text += concat("  ", what, ": ", name.empty() ? "not available: " + why : name, "\n");
  };
  feature("pictures", picture_decoders(), "");
  const std::string detector = face_detector_name(&reason);
  feature("faces in photographs", detector, reason);
  const std::string video = video_library_name(&reason);
  feature("videos and cameras", video, reason);
  const std::string mpi = mpi_library_name(&reason);
  feature("several processes", mpi, reason);
  const std::string nccl = nccl_library_name(&reason);
  feature("several processes with GPUs", nccl, reason);
  return text;
}

/// The innermost command that was given, or the program itself.
const CLI::App* last_command(const CLI::App* command) {
  for (auto chosen = command->get_subcommands(); !chosen.empty(); chosen = command->get_subcommands())
    command = chosen[0];
  return command;
}

/// "fer figure cam: --weights is required; fer figure cam --help says more".
std::string usage_error(const CLI::App* program, const CLI::Error& error) {
  const std::string name = full_name(*last_command(program));
  return concat(name, ": ", error.what(), "; ", name, " --help says more\n");
}

std::string unknown_flag(const CLI::App& command, const std::string& word) {
  const std::string flag = word.substr(0, word.find('='));
  std::vector<std::string> known;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  }
  const std::string near = nearest(flag.starts_with("--") ? flag : "-" + flag, known);
  return concat(
      full_name(command), ": unknown flag ", flag,
      near.empty() ? "; " + full_name(command) + " --help lists them" : "; did you mean " + near + "?", "\n");
}

std::vector<std::string> command_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CommandUsage& below : usage_of(command).commands)
    names.push_back(below.name.substr(below.name.rfind(' ') + 1));
  return names;
}

/// "fer: unknown command 'trian'; did you mean 'train'?". Below `fer figure`, a figure instead of a command.
std::string unknown_command(const CLI::App& command, const std::string& word) {
  const std::string near = nearest(word, command_names(command));
  const std::string kind = command.get_parent() == nullptr ? "command" : command.get_name();
  return concat(full_name(command), ": unknown ", kind, " '", word, "'; ",
                near.empty() ? full_name(command) + " --help lists them" : "did you mean '" + near + "'?",
                "\n");
}

/// The command that `words` name, one level per word; null, with a message, if there is none.
const CLI::App* find_command(const CLI::App& program, const std::vector<std::string>& words) {
  const CLI::App* command = &program;
  for (const std::string& word : words) {
    const auto below = command->get_subcommands(nullptr);
    const auto found = std::find_if(below.begin(), below.end(),
                                    [&](const CLI::App* app) { return app->get_name() == word; });
    if (found == below.end()) {
      std::cerr << (below.empty() ? concat(full_name(*command), ": has no subcommands; for help: fer help ",
                                           full_name(*command).substr(4), "\n")
                                  : unknown_command(*command, word));
      return nullptr;
    }
    command = *found;
  }
  return command;
}

}  // namespace

std::string unknown_words(const CLI::App& program) {
  std::string text;
  for (const CLI::App* command = &program;;) {
    const bool wants_command = command->get_require_subcommand_min() > 0;
    const std::vector<std::string> words = command->remaining();
    for (std::size_t i = 0; i < words.size(); ++i) {
      if (words[i].starts_with("-") && words[i] != "-") {
        text += unknown_flag(*command, words[i]);
        // The next word may have been meant as its value.
        if (i + 1 < words.size() && !words[i + 1].starts_with("-")) ++i;
      } else if (wants_command) {
        text += unknown_command(*command, words[i]);
      } else {
        text += concat(full_name(*command), ": unexpected argument '", words[i], "'; ", full_name(*command),
                       " --help says what it takes\n");
      }
      if (wants_command) return text;  // the other words belong to the unknown command
    }
    const auto chosen = command->get_subcommands();
    if (chosen.empty()) return text;
    command = chosen[0];
  }
}

Command add_help(CLI::App& program) {
  CLI::App* command = program.add_subcommand("help", "Print the help of a command");
  auto words = std::make_shared<std::vector<std::string>>();
  command->add_option("command", *words, "a command, and a subcommand")
      ->check(known_words(command_names(program)));
  add_examples(*command, {{"fer help train", "the same as fer train --help"}, {"fer help figure cam", ""}});
  return [&program, words] {
    const CLI::App* found = find_command(program, *words);
    if (found == nullptr) return 2;
    std::cout << help_text(usage_of(*found));
    return 0;
  };
}

CommandLine::CommandLine()
    : app_("Facial expressions: train, evaluate and use the product-cross dual attention network.") {
  app_.name("fer");
  app_.require_subcommand(1);
  app_.failure_message(usage_error);
  app_.formatter_fn([](const CLI::App* app, const std::string&, CLI::AppFormatMode mode) {
    const CommandUsage usage = usage_of(*app);
    return mode == CLI::AppFormatMode::All ? help_of_all(usage) : help_text(usage);
  });
  app_.set_help_flag("-h,--help", "Print this help and exit");
  app_.set_help_all_flag("--help-all", "Print the help of all commands");
  app_.set_version_flag("--version", version_text, "Print the version, and what this build has");
  commands_ = {
      {"train", add_train(app_)},           {"eval", add_eval(app_)},     {"predict", add_predict(app_)},
      {"convert", add_convert(app_)},       {"info", add_info(app_)},     {"gradcheck", add_gradcheck(app_)},
      {"faces", add_faces(app_)},           {"bench", add_bench(app_)},   {"ablate", add_ablate(app_)},
      {"figure", add_figure(app_)},         {"report", add_report(app_)}, {"data", add_data(app_)},
      {"completion", add_completion(app_)}, {"man", add_man(app_)},       {"help", add_help(app_)},
  };
  add_examples(app_, {{"fer train", "draws faces and trains on them; no data needed"},
                      {"fer predict photograph.jpg", "the expression of every face"},
                      {"fer help train", "the flags of a command"}});
}

int CommandLine::run(int argc, const char* const* argv) {
  try {
    app_.parse(argc, argv);
  } catch (const CLI::ExtrasError&) {
    std::cerr << unknown_words(app_);
    return 2;
  } catch (const CLI::RequiredError& error) {
    const std::string unknown = unknown_words(app_);
    if (unknown.empty()) return app_.exit(error), 2;
    std::cerr << unknown;
    return 2;
  } catch (const CLI::ParseError& error) {
    return app_.exit(error) == 0 ? 0 : 2;
  }
  for (const auto& [name, command] : commands_) {
    if (app_.got_subcommand(name)) return command();
  }
  return 2;
}

}  // namespace fer::app
