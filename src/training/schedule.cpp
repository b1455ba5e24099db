#include "fer/training/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "fer/error.h"

namespace fer {

std::string_view name_of(ScheduleKind kind) {
  switch (kind) {
    case ScheduleKind::constant:
      return "constant";
    case ScheduleKind::exponential:
      return "exponential";
    case ScheduleKind::cosine:
      break;
  }
  return "cosine";
}

Schedule::Schedule(const ScheduleOptions& options, std::int64_t steps_per_epoch, std::int64_t epochs)
    : options_(options),
      steps_per_epoch_(static_cast<double>(steps_per_epoch)),
      total_steps_(static_cast<double>(steps_per_epoch * epochs)) {
  require<ConfigError>(options.lr > 0 && std::isfinite(options.lr), "lr must be positive, got ", options.lr);
  require<ConfigError>(options.gamma > 0 && options.gamma <= 1, "gamma must be in (0, 1], got ",
                       options.gamma);
  require<ConfigError>(options.warmup_epochs >= 0, "warmup_epochs must not be negative, got ",
                       options.warmup_epochs);
}

double Schedule::rate(std::int64_t step) const {
  const double t = static_cast<double>(step);
  const double warmup = options_.warmup_epochs * steps_per_epoch_;
  if (t < warmup) return options_.lr * (t + 1) / warmup;
  if (options_.kind == ScheduleKind::exponential) {
    return options_.lr * std::pow(options_.gamma, std::floor(t / steps_per_epoch_));
  }
  if (options_.kind == ScheduleKind::cosine) {
    const double progress = std::clamp((t - warmup) / std::max(1.0, total_steps_ - warmup), 0.0, 1.0);
    const double low = options_.lr * options_.final_fraction;
    return low + (options_.lr - low) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
  }
  return options_.lr;
}

}  // namespace fer
