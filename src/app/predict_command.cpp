// fer predict
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>

#include "app/commands.h"
#include "app/console.h"
#include "fer/training/evaluate.h"

namespace fer::app {
namespace {

namespace fs = std::filesystem;

struct PredictOptions {
  std::string weights, device = "cpu", precision = "float32";
  std::vector<std::string> pictures;
  bool json = false;
};

bool is_picture(const fs::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return extension == ".png" || extension == ".jpg" || extension == ".jpeg";
}

/// Files as given; of a folder, its pictures in the order of their names.
std::vector<fs::path> files_of(const std::vector<std::string>& arguments) {
  std::vector<fs::path> files;
  for (const std::string& argument : arguments) {
    require<IoError>(fs::exists(argument), "'", argument, "' does not exist");
    if (!fs::is_directory(argument)) {
      files.emplace_back(argument);
      continue;
    }
    std::vector<fs::path> inside;
    for (const auto& entry : fs::directory_iterator(argument)) {
      if (entry.is_regular_file() && is_picture(entry.path())) inside.push_back(entry.path());
    }
    require<DataError>(!inside.empty(), "the folder '", argument, "' holds no PNG or JPEG picture");
    std::sort(inside.begin(), inside.end());
    files.insert(files.end(), inside.begin(), inside.end());
  }
  return files;
}

void print_text(const fs::path& file, const SamplePrediction& p, const std::vector<std::string>& names) {
  std::vector<std::size_t> order(names.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return p.probabilities[a] > p.probabilities[b]; });
  std::cout << file.string() << ": " << names[order[0]] << " " << percent_text(p.probabilities[order[0]]);
  for (std::size_t i = 1; i < std::min<std::size_t>(3, order.size()); ++i) {
    std::cout << (i == 1 ? "  (" : ", ") << names[order[i]] << " " << percent_text(p.probabilities[order[i]]);
  }
  std::cout << ")\n";
}

int run(const PredictOptions& options) {
  const std::vector<fs::path> files = files_of(options.pictures);
  const Classifier classifier =
      load_classifier(options.weights, checked_device(options.device, options.precision));
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  int failed = 0;
  for (const fs::path& file : files) {
    try {
      const SamplePrediction p = classifier.predict(read_image(file));
      if (!options.json) {
        print_text(file, p, classifier.class_names);
        continue;
      }
      nlohmann::ordered_json probabilities;
      for (std::size_t c = 0; c < p.probabilities.size(); ++c)
        probabilities[classifier.class_names[c]] = p.probabilities[c];
      list.push_back({{"file", file.string()},
                      {"expression", classifier.class_names[static_cast<std::size_t>(p.predicted)]},
                      {"probabilities", std::move(probabilities)}});
    } catch (const Error& error) {
      // One damaged picture must not cost the others their result.
      std::cerr << "fer: " << error.what() << std::endl;
      if (options.json) list.push_back({{"file", file.string()}, {"error", error.what()}});
      ++failed;
    }
  }
  if (options.json) std::cout << list.dump(2) << "\n";
  return failed > 0 ? 1 : 0;
}

}  // namespace

Command add_predict(CLI::App& program) {
  CLI::App* command = program.add_subcommand("predict", "Read the expression of faces, one face a picture");
  auto options = std::make_shared<PredictOptions>();
  command->add_option("--weights", options->weights, "weights or checkpoint written by fer train")
      ->required();
  command->add_option("pictures", options->pictures, "PNG or JPEG files, or folders of them")->required();
  add_device_flag(*command, options->device);
  add_precision_flag(*command, options->precision);
  command->add_flag("--json", options->json, "print the result as JSON");
  command->footer("Exit code 1 if a picture could not be read; the others are predicted all the same.");
  return [options] { return run(*options); };
}

}  // namespace fer::app
