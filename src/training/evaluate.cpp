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
                          const std::vector<std::int64_t>& outputs) {
  NoGrad no_grad;
  const EvaluationScope evaluation(model);
  const DatasetInfo& data = loader.dataset().info();
  EvaluationResult result{ConfusionMatrix(data.class_names), 0, {}};
  result.subject.dataset = data.name;
  result.subject.split = name_of(data.split);
  result.subject.labels = data.labels;
  result.subject.dataset_classes = result.subject.network_classes = data.class_names;
  double loss_sum = 0;
  StepThreads threads(device);
  for (loader.start(0); std::optional<Batch> batch = loader.next();) {
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
      loss_sum += sample_loss(p);
      result.confusion.add(p.label, p.predicted);
      result.samples.push_back(std::move(p));
    }
  }
  result.cross_entropy = loss_sum / static_cast<double>(std::max<std::int64_t>(1, result.confusion.total()));
  return result;
}

}  // namespace fer
