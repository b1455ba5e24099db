#include "fer/inference/classifier.h"

#include <algorithm>
#include <iterator>
#include <numeric>

#include "fer/formats/checksum.h"
#include "fer/formats/matching.h"
#include "fer/training/checkpoint.h"
#include "fer/training/experiment.h"
#include "training/thread_governor.h"

namespace fer {
namespace {

/// points: N x 136, x0 y0 x1 y1 ...
void append_landmarks(const Tensor& points, std::vector<Landmarks>& landmarks) {
  const auto values = points.to_vector<float>();
  const auto outputs = static_cast<std::size_t>(points.dim(1));
  for (std::size_t first = 0; first + outputs <= values.size(); first += outputs) {
    Landmarks face;
    for (std::size_t i = 0; i < face.size(); ++i)
      face[i] = {values[first + 2 * i], values[first + 2 * i + 1]};
    landmarks.push_back(face);
  }
}

}  // namespace

SamplePrediction Classifier::predict(const Image& image) const {
  return predict(std::vector<Image>{image})[0];
}

std::vector<SamplePrediction> Classifier::predict(const std::vector<Image>& images,
                                                  std::vector<Landmarks>* landmarks) const {
  constexpr std::size_t at_once = 32;  // a crowd is read in parts, which bounds the memory
  NoGrad no_grad;
  std::vector<SamplePrediction> predictions;
  if (landmarks) landmarks->clear();
  StepThreads threads(device);
  for (std::size_t first = 0; first < images.size(); first += at_once) {
    threads.before_step();
    const auto begin = images.begin() + static_cast<std::ptrdiff_t>(first);
    const auto count = static_cast<std::ptrdiff_t>(std::min(at_once, images.size() - first));
    const Inference results = model->infer(input({begin, begin + count}), landmarks && model->has_points());
    if (results.points.defined()) append_landmarks(results.points, *landmarks);
    auto found = predictions_of(results.scores);
    std::move(found.begin(), found.end(), std::back_inserter(predictions));
  }
  return predictions;
}

Tensor Classifier::input(const std::vector<Image>& images) const {
  const int side = static_cast<int>(expects.size), channels = expects.colour == InputColour::grey ? 1 : 3;
  const auto count = static_cast<std::int64_t>(images.size());
  std::vector<std::uint8_t> pixels;
  pixels.reserve(static_cast<std::size_t>(count * side * side * channels));
  for (const Image& image : images) {
    const Image fed = network_picture(image, side, channels);
    pixels.insert(pixels.end(), fed.pixels.begin(), fed.pixels.end());
  }
  Batch batch;
  batch.images = Tensor::from<std::uint8_t>({count, side, side, channels}, pixels);
  batch.transforms.resize(images.size());
  batch.normalisation = expects.normalisation;
  return network_input(batch, device);
}

Classifier load_classifier(const std::filesystem::path& weights, Device device) {
  const std::filesystem::path path = weight_file(weights);
  const StateFile file = read_state_file(path);
  NetworkDescription description = parse_description(file.metadata, path.string());
  Classifier classifier;
  classifier.config = std::move(description.config);
  classifier.class_names = std::move(description.class_names);
  classifier.expects = description.input;
  classifier.model = make_network(classifier.config, file.tensors, path.string());
  classifier.model->set_normalisation(classifier.expects.normalisation);
  const MatchReport report =
      load_weights(file.tensors, path.string(), *classifier.model, classifier.model->public_names());
  classifier.note = std::move(description.note);
  for (const std::string& note : notes(file, report))
    classifier.note += concat(classifier.note.empty() ? "" : "\n", path.string(), ": ", note);
  classifier.model->freeze_landmarks();
  classifier.model->to(device);
  classifier.model->eval();
  classifier.device = device;
  classifier.file = path;
  return classifier;
}

ClassMap common_classes(const Classifier& classifier, const DatasetInfo& data) {
  ClassMap map = match_classes({concat("the data set '", data.name, "'"), data.class_names},
                               {"the network", classifier.class_names});
  require<DataError>(map.common.size() >= 2, "the data set '", data.name, "' has the classes ",
                     class_list_text(data.class_names), "; the network, trained on '",
                     classifier.config.data.name, "', has ", class_list_text(classifier.class_names),
                     "; an evaluation needs two classes in common");
  return map;
}

EvaluationResult evaluate(const Classifier& classifier, std::shared_ptr<const Dataset> dataset,
                          std::shared_ptr<SampleCache> cache, Communicator& ranks) {
  const ClassMap map = common_classes(classifier, dataset->info());
  const DatasetInfo data = dataset->info();
  std::vector<std::int64_t> numbers, outputs;  // indices of the samples, if some are left out; of the scores
  if (!map.identical()) {
    std::vector<std::int64_t> places(data.class_names.size(), -1);
    std::vector<std::string> names;
    for (const ClassMap::Pair& p : map.common) {
      places[static_cast<std::size_t>(p.first)] = static_cast<std::int64_t>(names.size());
      names.push_back(data.class_names[static_cast<std::size_t>(p.first)]);
      outputs.push_back(p.second);
    }
    numbers = samples_with_place(*dataset, places);
    require<DataError>(!numbers.empty(), "no sample of the data set '", data.name,
                       "' is of a class that the network knows: ", class_list_text(names));
    dataset = relabelled(subset(dataset, numbers), std::move(names), std::move(places));
  }
  LoaderOptions options = evaluation_loader_options(classifier.config, ranks);
  options.follow(classifier.expects);
  if (map.identical()) options.cache = std::move(cache);  // its samples have the data set's own labels
  DataLoader loader(std::move(dataset), options);
  EvaluationResult result = evaluate(*classifier.model, loader, classifier.device, outputs, ranks);
  for (SamplePrediction& p : result.samples) {
    if (!numbers.empty()) p.index = numbers[static_cast<std::size_t>(p.index)];
  }
  result.subject.dataset_classes = data.class_names;
  result.subject.network_classes = classifier.class_names;
  if (!map.identical())
    result.subject.left_out = std::accumulate(data.class_counts.begin(), data.class_counts.end(),
                                              -static_cast<std::int64_t>(numbers.size()));
  if (!classifier.file.empty()) {
    result.subject.weights = classifier.file.filename().string();
    result.subject.sha256 = file_sha256(classifier.file);
  }
  return result;
}

}  // namespace fer
