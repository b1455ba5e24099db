#include "fer/training/checkpoint.h"

#include "fer/formats/matching.h"
#include "formats/json_text.h"

namespace fer {
namespace {

// Incremented when the meaning of a checkpoint's contents changes. Older checkpoints are then converted or
// refused by name.
constexpr int checkpoint_version = 1;
constexpr const char* optimizer_prefix = "optimizer/";

void restore(Tensor& target, const StateDict& file, const std::string& name, const std::string& path) {
  const Tensor* found = file.find(name);
  require<FormatError>(found != nullptr, path, ": not a checkpoint of this run: '", name, "' is missing");
  require<FormatError>(found->shape() == target.shape(), path, ": '", name, "' has shape ", found->shape(),
                       ", this run needs ", target.shape());
  target.copy_from(*found);
}

}  // namespace

void save_weights(const std::filesystem::path& path, Module& model, const Metadata& metadata) {
  save_state_dict(path, model.state_dict(), metadata);
}

MatchReport load_weights(const StateDict& tensors, const std::string& source, Module& model, NameMap names) {
  names.asides.push_back(leave_aside("optimizer/.*", "the optimizer's state"));
  const std::vector<NamedShape> wanted = shapes_of(model.state_dict()), loaded = shapes_of(tensors);
  MatchReport report = match(wanted, loaded, names, source);
  model.load_state_dict(matched_tensors(report, tensors, source));
  return report;
}

void save_checkpoint(const std::filesystem::path& path, Module& model, const Optimizer& optimizer,
                     const MovingAverage* average, const Progress& progress, const Metadata& metadata) {
  StateDict state = model.state_dict();
  for (const auto& [name, tensor] : optimizer.state()) state.insert(optimizer_prefix + name, tensor);
  if (average) {
    for (const auto& [name, tensor] : average->state()) state.insert(optimizer_prefix + name, tensor);
  }
  Json counters{{"epoch", progress.epoch},
                {"batch", progress.batch},
                {"batches", progress.batches},
                {"step", progress.step},
                {"optimizer_steps", optimizer.steps()},
                {"best_epoch", progress.best_epoch},
                {"best_score", progress.best_score},
                {"best_figures", progress.best_figures},
                {"loss_sum", progress.loss_sum},
                {"seconds", progress.seconds},
                {"waiting", progress.waiting}};
  Metadata all = metadata;
  all["fer_checkpoint"] = std::to_string(checkpoint_version);
  all["progress"] = counters.dump();
  save_state_dict(path, state, all);
}

namespace {

/// Reads the file into the model, the optimizer and the average; returns the counters as JSON.
std::string read_checkpoint(const std::filesystem::path& path, Module& model, Optimizer& optimizer,
                            MovingAverage* average) {
  const StateFile file = read_state_file(path);
  const std::string name = path.string();
  const auto version = file.metadata.find("fer_checkpoint");
  require<FormatError>(version != file.metadata.end(), name,
                       ": has weights but no training state; a run cannot resume from it");
  require<FormatError>(version->second == std::to_string(checkpoint_version), name,
                       ": checkpoint of version ", version->second, ", this program reads version ",
                       checkpoint_version);
  for (auto [key, tensor] : model.state_dict()) restore(tensor, file.tensors, key, name);
  for (auto [key, tensor] : optimizer.state()) restore(tensor, file.tensors, optimizer_prefix + key, name);
  if (average) {
    for (auto [key, tensor] : average->state()) restore(tensor, file.tensors, optimizer_prefix + key, name);
  }
  const auto written = file.metadata.find("progress");
  require<FormatError>(written != file.metadata.end(), name, ": the counters of the checkpoint are missing");
  return written->second;
}

}  // namespace

Progress load_checkpoint(const std::filesystem::path& path, Module& model, Optimizer& optimizer,
                         MovingAverage* average, Communicator& ranks) {
  const std::string where = path.string() + ": the counters of the checkpoint";
  const std::string text =
      ranks.share(ranks.rank() == 0 ? read_checkpoint(path, model, optimizer, average) : "");
  for (auto [key, tensor] : model.state_dict()) ranks.broadcast(tensor);
  for (auto [key, tensor] : optimizer.state()) ranks.broadcast(tensor);
  if (average) {
    for (auto [key, tensor] : average->state()) ranks.broadcast(tensor);
  }
  Progress progress;
  const Json counters = parse_json(text, where);
  const auto take = [&](auto& field, const char* key) {
    using Field = std::decay_t<decltype(field)>;
    field = json_at<Field>(counters, key, where);
    if constexpr (std::is_integral_v<Field>) {
      require<FormatError>(field >= 0, where, ": '", key, "' must not be negative, got ", field);
    }
  };
  std::int64_t optimizer_steps = 0;
  take(progress.epoch, "epoch");
  take(progress.batch, "batch");
  if (counters.contains("batches")) take(progress.batches, "batches");
  take(progress.step, "step");
  take(optimizer_steps, "optimizer_steps");
  take(progress.best_epoch, "best_epoch");
  take(progress.best_score, "best_score");
  take(progress.best_figures, "best_figures");
  take(progress.loss_sum, "loss_sum");
  take(progress.seconds, "seconds");
  take(progress.waiting, "waiting");
  optimizer.set_steps(optimizer_steps);
  return progress;
}

}  // namespace fer
