// Learning rates as a function of the step.
#pragma once

#include <cstdint>
#include <string_view>

namespace fer {

/// constant; exponential: times `gamma` per epoch; cosine: from lr to lr * final_fraction over the run.
enum class ScheduleKind { constant, exponential, cosine };
/// "constant", ...
std::string_view name_of(ScheduleKind kind);

struct ScheduleOptions {
  ScheduleKind kind = ScheduleKind::constant;
  double lr = 1e-3;
  double gamma = 0.98;
  double final_fraction = 0.01;
  double warmup_epochs = 0;  ///< the rate rises linearly from 0 over these
};

class Schedule {
 public:
  /// ConfigError for values out of range.
  Schedule(const ScheduleOptions& options, std::int64_t steps_per_epoch, std::int64_t epochs);
  /// The rate of step `step`, counted from 0.
  double rate(std::int64_t step) const;

 private:
  ScheduleOptions options_;
  double steps_per_epoch_, total_steps_;
};

}  // namespace fer
