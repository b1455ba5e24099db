// The program's tree of commands, and what it says to a command line that is wrong.
#pragma once

#include <utility>
#include <vector>

#include "app/commands.h"

namespace fer::app {

/// The whole command line; not movable, as flags write into it.
class CommandLine {
 public:
  CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  CLI::App& app() { return app_; }
  CommandUsage usage() const { return usage_of(app_); }
  /// Parses and runs. The exit code: that of the command, or 2 after a message about the command line.
  int run(int argc, const char* const* argv);

 private:
  CLI::App app_;
  std::vector<std::pair<const char*, Command>> commands_;
};

/// "fer train: unknown flag --lear; did you mean --lr?", for the words that no command took.
std::string unknown_words(const CLI::App& program);

/// fer help, and for shells and installers: fer completion, fer man.
Command add_help(CLI::App& program);
Command add_completion(CLI::App& program);
Command add_man(CLI::App& program);

}  // namespace fer::app
