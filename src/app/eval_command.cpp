// fer eval
#include <iostream>

#include "app/commands.h"
#include "app/console.h"
#include "fer/formats/atomic_file.h"
#include "fer/training/comparison.h"
#include "fer/training/experiment.h"

namespace fer::app {
namespace {

struct EvalOptions {
  std::string weights, split = "test", device = "cpu", precision = "float32", save, compare;
  bool json = false;
};

/// What `path` says of the same samples: an evaluation saved as JSON, or weights, which are evaluated now.
EvaluationResult other_evaluation(const std::string& path, const std::shared_ptr<const Dataset>& dataset,
                                  Device device) {
  if (std::filesystem::path(path).extension() == ".json") {
    const auto bytes = read_file(path);
    return evaluation_from_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
  }
  return evaluate(load_classifier(path, device), dataset);
}

void print(const EvaluationResult& result, const Dataset& dataset) {
  for (const std::string& warning : dataset.info().warnings) std::cerr << warning << "\n";
  std::cout << result.confusion.text() << "\n"
            << dataset.size() << " samples of " << dataset.info().name << " ("
            << name_of(dataset.info().split) << ")\n"
            << "accuracy             " << percent_text(result.confusion.accuracy()) << "\n"
            << "mean class accuracy  " << percent_text(result.confusion.mean_class_accuracy()) << "\n"
            << "macro F1             " << percent_text(result.confusion.macro_f1()) << "\n"
            << "cross-entropy        " << result.cross_entropy << "\n";
}

int run(const EvalOptions& options, const SettingFlags& flags) {
  const Device device = checked_device(options.device, options.precision);
  const Classifier classifier = load_classifier(options.weights, device);
  RunConfig config = classifier.config;
  flags.apply(config);
  const auto dataset = open_dataset(dataset_options(config.data, parse_split(options.split)));
  const EvaluationResult result = evaluate(classifier, dataset);
  if (!options.save.empty()) write_file_atomically(options.save, evaluation_to_json(result, true));
  if (options.compare.empty()) {
    if (options.json) {
      std::cout << evaluation_to_json(result, false);
    } else {
      print(result, *dataset);
    }
    return 0;
  }
  const EvaluationResult other = other_evaluation(options.compare, dataset, device);
  const PredictionComparison comparison = compare_predictions(other, result);
  if (options.json) {
    std::cout << comparison_to_json(comparison, other, result);
  } else {
    print(result, *dataset);
    std::cout << "\n" << comparison_text(comparison, other, result, options.compare, options.weights);
  }
  return 0;
}

}  // namespace

Command add_eval(CLI::App& program) {
  CLI::App* command = program.add_subcommand("eval", "Measure a trained network on a data set");
  auto options = std::make_shared<EvalOptions>();
  command->add_option("--weights", options->weights, "weights or run folder written by fer train")
      ->required();
  command->add_option("--split", options->split, "train, validation, test, public_test or private_test")
      ->capture_default_str();
  command->add_option("--save", options->save,
                      "write everything, with each sample's prediction, to this JSON file");
  command->add_option("--compare", options->compare,
                      "other weights, run folder or saved JSON: how the two differ on the same samples");
  add_device_flag(*command, options->device);
  add_precision_flag(*command, options->precision);
  command->add_flag("--json", options->json, "print the result as JSON");
  auto flags = std::make_shared<SettingFlags>(*command, std::vector<std::string>{"data"}, false);
  command->footer("The data set is that of the training unless flags name another.");
  return [options, flags] { return run(*options, *flags); };
}

}  // namespace fer::app
