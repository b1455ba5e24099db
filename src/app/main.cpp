// fer: trains, evaluates and uses the facial-expression network.
#include <omp.h>

#include <csignal>
#include <exception>
#include <filesystem>
#include <iostream>
#include <latch>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#include "app/commands.h"
#include "app/interrupt.h"
#include "fer/data/face_detector.h"
#include "fer/data/image.h"
#include "fer/data/video.h"
#include "fer/error.h"
#include "fer/stop.h"
#include "fer/tensor/backend.h"
#include "fer/tensor/device_runtime.h"
#include "fer/tensor/subnormal.h"

namespace {

std::string version_text() {
  std::string text = "fer " FER_VERSION "\n";
  for (fer::Device device : {fer::Device::cpu, fer::Device::simt, fer::Device::cuda}) {
    std::string reason;
    const bool available = fer::is_available(device, &reason);
    text += fer::concat("  ", device, ": ",
                        available ? fer::backend(device).description() : "not available: " + reason, "\n");
  }
  std::string reason;
  text += fer::has_math_library(&reason) ? "  --math library: cuBLAS and cuDNN\n"
                                         : "  --math library: not available: " + reason + "\n";
  const auto feature = [&text](const char* what, const std::string& name, const std::string& why) {
    text += fer::concat("  ", what, ": ", name.empty() ? "not available: " + why : name, "\n");
  };
  text += fer::concat("  pictures: ", fer::picture_decoders(), "\n");
  const std::string detector = fer::face_detector_name(&reason);
  feature("faces in photographs", detector, reason);
  const std::string video = fer::video_library_name(&reason);
  feature("videos and cameras", video, reason);
  return text;
}

/// The command that was named last, or the program itself.
const CLI::App* last_command(const CLI::App* command) {
  for (auto chosen = command->get_subcommands(); !chosen.empty(); chosen = command->get_subcommands())
    command = chosen[0];
  return command;
}

/// "fer figure cam"
std::string full_name(const CLI::App* command) {
  const CLI::App* parent = command->get_parent();
  return parent ? full_name(parent) + " " + command->get_name() : "fer";
}

/// "fer figure cam: --weights is required; fer figure cam --help says more".
std::string usage_error(const CLI::App* command, const CLI::Error& error) {
  const std::string name = full_name(last_command(command));
  return fer::concat(name, ": ", error.what(), "; ", name, " --help says more\n");
}

/// "unknown command 'trian'; did you mean 'train'?", or figure, below `fer figure`.
std::string unknown_word(const CLI::App* command, const std::string& word) {
  std::vector<std::string> names;
  for (const CLI::App* known : command->get_subcommands(nullptr)) names.push_back(known->get_name());
  const std::string near = fer::nearest(word, names);
  const bool top = command->get_parent() == nullptr;
  return fer::concat(
      full_name(command), ": unknown ", top ? "command" : command->get_name(), " '", word, "'; ",
      near.empty() ? full_name(command) + " --help lists them" : "did you mean '" + near + "'?", "\n");
}

/// Whether all that was printed got out; says so where it did not, as on a full disk.
bool fully_printed() {
  std::cout.flush();
  if (std::cout.good()) return true;
  std::cerr << "fer: cannot write the standard output" << std::endl;
  return false;
}

/// OpenMP would end the program in the middle of its work where a thread cannot be started.
void require_threads() {
  const int wanted = omp_get_max_threads() - 1;
  std::latch all_started(1);
  std::vector<std::jthread> threads;
  try {
    while (static_cast<int>(threads.size()) < wanted) threads.emplace_back([&] { all_started.wait(); });
  } catch (const std::system_error& error) {
    all_started.count_down();
    throw fer::Error(fer::concat("cannot start ", wanted, wanted == 1 ? " thread" : " threads",
                                 " beside the first: ", error.code().message(),
                                 "; ask for fewer with OMP_NUM_THREADS, or raise the limits of "
                                 "processes (ulimit -u) and of memory (ulimit -v)"));
  }
  all_started.count_down();
}

/// That of a program that a signal has ended, where one has.
int exit_code(int otherwise) {
  return fer::stop_requested() ? fer::app::exit_code_of(fer::stop_requested()) : otherwise;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGXFSZ,
              SIG_IGN);     // a file that reaches its limit is an error of its writer, not the program's end
  fer::flush_subnormals();  // a training whose loss has nearly vanished is otherwise several times slower
  CLI::App program{"Facial expressions: train, evaluate and use the product-cross dual attention network."};
  program.name("fer");
  program.require_subcommand(1);
  program.failure_message(usage_error);
  program.set_help_all_flag("--help-all", "Help of all commands");
  program.set_version_flag("--version", version_text);

  const std::pair<const char*, fer::app::Command> commands[] = {
      {"train", fer::app::add_train(program)},     {"eval", fer::app::add_eval(program)},
      {"predict", fer::app::add_predict(program)}, {"convert", fer::app::add_convert(program)},
      {"info", fer::app::add_info(program)},       {"gradcheck", fer::app::add_gradcheck(program)},
      {"faces", fer::app::add_faces(program)},     {"bench", fer::app::add_bench(program)},
      {"ablate", fer::app::add_ablate(program)},   {"figure", fer::app::add_figure(program)},
      {"report", fer::app::add_report(program)},   {"data", fer::app::add_data(program)},
  };
  try {
    program.parse(argc, argv);
  } catch (const CLI::ExtrasError&) {
    for (const CLI::App* command : program.get_subcommands()) {
      const std::string extra = command->remaining().empty() ? "" : command->remaining().front();
      std::cerr << "fer " << command->get_name() << ": unknown argument '" << extra << "'"
                << fer::app::flag_advice(*command, extra) << "\n";
    }
    return 2;
  } catch (const CLI::RequiredError& error) {
    const CLI::App* command = last_command(&program);
    const std::vector<std::string> words = command->remaining();
    const bool unknown = command->get_require_subcommand_min() > 0 && !words.empty() && words[0][0] != '-';
    if (unknown) {
      std::cerr << unknown_word(command, words[0]);
    } else {
      program.exit(error);
    }
    return 2;
  } catch (const CLI::ParseError& error) {
    if (program.exit(error) != 0) return 2;
    return fully_printed() ? 0 : 1;
  }
  try {
    require_threads();
    for (const auto& [name, run] : commands) {
      if (!program.got_subcommand(name)) continue;
      const int code = run();
      return fully_printed() ? code : 1;
    }
  } catch (const fer::ConfigError& error) {
    std::cerr << "fer: " << error.what() << std::endl;
    return exit_code(2);
  } catch (const std::bad_alloc&) {
    const bool training = program.got_subcommand("train") || program.got_subcommand("ablate");
    std::cerr << "fer: out of memory"
              << (training ? "; a training needs less with a smaller --batch-size or with --checkpointing"
                           : "")
              << std::endl;
    return 1;
  } catch (const std::filesystem::filesystem_error& error) {
    std::cerr << "fer: cannot read '" << error.path1().string() << "': " << error.code().message()
              << std::endl;
    return 1;
  } catch (const std::exception& error) {
    std::cerr << "fer: " << error.what() << std::endl;
    return exit_code(1);
  }
  return 2;
}
