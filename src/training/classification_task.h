// The task that trains a whole network on classes, with the loss of Eq. 11.
#pragma once

#include "fer/losses/fer_loss.h"
#include "fer/models/network.h"
#include "fer/training/loop.h"

namespace fer {

/// `neutral`: the label of the neutral class; -1: none.
FERLossConfig loss_config(const TrainingConfig& config, int neutral);

class ClassificationTask final : public Task {
 public:
  /// `validation` may be null.
  ClassificationTask(Network& network, DataLoader* validation, const RunConfig& config,
                     const DatasetInfo& data, Device device, Communicator& ranks = one_process());

  std::string stage() const override { return main_stage; }
  Module& model() override { return network_; }
  Metadata metadata() const override { return metadata_; }
  std::vector<Tensor> inputs(const Batch& batch) override;
  LossResult loss(const std::vector<Tensor>& inputs) override;
  Evaluation evaluate() override;

 private:
  Network& network_;
  DataLoader* validation_;
  Device device_;
  Communicator& ranks_;
  FERLoss criterion_;
  Metadata metadata_;
};

}  // namespace fer
