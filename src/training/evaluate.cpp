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

/// The network of the file's configuration. FormatError if its tensors cannot fill it, before memory is taken
/// for it; ConfigError if the configuration contradicts itself.
std::unique_ptr<FERNet> model_for(const StateDict& tensors, const RunConfig& config,
                                  const std::string& source) {
  try {
    check(config);
    validate(config.model);
  } catch (const ConfigError& error) {
    throw ConfigError(concat(source, ": its configuration: ", error.what()));
  }
  const ParameterLimit limit(tensors.element_count(), source);
  return std::make_unique<FERNet>(config.model);
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
  const auto side = config.model.image_size;
  const auto count = static_cast<std::int64_t>(images.size());
  std::vector<std::uint8_t> pixels;
  pixels.reserve(static_cast<std::size_t>(count * side * side * 3));
  for (const Image& image : images) {
    const Image input = to_rgb(resize(image, static_cast<int>(side), static_cast<int>(side)));
    pixels.insert(pixels.end(), input.pixels.begin(), input.pixels.end());
  }
  Batch batch;
  batch.images = Tensor::from<std::uint8_t>({count, side, side, 3}, pixels);
  batch.transforms.resize(images.size());
  return network_input(batch, device);
}

Classifier load_classifier(const std::filesystem::path& weights, Device device) {
  std::error_code none;
  const bool folder = std::filesystem::is_directory(weights, none);
  const std::filesystem::path path = folder ? weights / "best.safetensors" : weights;
  const StateFile file = read_state_file(path);
  const auto config = file.metadata.find("config"), classes = file.metadata.find("classes");
  require<FormatError>(config != file.metadata.end() && classes != file.metadata.end(), path.string(),
                       ": holds tensors but does not say of which network (no 'config' and 'classes' in its "
                       "metadata); weights written by 'fer train' do");
  Classifier classifier;
  apply_json(classifier.config, config->second, path.string());
  const std::string where = path.string() + ": 'classes' in its metadata";
  classifier.class_names = json_as<std::vector<std::string>>(parse_json(classes->second, where), where);
  require<FormatError>(
      static_cast<std::int64_t>(classifier.class_names.size()) == classifier.config.model.classes,
      path.string(), ": names ", classifier.class_names.size(), " classes, the network has ",
      classifier.config.model.classes);
  classifier.model = model_for(file.tensors, classifier.config, path.string());
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
  DataLoader loader(std::move(dataset), evaluation_loader_options(classifier.config));
  return evaluate(*classifier.model, loader, classifier.device);
}

}  // namespace fer
