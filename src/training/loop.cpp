#include "fer/training/loop.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "data/batch_feed.h"
#include "fer/autograd/global_batch.h"
#include "fer/training/checkpoint.h"
#include "fer/training/optimizer.h"
#include "fer/training/schedule.h"
#include "training/metrics_log.h"
#include "training/step_gradients.h"
#include "training/thread_governor.h"

namespace fer {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::unique_ptr<Optimizer> make_optimizer(const TrainingConfig& config, Module& model) {
  const auto parameters = model.named_parameters();
  if (config.optimizer == OptimizerKind::sgd) {
    return std::make_unique<Sgd>(
        parameters, SgdOptions{.momentum = config.momentum, .weight_decay = config.weight_decay});
  }
  return std::make_unique<Adam>(parameters,
                                AdamOptions{.weight_decay = config.weight_decay,
                                            .decoupled = config.optimizer == OptimizerKind::adamw});
}

std::string names_of(const Batch& batch, const Dataset& dataset) {
  std::string names;
  for (std::size_t i = 0; i < batch.indices.size() && i < 4; ++i) {
    names += (i ? ", " : "") + dataset.name(batch.indices[i]);
  }
  if (batch.indices.size() > 4) names += concat(" and ", batch.indices.size() - 4, " more");
  return names;
}

/// One run of the loop and its shared state.
class Run {
 public:
  Run(Task& task, DataLoader& loader, const TrainingConfig& config, const std::filesystem::path& folder,
      TrainingObserver& observer, Communicator& ranks)
      : task_(task),
        loader_(loader),
        feed_(loader, task.model().named_parameters().front().variable.device()),
        config_(config),
        folder_(folder),
        observer_(observer),
        ranks_(ranks),
        writes_(ranks.rank() == 0),
        optimizer_(make_optimizer(config, task.model())),
        gradients_(task, optimizer_->parameters(), config, ranks, observer),
        schedule_(ScheduleOptions{config.schedule, config.lr, config.gamma, 0.01, config.warmup_epochs},
                  loader.batches(), config.epochs),
        log_(folder / "metrics.jsonl"),
        threads_(device()) {
    if (config.sam_rho > 0) sam_.emplace(optimizer_->parameters(), config.sam_rho);
    if (config.ema_decay > 0) {
      average_ = std::make_unique<MovingAverage>(task.model().named_parameters(), config.ema_decay);
    }
  }

  LoopResult run() {
    resume();
    const std::int64_t end = last_step();
    const bool stands_within_epoch = progress_.epoch < config_.epochs && progress_.batch > 0;
    if (stands_within_epoch && progress_.step >= end) finish_epoch({}, 0);  // as the earlier run did here
    if (progress_.epoch < config_.epochs && progress_.step < end) observer_.on_begin();
    while (progress_.epoch < config_.epochs && progress_.step < end) run_epoch(end);
    LoopResult result;
    result.steps = progress_.step;
    result.best_epoch = progress_.best_epoch;
    result.holds_best = holds_best_;
    result.best = {figures_from_json(progress_.best_figures, "figures of the best epoch"),
                   progress_.best_score};
    result.last = last_;
    result.seconds = progress_.seconds;
    result.waiting = progress_.seconds > 0 ? progress_.waiting / progress_.seconds : 0;
    result.peak_memory = backend(device()).memory_stats().peak;
    return result;
  }

 private:
  Device device() { return optimizer_->parameters().front().variable.device(); }
  std::filesystem::path file(const char* name) const {
    return folder_ / (stage_prefix(task_.stage()) + name);
  }

  void resume() {
    const std::filesystem::path checkpoint = file("last.safetensors");
    if (ranks_.agree(writes_ && std::filesystem::exists(checkpoint)) != 0) {
      progress_ = load_checkpoint(checkpoint, task_.model(), *optimizer_, average_.get(), ranks_);
      const bool same_length = progress_.batches == 0 || progress_.batches == loader_.batches();
      require<ConfigError>(same_length || progress_.batch == 0, checkpoint.string(),
                           ": was saved within an epoch of ", progress_.batches,
                           " batches, but an epoch has ", loader_.batches(),
                           " now; resume with the data and the batch size that it was started with");
      if (progress_.epoch < config_.epochs)
        observer_.on_note(concat("resumed at epoch ", progress_.epoch + 1, ", step ", progress_.step));
    }
    if (!writes_) return;
    log_.keep_until(task_.stage(), progress_);
    last_ = {log_.last_epoch_figures(task_.stage()), {}};
  }

  /// The last step of the run: that of its last epoch, or max_steps if that is smaller.
  std::int64_t last_step() const {
    const std::int64_t remaining = (config_.epochs - progress_.epoch) * loader_.batches() - progress_.batch;
    const std::int64_t all = progress_.step + std::max<std::int64_t>(0, remaining);
    return config_.max_steps > 0 ? std::min(config_.max_steps, all) : all;
  }

  /// The learning rate of a batch of the running epoch. It depends on the position within the epoch, not on
  /// the number of steps so far, because an earlier part of the run may have used another batch size.
  double rate_of(std::int64_t batch) const {
    return schedule_.rate(progress_.epoch * loader_.batches() + batch);
  }

  void run_epoch(std::int64_t end) {
    const Clock::time_point start = Clock::now();
    const std::int64_t first_step = progress_.step;
    const double seconds_before = progress_.seconds, waiting_before = progress_.waiting,
                 waiting_ranks_before = ranks_.seconds_waiting();
    loader_.reset_waiting();
    feed_.start(progress_.epoch, progress_.batch);
    std::int64_t images = 0;
    const auto keep_time = [&] {
      progress_.seconds = seconds_before + seconds_since(start);
      progress_.waiting = waiting_before + loader_.seconds_waiting();
    };
    while (progress_.step < end) {
      const std::optional<Batch> batch = feed_.next();
      if (!batch) break;
      threads_.before_step();
      StepReport report = step(*batch, rate_of(progress_.batch));
      ++progress_.step;
      ++progress_.batch;
      progress_.loss_sum += report.loss;
      images += batch->global_size;
      const double elapsed = seconds_since(start);
      report.epoch = progress_.epoch + 1;
      report.step = progress_.step;
      report.steps = end;
      report.step_in_epoch = progress_.batch;
      report.images_per_second = static_cast<double>(images) / elapsed;
      report.seconds_left = elapsed / static_cast<double>(progress_.step - first_step) *
                            static_cast<double>(end - progress_.step);
      if (writes_) log_.step(report);
      observer_.on_step(report);
      if (config_.save_every > 0 && progress_.step % config_.save_every == 0 &&
          progress_.batch < loader_.batches()) {
        keep_time();
        save("last.safetensors");
      }
      if (ranks_.agree(observer_.wants_stop()) != 0 && progress_.step < end) {
        keep_time();
        save("last.safetensors");
        throw Interrupted(
            concat("interrupted in epoch ", progress_.epoch + 1, ", after step ", progress_.step));
      }
    }
    keep_time();
    // max_steps ended the run within an epoch. A run with more steps resumes from here.
    if (progress_.batch < loader_.batches()) save("last.safetensors");
    EpochReport report;
    report.waiting_ranks =
        (ranks_.seconds_waiting() - waiting_ranks_before) / std::max(1e-9, seconds_since(start));
    report.waiting = loader_.seconds_waiting() / std::max(1e-9, seconds_since(start));
    report.images_per_second = static_cast<double>(images) / std::max(1e-9, seconds_since(start));
    finish_epoch(std::move(report), seconds_since(start));
  }

  StepReport step(const Batch& batch, double lr) {
    task_.model().train();
    StepReport report;
    const std::vector<Tensor> inputs = task_.inputs(batch);
    const GlobalBatch whole(ranks_, batch.first, static_cast<std::int64_t>(batch.indices.size()),
                            batch.global_size);
    const auto gradients = [&] {
      StepLoss loss = gradients_.compute(inputs, static_cast<std::uint64_t>(progress_.step));
      if (!std::isfinite(loss.total)) {
        throw NumericError(concat(
            "the loss is ", loss.total, " at epoch ", progress_.epoch + 1, ", batch ", batch.number + 1,
            " (step ", progress_.step + 1, "), samples ", names_of(batch, loader_.dataset()),
            "; a lower learning rate or clip_norm may help. The last checkpoint is kept."));
      }
      report.loss = loss.total;
      report.parts = std::move(loss.parts);
      if (config_.clip_norm > 0)
        report.gradient_norm = clip_gradients(optimizer_->parameters(), config_.clip_norm);
    };
    optimizer_->zero_grad();
    gradients();
    if (sam_) {
      const StepReport first = report;  // report the loss at the original weights
      sam_->ascend();
      optimizer_->zero_grad();
      gradients();
      sam_->restore();
      report = first;
    }
    optimizer_->set_lr(lr);
    optimizer_->step();
    if (average_) average_->update();
    optimizer_->zero_grad();
    report.stage = task_.stage();
    report.lr = lr;
    report.epochs = config_.epochs;
    report.steps_per_epoch = loader_.batches();
    return report;
  }

  /// Evaluates the epoch and keeps the best one. The checkpoint does not record an epoch cut short by
  /// max_steps, and such an epoch is the best only if there is no other.
  void finish_epoch(EpochReport report, double seconds) {
    const Clock::time_point start = Clock::now();
    const bool whole = progress_.batch == loader_.batches();
    if (average_) average_->swap();
    {
      NoGrad no_grad;
      task_.model().eval();
      report.evaluation = task_.evaluate();
    }
    last_ = report.evaluation;
    const std::optional<double> score = report.evaluation.score;
    report.best = !score || progress_.best_epoch == 0 || (whole && *score > progress_.best_score);
    if (report.best) {
      progress_.best_epoch = progress_.epoch + 1;
      // JSON has no infinity; every finite score is better than this.
      progress_.best_score = score && std::isfinite(*score) ? *score : std::numeric_limits<double>::lowest();
      progress_.best_figures = figures_to_json(report.evaluation.figures);
      Metadata metadata = task_.metadata();
      metadata["epoch"] = std::to_string(progress_.best_epoch);
      if (writes_) save_weights(file("best.safetensors"), task_.model(), metadata);
    }
    holds_best_ = report.best && !average_;
    if (average_) average_->swap();
    progress_.seconds += seconds_since(start);
    report.stage = task_.stage();
    report.epoch = progress_.epoch + 1;
    report.epochs = config_.epochs;
    report.step = progress_.step;
    report.lr = rate_of(progress_.batch - 1);
    report.train_loss = progress_.loss_sum / static_cast<double>(std::max<std::int64_t>(1, progress_.batch));
    report.seconds = seconds + seconds_since(start);
    if (writes_) log_.epoch(report);
    if (whole) {
      ++progress_.epoch;
      progress_.batch = 0;
      progress_.loss_sum = 0;
      save("last.safetensors");
    }
    observer_.on_epoch(report);
  }

  void save(const char* name) {
    progress_.batches = loader_.batches();
    if (!writes_) return;
    save_checkpoint(file(name), task_.model(), *optimizer_, average_.get(), progress_, task_.metadata());
  }

  Task& task_;
  DataLoader& loader_;
  BatchFeed feed_;
  const TrainingConfig& config_;
  std::filesystem::path folder_;
  TrainingObserver& observer_;
  Communicator& ranks_;
  bool writes_;  // the log and the weight files
  std::unique_ptr<Optimizer> optimizer_;
  StepGradients gradients_;
  std::optional<Sam> sam_;
  std::unique_ptr<MovingAverage> average_;
  Schedule schedule_;
  MetricsLog log_;
  StepThreads threads_;
  Progress progress_;
  Evaluation last_;
  bool holds_best_ = false;  // whether the model holds the weights of the best epoch
};

}  // namespace

LoopResult run_training(Task& task, DataLoader& loader, const TrainingConfig& config,
                        const std::filesystem::path& folder, TrainingObserver& observer,
                        Communicator& ranks) {
  return Run(task, loader, config, folder, observer, ranks).run();
}

}  // namespace fer
