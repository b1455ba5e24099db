#include "training/classification_task.h"

#include "fer/training/evaluate.h"
#include "fer/training/network_description.h"

namespace fer {

FERLossConfig loss_config(const TrainingConfig& config, int neutral) {
  FERLossConfig loss;
  loss.auxiliary = config.loss;
  loss.weight = config.loss_weight;
  loss.neutral = neutral;
  loss.label_smoothing = config.label_smoothing;
  return loss;
}

ClassificationTask::ClassificationTask(Network& network, DataLoader* validation, const RunConfig& config,
                                       const DatasetInfo& data, Device device, Communicator& ranks)
    : network_(network),
      validation_(validation),
      device_(device),
      ranks_(ranks),
      criterion_(loss_config(config.training, data.neutral)),
      metadata_(to_metadata({config, data.class_names, input_spec(config), ""})) {
  if (config.model.for_faces()) metadata_["neutral"] = std::to_string(data.neutral);
}

std::vector<Tensor> ClassificationTask::inputs(const Batch& batch) {
  const std::int64_t classes = network_.config().classes;
  for (std::int64_t label : batch.labels.to_vector<std::int64_t>()) {
    require<DataError>(label >= 0 && label < classes, "a batch holds the label ", label, "; the network has ",
                       classes, " classes");
  }
  return {network_input(batch, device_), batch.labels.to(device_),
          batch.targets.defined() ? batch.targets.to(device_) : Tensor()};
}

LossResult ClassificationTask::loss(const std::vector<Tensor>& inputs) {
  const NetworkOutput out = network_(Variable(inputs[0]));
  const FERLossParts parts = criterion_(out.scores, out.token, inputs[1], inputs[2]);
  LossResult result{parts.total, {{"cross_entropy", parts.cross_entropy}}};
  if (parts.anchor.defined()) result.parts.emplace_back("anchor", parts.anchor);
  if (parts.neutral.defined()) result.parts.emplace_back("neutral", parts.neutral);
  return result;
}

Evaluation ClassificationTask::evaluate() {
  if (!validation_) return {};
  const EvaluationResult result = fer::evaluate(network_, *validation_, device_, {}, ranks_);
  const ConfusionMatrix& c = result.confusion;
  return {{{"accuracy", c.accuracy()},
           {"mean_class_accuracy", c.mean_class_accuracy()},
           {"cross_entropy", result.cross_entropy}},
          c.accuracy()};
}

}  // namespace fer
