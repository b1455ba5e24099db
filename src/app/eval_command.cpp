// fer eval
#include <iostream>
#include <optional>

#include "app/commands.h"
#include "app/console.h"
#include "app/processes.h"
#include "fer/data/examine.h"
#include "fer/formats/atomic_file.h"
#include "fer/study/comparison.h"
#include "fer/training/experiment.h"

namespace fer::app {
namespace {

struct EvalOptions {
  std::string weights, split = "test", device = "cpu", precision = "float32", save, compare;
  bool json = false;
  ProcessOptions processes;
};

/// The classes that the network and the data set share, as the data set spells them.
std::vector<std::string> classes_compared(const Classifier& classifier, const DatasetInfo& data) {
  std::vector<std::string> names;
  for (const ClassMap::Pair& p : common_classes(classifier, data).common)
    names.push_back(data.class_names[static_cast<std::size_t>(p.first)]);
  return names;
}

/// What the network is compared with: an evaluation saved as JSON, or weights to evaluate. Both are read and
/// checked against the data set before the first evaluation, which may take long.
class Other {
 public:
  Other(const std::string& path, const Dataset& dataset, Device device) {
    if (std::filesystem::path(path).extension() != ".json") {
      classifier_ = load_and_note(path, device);
      classes_ = classes_compared(*classifier_, dataset.info());
      return;
    }
    const auto bytes = read_file(path, std::size_t{256} << 20);
    saved_ = evaluation_from_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
    classes_ = saved_->confusion.class_names();
    const DatasetInfo& data = dataset.info();
    const EvaluationSubject& subject = saved_->subject;
    require<DataError>(subject.labels.empty() || subject.labels == data.labels, path, ": its labels are ",
                       subject.labels, ", those of the ", name_of(data.split), " part of '", data.name,
                       "' are ", data.labels, "; they must be the same");
    const std::int64_t samples = saved_->confusion.total() + subject.left_out;
    require<DataError>(samples == dataset.size(), path, ": covers ", samples, " samples, but the ",
                       name_of(data.split), " part of '", data.name, "' has ", dataset.size(),
                       "; both must cover the same samples");
  }
  /// The classes that both the network and the data set have.
  const std::vector<std::string>& classes() const { return classes_; }
  EvaluationResult evaluation(const std::shared_ptr<const Dataset>& dataset, Communicator& ranks) const {
    return saved_ ? *saved_ : evaluate(*classifier_, dataset, nullptr, ranks);
  }

 private:
  std::vector<std::string> classes_;
  std::optional<EvaluationResult> saved_;
  std::optional<Classifier> classifier_;
};

void print(const EvaluationResult& result) {
  std::cout << result.confusion.text() << "\n"
            << subject_text(result) << "accuracy             " << percent_text(result.confusion.accuracy())
            << "\n"
            << "mean class accuracy  " << percent_text(result.confusion.mean_class_accuracy()) << "\n"
            << "macro F1             " << percent_text(result.confusion.macro_f1()) << "\n"
            << "cross-entropy        " << result.cross_entropy << "\n";
}

int run(const EvalOptions& options, const SettingFlags& flags, Communicator& ranks) {
  const Device device = checked_device(options.device, options.precision);
  const Classifier classifier = load_and_note(options.weights, device);
  const Split split = parse_split(options.split);
  RunConfig config = classifier.config;
  config.data = evaluation_data(config.data, split);
  flags.apply(config);
  const auto cache = std::make_shared<SampleCache>();
  const auto dataset = open_readable(config.data, *cache, static_cast<int>(classifier.expects.size));
  for (const std::string& warning : dataset->info().warnings) std::cerr << warning << "\n";
  const std::vector<std::string> classes = classes_compared(classifier, dataset->info());
  std::optional<Other> compared;
  if (!options.compare.empty()) {
    compared.emplace(options.compare, *dataset, device);
    comparable_classes(compared->classes(), classes);
  }
  const bool saves = !options.save.empty() && ranks.rank() == 0;
  if (saves) require_writable_file(options.save);
  EvaluationResult result = evaluate(classifier, dataset, cache, ranks);
  if (saves) write_file_atomically(options.save, evaluation_to_json(result, true));
  if (!compared) {
    if (options.json) {
      std::cout << evaluation_to_json(result, false);
    } else {
      print(result);
    }
    return 0;
  }
  EvaluationResult other = compared->evaluation(dataset, ranks);
  restrict_to_common_classes(other, result);
  const PredictionComparison comparison = compare_predictions(other, result);
  if (options.json) {
    std::cout << comparison_to_json(comparison, other, result);
  } else {
    print(result);
    std::cout << "\n" << comparison_text(comparison, other, result, options.compare, options.weights);
  }
  return 0;
}

}  // namespace

Command add_eval(CLI::App& program) {
  CLI::App* command = program.add_subcommand("eval", "Measure a trained network on a data set");
  auto options = std::make_shared<EvalOptions>();
  command->add_option("--weights", options->weights, "weights or run folder written by fer train")
      ->type_name("PATH")
      ->required();
  command->add_option("--split", options->split, "train, validation, test, public_test or private_test")
      ->check(known_words(split_names()))
      ->capture_default_str();
  command
      ->add_option("--save", options->save,
                   "write everything, including each sample's prediction, to this JSON file")
      ->type_name("PATH");
  command
      ->add_option("--compare", options->compare,
                   "other weights, run folder or saved JSON to compare with on the same samples")
      ->type_name("PATH");
  add_device_flag(*command, options->device);
  add_precision_flag(*command, options->precision);
  options->processes.trains = false;
  add_process_flags(*command, options->processes);
  add_gpus_flag(*command, options->processes.gpus, options->device);
  command->add_flag("--json", options->json, "print the result as JSON");
  auto flags = std::make_shared<SettingFlags>(*command, std::vector<std::string>{"data"}, false);
  command->footer(
      "The default is the data set of the training. Classes are matched by name (angry is anger); if they\n"
      "differ, only the common ones are evaluated. A network that was trained on soft votes is tested on\n"
      "the majority of the votes, unless --labels says otherwise.");
  add_examples(
      *command,
      {{"fer eval --weights runs/mine", "the run's own test part"},
       {"fer eval --weights runs/mine --dataset fer2013 --data DIR", "other data, on the classes in common"},
       {"fer eval --weights runs/mine/best.safetensors --split validation --json", "another part, as JSON"},
       {"fer eval --weights runs/mine --compare runs/other",
        "whether two networks differ by more than chance"}});
  return [options, flags] {
    return run_in_processes(options->processes,
                            [&](Communicator& ranks) { return run(*options, *flags, ranks); });
  };
}

}  // namespace fer::app
