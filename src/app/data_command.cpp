// fer data: reports the contents of a data set.
#include <unistd.h>

#include <chrono>
#include <iostream>

#include "app/commands.h"
#include "app/interrupt.h"
#include "fer/data/data_check.h"

namespace fer::app {
namespace {

struct DataOptions {
  bool json = false;
};

/// Prints a line every second on a terminal, every ten seconds elsewhere; Ctrl-C stops the work.
ProgressFunction progress_lines() {
  using Clock = std::chrono::steady_clock;
  const bool terminal = ::isatty(STDERR_FILENO) != 0;
  return [terminal, shown = Clock::now()](std::int64_t done, std::int64_t all) mutable {
    if (Clock::now() - shown > std::chrono::seconds(terminal ? 1 : 10)) {
      shown = Clock::now();
      std::cerr << (terminal ? "\r" : "") << done << " of " << all << " pictures examined"
                << (terminal ? "   " : "\n") << std::flush;
    }
    return interrupted() == 0;
  };
}

int check(const DataOptions& options, const SettingFlags& flags) {
  RunConfig config;
  flags.apply(config);
  const InterruptCatcher catcher;
  const DataCheck result = check_data(config.data, progress_lines());
  if (!result.finished) return exit_code_of(interrupted());
  std::cout << (options.json ? to_json(result) : to_text(result));
  return is_sound(result) ? 0 : 1;
}

}  // namespace

Command add_data(CLI::App& program) {
  CLI::App* data = program.add_subcommand("data", "Check what a data set contains");
  data->require_subcommand(1);
  auto options = std::make_shared<DataOptions>();
  CLI::App* command = data->add_subcommand(
      "check",
      "Print counts, sizes, damaged files, what is left out, and duplicates across parts and classes");
  command->add_flag("--json", options->json, "print everything as JSON");
  auto flags = std::make_shared<SettingFlags>(*command, std::vector<std::string>{"data"});
  command->footer(
      "Every picture is read once. The exit code is 1 where a part or a picture cannot be read, or is "
      "missing.");
  add_examples(*command, {{"fer data check --dataset folder --data DIR", "your own folder"},
                          {"fer data check --dataset ferplus --data DIR --json > check.json",
                           "every group of duplicates"}});
  add_examples(*data, {{"fer data check --dataset folder --data DIR", "before a training"}});
  return [options, flags] { return check(*options, *flags); };
}

}  // namespace fer::app
