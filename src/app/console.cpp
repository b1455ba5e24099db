#include "app/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iomanip>
#include <iostream>
#include <sstream>

#include "app/interrupt.h"
#include "fer/formats/atomic_file.h"
#include "study/number_text.h"

namespace fer::app {
namespace {

using std::chrono::steady_clock;

// Seconds between redraws of a bar, and between plain lines.
constexpr double bar_seconds = 0.1, line_seconds = 15;

constexpr int warm_up = 2;  // steps before profiling: the first ones fill caches and allocate

std::string fixed(double value, int digits) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(digits) << value;
  return out.str();
}

/// The terminal's width in characters.
std::size_t terminal_width() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string bar(double share) {
  constexpr double width = 24;
  const auto full = static_cast<std::size_t>(width * std::clamp(share, 0.0, 1.0));
  return "[" + std::string(full, '=') + std::string(static_cast<std::size_t>(width) - full, ' ') + "] ";
}

/// "landmarks epoch 2/10"; the main stage is not named.
template <typename Report>
std::string epoch_text(const Report& report) {
  return concat(report.stage == main_stage ? "" : report.stage + " ", "epoch ", report.epoch, "/",
                report.epochs);
}

/// "epoch 2/10 [====    ] 12/118  loss 1.2034  cross_entropy 1.1  75 images/s  3 min 10 s left".
std::string progress_line(const StepReport& report, bool with_bar, bool with_parts) {
  std::ostringstream line;
  line << epoch_text(report) << " ";
  const auto steps = static_cast<double>(std::max<std::int64_t>(1, report.steps_per_epoch));
  if (with_bar) line << bar(static_cast<double>(report.step_in_epoch) / steps);
  line << report.step_in_epoch << "/" << report.steps_per_epoch << "  loss " << fixed(report.loss, 4);
  if (with_parts) {
    for (const auto& [name, value] : report.parts) line << "  " << name << " " << fixed(value, 4);
  }
  line << "  " << fixed(report.images_per_second, 0) << " images/s  " << duration_text(report.seconds_left)
       << " left";
  return line.str();
}

}  // namespace

std::string duration_text(double seconds) {
  const auto total = static_cast<long long>(std::llround(std::max(0.0, seconds)));
  std::ostringstream out;
  if (total >= 3600) {
    out << total / 3600 << " h " << std::setw(2) << std::setfill('0') << total / 60 % 60 << " min";
  } else if (total >= 60) {
    out << total / 60 << " min " << std::setw(2) << std::setfill('0') << total % 60 << " s";
  } else {
    out << total << " s";
  }
  return out.str();
}

std::string percent_text(double share) {
  return detail::percent(share);
}

std::string megabytes_text(std::size_t bytes) {
  return fixed(static_cast<double>(bytes) / (1 << 20), bytes < (10u << 20) ? 1 : 0) + " MiB";
}

ConsoleObserver::ConsoleObserver(bool quiet) : quiet_(quiet), terminal_(isatty(STDERR_FILENO) != 0) {}

void ConsoleObserver::clear_bar() {
  if (bar_shown_) std::cerr << "\r\033[K";
  bar_shown_ = false;
}

void ConsoleObserver::on_note(const std::string& note) {
  clear_bar();
  const std::size_t end = note.find_last_not_of('\n');
  std::cerr << note.substr(0, end == std::string::npos ? 0 : end + 1) << std::endl;
}

void ConsoleObserver::profile(int steps, std::string trace, Device device) {
  require_writable_file(trace);
  profile_steps_ = steps;
  trace_ = std::move(trace);
  device_ = device;
}

void ConsoleObserver::on_profiled_step() {
  ++steps_seen_;
  if (profiler_) {
    profiler_->mark("optimizer and bookkeeping", "", Profiler::Phase::other);
    events_of_steps_ = profiler_->events().size();
  }
  if (steps_seen_ == warm_up) profiler_ = std::make_unique<Profiler>(device_);
  if (steps_seen_ == warm_up + profile_steps_) show_profile(profile_steps_);
}

void ConsoleObserver::show_profile(int steps) {
  profiler_->stop();
  clear_bar();
  std::cerr << "\nwhere the time of " << steps << (steps == 1 ? " step" : " steps") << " went:\n\n"
            << profiler_->table() << "\n";
  try {
    write_file_atomically(trace_, profiler_->chrome_trace());
    std::cerr << "trace for chrome://tracing or Perfetto: " << trace_ << std::endl;
  } catch (const IoError& error) {  // a full disk at this point must not end the training
    std::cerr << "there is no trace: " << error.what() << std::endl;
  }
  profile_steps_ = 0;
  profiler_.reset();
}

void ConsoleObserver::end_profile() {
  if (profile_steps_ == 0) return;
  const int steps = std::max(0, steps_seen_ - warm_up);
  if (steps > 0) {
    profiler_->rewind(events_of_steps_);
    show_profile(steps);
    return;
  }
  std::cerr << "no profile: the training did " << steps_seen_ << (steps_seen_ == 1 ? " step" : " steps")
            << ", and the first " << warm_up << " are left out" << std::endl;
  profile_steps_ = 0;
  profiler_.reset();
}

void ConsoleObserver::on_step(const StepReport& report) {
  if (profile_steps_ > 0 && report.stage == main_stage) on_profiled_step();
  if (quiet_) return;
  const auto now = steady_clock::now();
  const double wait = terminal_ ? bar_seconds : line_seconds;
  const bool first = last_shown_ == steady_clock::time_point{};
  if (!first && std::chrono::duration<double>(now - last_shown_).count() < wait) return;
  last_shown_ = now;
  if (!terminal_) {
    std::cerr << progress_line(report, false, true) << std::endl;
    return;
  }
  // A line that wraps cannot be redrawn in place, so a narrower terminal gets a shorter line.
  const std::size_t room = terminal_width() - 1;
  std::string line = progress_line(report, true, true);
  if (line.size() > room) line = progress_line(report, true, false);
  if (line.size() > room) line = progress_line(report, false, false).substr(0, room);
  std::cerr << "\r\033[K" << line << std::flush;
  bar_shown_ = true;
}

bool ConsoleObserver::wants_stop() {
  return interrupted() != 0;
}

void ConsoleObserver::on_epoch(const EpochReport& report) {
  clear_bar();
  if (profiler_) profiler_->rewind(events_of_steps_);
  std::ostringstream line;
  line << epoch_text(report) << "  train loss " << fixed(report.train_loss, 4);
  for (const auto& [name, value] : report.evaluation.figures) {
    line << "  " << name << " "
         << (name.find("accuracy") != std::string::npos ? percent_text(value) : fixed(value, 4));
  }
  line << "  " << fixed(report.images_per_second, 0) << " images/s  " << duration_text(report.seconds)
       << "  waiting " << fixed(100 * report.waiting, 1) << " %";
  if (report.waiting_ranks > 0) line << ", for other ranks " << fixed(100 * report.waiting_ranks, 1) << " %";
  line << (report.best ? "  best" : "");
  std::cerr << line.str() << std::endl;
}

}  // namespace fer::app
