#include "fer/training/loop.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>

#include "fer/training/checkpoint.h"
#include "fer/training/optimizer.h"
#include "fer/training/schedule.h"
#include "training/batch_feed.h"
#include "training/metrics_log.h"
#include "training/step_gradients.h"

namespace fer {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::unique_ptr<Optimizer> make_optimizer(const TrainingConfig& config, Module& model) {
  const auto parameters = model.named_parameters();
  std::unique_ptr<Optimizer> optimizer;
  if (config.optimizer == "sgd") {
    optimizer = std::make_unique<Sgd>(parameters, SgdSettings{config.momentum, config.weight_decay, false});
  } else {
    AdamSettings settings;
    settings.weight_decay = config.weight_decay;
    settings.decoupled = config.optimizer == "adamw";
    optimizer = std::make_unique<Adam>(parameters, settings);
  }
  if (config.sam_rho > 0) optimizer = std::make_unique<Sam>(std::move(optimizer), config.sam_rho);
  return optimizer;
}

std::string names_of(const Batch& batch, const Dataset& dataset) {
  std::string names;
  for (std::size_t i = 0; i < batch.indices.size() && i < 4; ++i) {
    names += (i ? ", " : "") + dataset.name(batch.indices[i]);
  }
  if (batch.indices.size() > 4) names += concat(" and ", batch.indices.size() - 4, " more");
  return names;
}

/// One run of the loop, with what its parts share.
class Run {
 public:
  Run(Task& task, DataLoader& loader, const TrainingConfig& config, const std::filesystem::path& folder,
      TrainingObserver& observer)
      : task_(task),
        loader_(loader),
        feed_(loader, task.model().named_parameters().front().variable.device()),
        config_(config),
        folder_(folder),
        observer_(observer),
        optimizer_(make_optimizer(config, task.model())),
        gradients_(task, optimizer_->parameters(), config.seed, config.graph, observer),
        schedule_(ScheduleSettings{config.schedule, config.lr, config.gamma, 0.01, config.warmup_epochs},
                  loader.batches(), config.epochs),
        log_(folder / "metrics.jsonl") {
    if (config.ema_decay > 0) {
      average_ = std::make_unique<MovingAverage>(task.model().named_parameters(), config.ema_decay);
    }
  }

  LoopResult run() {
    resume();
    const std::int64_t batches = loader_.batches();
    const std::int64_t total = config_.max_steps > 0 ? std::min(config_.max_steps, batches * config_.epochs)
                                                     : batches * config_.epochs;
    while (progress_.epoch < config_.epochs && progress_.step < total) run_epoch(total);
    LoopResult result;
    result.steps = progress_.step;
    result.best_epoch = progress_.best_epoch;
    result.best = {figures_from_json(progress_.best_figures), progress_.best_score};
    result.last = last_;
    result.seconds = progress_.seconds;
    result.waiting = progress_.seconds > 0 ? progress_.waiting / progress_.seconds : 0;
    result.peak_memory = backend(device()).memory_stats().peak;
    return result;
  }

 private:
  Device device() { return optimizer_->parameters().front().variable.device(); }
  std::filesystem::path file(const char* name) const { return folder_ / (task_.prefix() + name); }

  void resume() {
    if (!std::filesystem::exists(file("last.safetensors"))) {
      log_.keep_until(task_.prefix(), 0);
      return;
    }
    progress_ = load_checkpoint(file("last.safetensors"), task_.model(), *optimizer_, average_.get());
    log_.keep_until(task_.prefix(), progress_.step);
    if (progress_.epoch < config_.epochs) {
      observer_.on_note(concat("resumed at epoch ", progress_.epoch + 1, ", step ", progress_.step));
    }
    last_ = {log_.last_epoch_figures(task_.prefix()), 0};
  }

  void run_epoch(std::int64_t total) {
    const Clock::time_point start = Clock::now();
    const std::int64_t first_step = progress_.step;
    const double seconds_before = progress_.seconds, waiting_before = progress_.waiting;
    loader_.reset_waiting();
    feed_.start(progress_.epoch, progress_.batch);
    std::int64_t images = 0;
    const auto keep_time = [&] {
      progress_.seconds = seconds_before + seconds_since(start);
      progress_.waiting = waiting_before + loader_.seconds_waiting();
    };
    double lr = 0;
    while (progress_.step < total) {
      const std::optional<Batch> batch = feed_.next();
      if (!batch) break;
      lr = schedule_.rate(progress_.step);
      StepReport report = step(*batch, lr);
      ++progress_.step;
      ++progress_.batch;
      progress_.loss_sum += report.loss;
      images += batch->global_size;
      const double elapsed = seconds_since(start);
      report.epoch = progress_.epoch + 1;
      report.step = progress_.step;
      report.steps = total;
      report.step_in_epoch = progress_.batch;
      report.images_per_second = static_cast<double>(images) / elapsed;
      report.seconds_left = elapsed / static_cast<double>(progress_.step - first_step) *
                            static_cast<double>(total - progress_.step);
      log_.step(report);
      observer_.on_step(report);
      if (config_.save_every > 0 && progress_.step % config_.save_every == 0 &&
          progress_.batch < loader_.batches()) {
        keep_time();
        save("last.safetensors");
      }
    }
    keep_time();
    EpochReport report;
    report.train_loss = progress_.loss_sum / static_cast<double>(std::max<std::int64_t>(1, progress_.batch));
    report.waiting = loader_.seconds_waiting() / std::max(1e-9, seconds_since(start));
    report.images_per_second = static_cast<double>(images) / std::max(1e-9, seconds_since(start));
    report.lr = lr;
    finish_epoch(report, seconds_since(start));
  }

  StepReport step(const Batch& batch, double lr) {
    task_.model().train();
    StepReport report;
    const std::vector<Tensor> inputs = task_.inputs(batch);
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
    };
    optimizer_->zero_grad();
    gradients();
    if (config_.clip_norm > 0) {
      report.gradient_norm = clip_gradients(optimizer_->parameters(), config_.clip_norm);
    }
    {
      NoGrad no_grad;
      optimizer_->step(lr, [&] {
        EnableGrad enable;
        StepReport first = report;  // SAM looks again; the loss that counts is the first one
        gradients();
        report = std::move(first);
      });
      if (average_) average_->update();
    }
    optimizer_->zero_grad();
    report.prefix = task_.prefix();
    report.lr = lr;
    report.epochs = config_.epochs;
    report.steps_per_epoch = loader_.batches();
    return report;
  }

  void finish_epoch(EpochReport& report, double seconds) {
    const Clock::time_point start = Clock::now();
    if (average_) average_->swap();
    {
      NoGrad no_grad;
      task_.model().eval();
      report.evaluation = task_.evaluate();
    }
    last_ = report.evaluation;
    report.best = progress_.best_epoch == 0 || report.evaluation.score > progress_.best_score;
    if (report.best) {
      progress_.best_epoch = progress_.epoch + 1;
      progress_.best_score = report.evaluation.score;
      progress_.best_figures = figures_to_json(report.evaluation.figures);
      Metadata metadata = task_.metadata();
      metadata["epoch"] = std::to_string(progress_.best_epoch);
      save_weights(file("best.safetensors"), task_.model(), metadata);
    }
    if (average_) average_->swap();
    progress_.seconds += seconds_since(start);
    ++progress_.epoch;
    progress_.batch = 0;
    progress_.loss_sum = 0;
    report.prefix = task_.prefix();
    report.epoch = progress_.epoch;
    report.epochs = config_.epochs;
    report.step = progress_.step;
    report.seconds = seconds + seconds_since(start);
    log_.epoch(report);
    save("last.safetensors");
    observer_.on_epoch(report);
  }

  void save(const char* name) {
    save_checkpoint(file(name), task_.model(), *optimizer_, average_.get(), progress_, task_.metadata());
  }

  Task& task_;
  DataLoader& loader_;
  BatchFeed feed_;
  const TrainingConfig& config_;
  std::filesystem::path folder_;
  TrainingObserver& observer_;
  std::unique_ptr<Optimizer> optimizer_;
  StepGradients gradients_;
  std::unique_ptr<MovingAverage> average_;
  Schedule schedule_;
  MetricsLog log_;
  Progress progress_;
  Evaluation last_;
};

}  // namespace

LoopResult run_training(Task& task, DataLoader& loader, const TrainingConfig& config,
                        const std::filesystem::path& folder, TrainingObserver& observer) {
  return Run(task, loader, config, folder, observer).run();
}

Tensor network_input(const Batch& batch, Device device) {
  // ImageNet's statistics, as torchvision publishes them.
  static constexpr float mean[3] = {0.485f, 0.456f, 0.406f}, deviation[3] = {0.229f, 0.224f, 0.225f};
  const Tensor images = batch.images.to(device);
  Tensor x = Tensor::empty({images.dim(0), images.dim(1), images.dim(2), 3}, DType::float32, device);
  backend(device).preprocess_images(images, batch.transforms, mean, deviation, x);
  return x;
}

}  // namespace fer
