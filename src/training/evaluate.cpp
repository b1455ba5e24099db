#include "fer/training/evaluate.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "fer/autograd/ops.h"
#include "fer/training/experiment.h"
#include "fer/training/loop.h"
#include "formats/json_text.h"
#include "training/thread_governor.h"

namespace fer {
namespace {

std::vector<SamplePrediction> predictions_of(const Tensor& scores) {
  const Tensor probabilities = softmax(Variable(scores)).value();
  const auto values = probabilities.to_vector<float>();
  const auto classes = static_cast<std::size_t>(probabilities.dim(1));
  std::vector<SamplePrediction> predictions(static_cast<std::size_t>(probabilities.dim(0)));
  for (std::size_t i = 0; i < predictions.size(); ++i) {
    const auto row = values.begin() + static_cast<std::ptrdiff_t>(i * classes);
    predictions[i].probabilities.assign(row, row + static_cast<std::ptrdiff_t>(classes));
    predictions[i].predicted = std::max_element(row, row + static_cast<std::ptrdiff_t>(classes)) - row;
  }
  return predictions;
}

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

EvaluationResult evaluate(FERNet& model, DataLoader& loader, Device device) {
  NoGrad no_grad;
  const bool was_training = model.is_training();
  model.eval();
  EvaluationResult result{ConfusionMatrix(loader.dataset().info().class_names), 0, {}};
  double loss_sum = 0;
  StepThreads threads(device);
  for (loader.start(0); std::optional<Batch> batch = loader.next();) {
    threads.before_step();
    const FERNetOutput out = model(Variable(network_input(*batch, device)));
    const auto labels = batch->labels.to_vector<std::int64_t>();
    auto predictions = predictions_of(out.scores.value());
    for (std::size_t i = 0; i < predictions.size(); ++i) {
      SamplePrediction& p = predictions[i];
      p.index = batch->indices[i];
      p.label = labels[i];
      loss_sum -=
          std::log(std::max(1e-30, static_cast<double>(p.probabilities[static_cast<std::size_t>(p.label)])));
      result.confusion.add(p.label, p.predicted);
      result.samples.push_back(std::move(p));
    }
  }
  result.cross_entropy = loss_sum / static_cast<double>(std::max<std::int64_t>(1, result.confusion.total()));
  model.train(was_training);
  return result;
}

SamplePrediction Classifier::predict(const Image& image) const {
  return predict(std::vector<Image>{image})[0];
}

std::vector<SamplePrediction> Classifier::predict(const std::vector<Image>& images,
                                                  std::vector<Landmarks>* landmarks) const {
  constexpr std::size_t at_once = 32;  // a crowd is read in parts, so that memory does not grow with it
  NoGrad no_grad;
  std::vector<SamplePrediction> predictions;
  if (landmarks) landmarks->clear();
  StepThreads threads(device);
  for (std::size_t first = 0; first < images.size(); first += at_once) {
    threads.before_step();
    const auto begin = images.begin() + static_cast<std::ptrdiff_t>(first);
    const auto count = static_cast<std::ptrdiff_t>(std::min(at_once, images.size() - first));
    const Variable x(input({begin, begin + count}));
    const Variable f_lm = model->landmark_features(x);
    if (landmarks && config.model.landmarks.head)
      append_landmarks(model->landmark_backbone().landmarks(f_lm).value(), *landmarks);
    auto found = predictions_of(model->classify(model->image_features(x), f_lm).scores.value());
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

std::filesystem::path weight_file(const std::filesystem::path& weights) {
  std::error_code none;
  return std::filesystem::is_directory(weights, none) ? weights / "best.safetensors" : weights;
}

Classifier load_classifier(const std::filesystem::path& weights, Device device) {
  const std::filesystem::path path = weight_file(weights);
  const StateFile file = read_state_file(path);
  NetworkDescription description = parse_description(file.metadata, path.string());
  Classifier classifier;
  classifier.config = std::move(description.config);
  classifier.class_names = std::move(description.class_names);
  classifier.expects = description.input;
  classifier.note = std::move(description.note);
  classifier.model = make_network(classifier.config, file.tensors, path.string());
  classifier.model->set_normalisation(classifier.expects.normalisation);
  load_weights(file.tensors, path.string(), *classifier.model);
  classifier.model->freeze_landmarks();
  classifier.model->to(device);
  classifier.model->eval();
  classifier.device = device;
  return classifier;
}

void require_same_classes(const Classifier& classifier, const DatasetInfo& data) {
  const auto list = [](const std::vector<std::string>& names) {
    std::string text;
    for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
    return text;
  };
  require<DataError>(data.class_names == classifier.class_names, "the data set '", data.name,
                     "' has the classes ", list(data.class_names), "; the network, trained on '",
                     classifier.config.data.dataset, "', tells apart ", list(classifier.class_names));
}

EvaluationResult evaluate(const Classifier& classifier, std::shared_ptr<const Dataset> dataset) {
  require_same_classes(classifier, dataset->info());
  LoaderOptions options = evaluation_loader_options(classifier.config);
  options.follow(classifier.expects);
  DataLoader loader(std::move(dataset), options);
  return evaluate(*classifier.model, loader, classifier.device);
}

}  // namespace fer
