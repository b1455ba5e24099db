#include "fer/training/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "fer/error.h"
#include "fer/nearest.h"

namespace fer {

Schedule::Schedule(const ScheduleSettings& settings, std::int64_t steps_per_epoch, std::int64_t epochs)
    : settings_(settings),
      steps_per_epoch_(static_cast<double>(steps_per_epoch)),
      total_steps_(static_cast<double>(steps_per_epoch * epochs)) {
  const std::string& kind = settings.kind;
  require<ConfigError>(kind == "constant" || kind == "exponential" || kind == "cosine",
                       unknown_name("schedule", kind, {"constant", "exponential", "cosine"}));
  require<ConfigError>(settings.lr > 0 && std::isfinite(settings.lr), "lr must be positive, got ",
                       settings.lr);
  require<ConfigError>(settings.gamma > 0 && settings.gamma <= 1, "gamma must be in (0, 1], got ",
                       settings.gamma);
  require<ConfigError>(settings.warmup_epochs >= 0, "warmup_epochs must not be negative, got ",
                       settings.warmup_epochs);
}

double Schedule::rate(std::int64_t step) const {
  const double t = static_cast<double>(step);
  const double warmup = settings_.warmup_epochs * steps_per_epoch_;
  if (t < warmup) return settings_.lr * (t + 1) / warmup;
  if (settings_.kind == "exponential") {
    return settings_.lr * std::pow(settings_.gamma, std::floor(t / steps_per_epoch_));
  }
  if (settings_.kind == "cosine") {
    const double progress = std::clamp((t - warmup) / std::max(1.0, total_steps_ - warmup), 0.0, 1.0);
    const double low = settings_.lr * settings_.final_fraction;
    return low + (settings_.lr - low) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
  }
  return settings_.lr;
}

}  // namespace fer
