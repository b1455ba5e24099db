// fer train
#include <csignal>
#include <ctime>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <optional>

#include "app/commands.h"
#include "app/console.h"
#include "app/interrupt.h"
#include "app/processes.h"
#include "fer/data/examine.h"
#include "fer/formats/atomic_file.h"
#include "fer/report/tensorboard.h"
#include "fer/tensor/device_runtime.h"
#include "fer/training/experiment.h"

namespace fer::app {
namespace {

namespace fs = std::filesystem;

struct TrainOptions {
  std::string config, run_dir, resume, device = "cpu", precision = "float32", profile;
  bool quiet = false, json = false, tensorboard = false;
  int show = 6, profile_steps = 5;
  ProcessOptions processes;
};

std::string new_folder(const RunConfig& config) {
  const std::time_t now = std::time(nullptr);
  std::ostringstream name;
  name << "runs/" << config.data.name << "-" << config.preset << "-"
       << std::put_time(std::localtime(&now), "%Y%m%d-%H%M%S");
  std::string unique = name.str();
  std::error_code ignored;
  for (int i = 2; fs::exists(unique, ignored); ++i) unique = name.str() + "-" + std::to_string(i);
  return unique;
}

/// The settings with which the run was started, overridden by flags.
RunConfig resumed_configuration(const std::string& folder, const SettingFlags& flags, Communicator& ranks) {
  const fs::path file = fs::path(folder) / "config.json";
  RunConfig config;
  config.model = model_config(config.preset);
  if (ranks.rank() == 0) {
    std::error_code ignored;
    require<IoError>(fs::exists(file, ignored), "cannot resume '", folder, "': it holds no config.json");
    read_config(config, file);
  }
  apply_json(config, ranks.share(to_json(config)), file.string());
  const std::string init = config.training.init;
  flags.apply(config);
  require<ConfigError>(config.training.init == init, "--init starts a new run; '", folder,
                       "' continues from its own checkpoint");
  return config;
}

/// Prints the trained network's predictions for a few pictures of the test split.
void show_predictions(const ExperimentResult& result, const RunConfig& config, int count) {
  const auto test = open_readable(evaluation_data(config.data, Split::test));
  const auto& samples = result.best.samples;
  count = std::min<int>(count, static_cast<int>(samples.size()));
  std::cout << "\nSome pictures of the test split:\n";
  for (int i = 0; i < count; ++i) {
    // Spread over the split, to show different persons and classes.
    const SamplePrediction& p =
        samples[samples.size() * static_cast<std::size_t>(i) / static_cast<std::size_t>(count)];
    const auto name_of_class = [&](std::int64_t c) {
      return result.class_names[static_cast<std::size_t>(c)];
    };
    std::cout << "  " << std::left << std::setw(34) << test->name(p.index) << " " << std::setw(10)
              << name_of_class(p.label) << " predicted " << std::setw(10) << name_of_class(p.predicted) << " "
              << percent_text(p.probabilities[static_cast<std::size_t>(p.predicted)])
              << (p.label == p.predicted ? "" : "   wrong") << "\n";
  }
}

void print_result(const ExperimentResult& result, const RunConfig& config) {
  const LoopResult& t = result.training;
  std::cout << "\n"
            << result.best.confusion.text() << "\n"
            << "accuracy on " << result.test_split << ": " << percent_text(result.best.confusion.accuracy());
  if (config.data.validation_fraction > 0) {
    std::cout << " with the weights of the best epoch (" << t.best_epoch
              << ", chosen on the validation split), " << percent_text(result.last.confusion.accuracy())
              << " with those of the last\n";
  } else {
    std::cout << " with the weights of the last epoch (" << t.best_epoch
              << "); there is no validation split to choose one by\n";
  }
  std::cout << "mean class accuracy: " << percent_text(result.best.confusion.mean_class_accuracy()) << "\n"
            << "trained " << t.steps << " steps in " << duration_text(t.seconds) << ", waiting for data "
            << percent_text(t.waiting) << " of the time, at most " << megabytes_text(t.peak_memory)
            << " of tensors\n";
}

/// Flags that a run folder does not store, because they belong to the machine, not to the run.
std::string flags_of_device(const TrainOptions& options, Device device) {
  std::string flags;
  if (options.device != "cpu") flags += " --device " + options.device;
  if (options.precision != "float32") flags += " --precision " + options.precision;
  if (math_mode(device) == MathMode::library) flags += " --math library";
  return flags;
}

int run(const TrainOptions& options, const SettingFlags& flags, Communicator& ranks) {
  const RunConfig config = options.resume.empty() ? flags.configuration(options.config)
                                                  : resumed_configuration(options.resume, flags, ranks);
  flags.check_classes(config);
  const Device device = checked_device(options.device, options.precision);
  const bool resume = !options.resume.empty();
  const std::string folder = resume                    ? options.resume
                             : options.run_dir.empty() ? ranks.share(new_folder(config))
                                                       : options.run_dir;
  const bool first = ranks.rank() == 0;
  ConsoleObserver console(options.quiet);
  if (first && !options.profile.empty()) console.profile(options.profile_steps, options.profile, device);
  EventObserver events(fs::path(folder) / "tensorboard", console);
  TrainingObserver& observer =
      first && options.tensorboard ? static_cast<TrainingObserver&>(events) : console;
  std::optional<ExperimentResult> result;
  try {
    const InterruptCatcher catcher;
    result = run_experiment(config, folder, resume, device, observer, ranks);
    console.end_profile();
  } catch (const Interrupted& stop) {
    console.end_profile();
    std::error_code ignored;
    const bool begun = fs::exists(fs::path(folder) / "config.json", ignored);
    console.on_note(concat(stop.what(), begun ? concat("; continue with: fer train --resume ", folder,
                                                       flags_of_device(options, device))
                                              : ""));
    return exit_code_of(interrupted() != 0 ? interrupted() : SIGINT);  // another rank may have got the signal
  }
  if (!first) return 0;
  if (options.json) {
    std::cout << result_to_json(*result);
    return 0;
  }
  print_result(*result, config);
  if (options.show > 0) show_predictions(*result, config, options.show);
  std::cout << "\nrun folder: " << folder << "\n"
            << "next: fer predict --weights " << folder << "/best.safetensors PICTURE...\n";
  return 0;
}

}  // namespace

Command add_train(CLI::App& program) {
  CLI::App* command =
      program.add_subcommand("train", "Train the network; without flags, the preset small on drawn faces");
  auto options = std::make_shared<TrainOptions>();
  CLI::Option* config =
      command->add_option("--config", options->config, "JSON file of settings; flags override it")
          ->type_name("PATH");
  CLI::Option* run_dir =
      command->add_option("--run-dir", options->run_dir, "folder of the run [runs/DATASET-PRESET-TIME]")
          ->type_name("DIR");
  command->add_option("--resume", options->resume, "continue the run in this folder, with its settings")
      ->type_name("DIR")
      ->excludes(config)
      ->excludes(run_dir);
  add_device_flag(*command, options->device);
  add_precision_flag(*command, options->precision);
  command
      ->add_option("--profile", options->profile,
                   "print where the time of some steps goes, and write a Chrome trace to this file")
      ->type_name("PATH");
  command->add_option("--profile-steps", options->profile_steps, "steps of the profile")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  command->add_flag("--tensorboard", options->tensorboard,
                    "write event files for TensorBoard into tensorboard/ of the run folder");
  add_process_flags(*command, options->processes);
  add_gpus_flag(*command, options->processes.gpus, options->device);
  command->add_flag("--quiet", options->quiet, "print nothing between epochs");
  command->add_flag("--json", options->json, "print the result as JSON");
  command->add_option("--show", options->show, "test pictures whose prediction is shown at the end")
      ->capture_default_str();
  auto flags = std::make_shared<SettingFlags>(*command);
  add_examples(*command,
               {{"fer train", "drawn faces, no data needed"},
                {"fer train --dataset ferplus --data DIR --landmarks mobilefacenet_model_best.pth.tar",
                 "a data set, with a trained landmark backbone"},
                {"fer train --config run.json --lr 3e-4", "the file's settings, except one"},
                {"fer train --init weights/small-ferplus.safetensors --dataset folder --data DIR",
                 "start from trained weights, on your own pictures"},
                {"fer train --resume runs/mine", "continue from its newest checkpoint"},
                {"fer train --processes 4", "four processes on this machine, which share each batch"},
                {"fer train --gpus all --config run.json", "a process for each GPU of this machine"},
                {"fer train --profile trace.json --max-steps 10", "where the time of a step goes"}});
  return [options, flags] {
    return run_in_processes(options->processes,
                            [&](Communicator& ranks) { return run(*options, *flags, ranks); });
  };
}

}  // namespace fer::app
