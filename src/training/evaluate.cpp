#include "fer/training/evaluate.h"

#include <algorithm>
#include <cmath>

#include "fer/autograd/ops.h"
#include "models/evaluation_scope.h"
#include "training/thread_governor.h"

namespace fer {
namespace {

/// Selected columns of N x K scores.
Tensor columns_of(const Tensor& scores, const std::vector<std::int64_t>& columns) {
  const auto values = scores.to_vector<float>();
  const auto width = static_cast<std::size_t>(scores.dim(1));
  std::vector<float> chosen;
  chosen.reserve(static_cast<std::size_t>(scores.dim(0)) * columns.size());
  for (std::size_t row = 0; row < values.size(); row += width) {
    for (const std::int64_t c : columns) chosen.push_back(values[row + static_cast<std::size_t>(c)]);
  }
  return Tensor::from<float>({scores.dim(0), static_cast<std::int64_t>(columns.size())}, chosen);
}

/// Gives all ranks the samples of all, in the order of the data set.
void gather(std::vector<SamplePrediction>& samples, bool soft_labels, std::int64_t classes,
            Communicator& ranks) {
  if (ranks.size() == 1) return;
  std::vector<std::int64_t> numbers;
  std::vector<float> shares;  // of a sample: probabilities, then its soft labels
  for (const SamplePrediction& p : samples) {
    numbers.insert(numbers.end(), {p.index, p.label, p.predicted});
    shares.insert(shares.end(), p.probabilities.begin(), p.probabilities.end());
    shares.insert(shares.end(), p.target.begin(), p.target.end());
  }
  const auto own = static_cast<std::int64_t>(samples.size()), width = (soft_labels ? 2 : 1) * classes;
  numbers = ranks.all_gather(Tensor::from<std::int64_t>({own, 3}, numbers)).to_vector<std::int64_t>();
  shares = ranks.all_gather(Tensor::from<float>({own, width}, shares)).to_vector<float>();
  samples.resize(numbers.size() / 3);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const auto row = shares.begin() + static_cast<std::ptrdiff_t>(i) * width;
    samples[i] = {numbers[3 * i], numbers[3 * i + 1], numbers[3 * i + 2], {row, row + classes}};
    if (soft_labels) samples[i].target.assign(row + classes, row + width);
  }
  std::sort(samples.begin(), samples.end(), [](const auto& a, const auto& b) { return a.index < b.index; });
}

}  // namespace

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

double sample_loss(const SamplePrediction& p) {
  const auto of_class = [&p](std::size_t c) {
    return -std::log(std::max(1e-30, static_cast<double>(p.probabilities[c])));
  };
  if (p.target.empty()) return of_class(static_cast<std::size_t>(p.label));
  double loss = 0;
  for (std::size_t c = 0; c < p.target.size(); ++c) loss += static_cast<double>(p.target[c]) * of_class(c);
  return loss;
}

EvaluationResult evaluate(Network& model, DataLoader& loader, Device device,
                          const std::vector<std::int64_t>& outputs, Communicator& ranks) {
  NoGrad no_grad;
  const EvaluationScope evaluation(model);
  const DatasetInfo& data = loader.dataset().info();
  EvaluationResult result{ConfusionMatrix(data.class_names), 0, {}};
  result.subject.dataset = data.name;
  result.subject.split = name_of(data.split);
  result.subject.labels = data.labels;
  result.subject.dataset_classes = result.subject.network_classes = data.class_names;
  StepThreads threads(device);
  for (loader.start(0); std::optional<Batch> batch = loader.next();) {
    if (batch->indices.empty()) continue;  // of a small last batch, other ranks have all samples
    threads.before_step();
    const Tensor scores = model.infer(network_input(*batch, device)).scores;
    const auto labels = batch->labels.to_vector<std::int64_t>();
    const auto targets = batch->targets.defined() ? batch->targets.to_vector<float>() : std::vector<float>{};
    auto predictions = predictions_of(outputs.empty() ? scores : columns_of(scores, outputs));
    for (std::size_t i = 0; i < predictions.size(); ++i) {
      SamplePrediction& p = predictions[i];
      p.index = batch->indices[i];
      p.label = labels[i];
      if (!targets.empty()) {
        const auto row = targets.begin() + static_cast<std::ptrdiff_t>(i * p.probabilities.size());
        p.target.assign(row, row + static_cast<std::ptrdiff_t>(p.probabilities.size()));
      }
      result.samples.push_back(std::move(p));
    }
  }
  gather(result.samples, data.soft_labels, result.confusion.classes(), ranks);
  double loss_sum = 0;
  for (const SamplePrediction& p : result.samples) {
    loss_sum += sample_loss(p);
    result.confusion.add(p.label, p.predicted);
  }
  result.cross_entropy = loss_sum / static_cast<double>(std::max<std::int64_t>(1, result.confusion.total()));
  return result;
}

}  // namespace fer
