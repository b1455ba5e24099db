// fer eval
#include <iostream>

#include "app/commands.h"
#include "app/console.h"
#include "fer/formats/atomic_file.h"
#include "fer/training/experiment.h"

namespace fer::app {
namespace {

struct EvalOptions {
  std::string weights, split = "test", device = "cpu", save;
  bool json = false;
};

int run(const EvalOptions& options, const SettingFlags& flags) {
  const Device device = checked_device(options.device);
  const Classifier classifier = load_classifier(options.weights, device);
  RunConfig config = classifier.config;
  flags.apply(config);
  const auto dataset = open_dataset(dataset_options(config.data, parse_split(options.split)));
  require<DataError>(dataset->info().class_names == classifier.class_names, "the classes of '",
                     config.data.dataset, "' are not those that the network was trained on (",
                     options.weights, ")");
  DataLoader loader(dataset, evaluation_loader_options(config));
  const EvaluationResult result = evaluate(*classifier.model, loader, device);
  if (!options.save.empty()) write_file_atomically(options.save, evaluation_to_json(result, true));
  if (options.json) {
    std::cout << evaluation_to_json(result, false);
    return 0;
  }
  for (const std::string& warning : dataset->info().warnings) std::cerr << warning << "\n";
  std::cout << result.confusion.text() << "\n"
            << dataset->size() << " samples of " << config.data.dataset << " ("
            << name_of(dataset->info().split) << ")\n"
            << "accuracy             " << percent_text(result.confusion.accuracy()) << "\n"
            << "mean class accuracy  " << percent_text(result.confusion.mean_class_accuracy()) << "\n"
            << "macro F1             " << percent_text(result.confusion.macro_f1()) << "\n"
            << "cross-entropy        " << result.cross_entropy << "\n";
  return 0;
}

}  // namespace

Command add_eval(CLI::App& program) {
  CLI::App* command = program.add_subcommand("eval", "Measure a trained network on a data set");
  auto options = std::make_shared<EvalOptions>();
  command->add_option("--weights", options->weights, "weights or checkpoint written by fer train")
      ->required();
  command->add_option("--split", options->split, "train, validation, test, public_test or private_test")
      ->capture_default_str();
  command->add_option("--save", options->save,
                      "write everything, with each sample's prediction, to this JSON file");
  add_device_flag(*command, options->device);
  command->add_flag("--json", options->json, "print the result as JSON");
  auto flags = std::make_shared<SettingFlags>(*command, std::vector<std::string>{"data"}, false);
  command->footer("The data set is that of the training unless flags name another.");
  return [options, flags] { return run(*options, *flags); };
}

}  // namespace fer::app
