// The program's tree of commands, and its messages about a wrong command line.
#pragma once

#include <utility>
#include <vector>

#include "app/commands.h"

namespace fer::app {

/// The whole command line. Not movable, because flags write into it.
class CommandLine {
 public:
  CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  CLI::App& app() { return app_; }
  CommandUsage usage() const { return usage_of(app_); }
  /// Parses and runs. Returns the command's exit code, or 2 after a message about the command line.
  int run(int argc, const char* const* argv);

 private:
  CLI::App app_;
  std::vector<std::pair<const char*, Command>> commands_;
};

/// "fer train: unknown flag --lear; did you mean --lr?", for the words that no command accepted.
std::string unknown_words(const CLI::App& program);

/// Adds fer help and, for shells and installers, fer completion and fer man.
Command add_help(CLI::App& program);
Command add_completion(CLI::App& program);
Command add_man(CLI::App& program);

}  // namespace fer::app
