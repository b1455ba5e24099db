// The usage of the command line, read from CLI11's tree of commands. --help, the manual pages and the shell
// completions are all generated from it, so none of them can fall behind the flags.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace fer::app {

struct FlagUsage {
  std::vector<std::string> names;  ///< "-h", "--help"; for an argument, its only name
  std::string group;               ///< "Options", or a section of the configuration
  std::string help;
  std::string type;                  ///< INT, UINT, FLOAT, BOOL, LIST, PATH, DIR or TEXT; empty for a switch
  std::vector<std::string> choices;  ///< the words that it accepts
  std::string range;                 ///< "1 to 4096", if its numbers are limited
  std::string default_value;
  bool argument = false;  ///< positional, not named
  bool required = false;
  bool repeated = false;        ///< takes several values
  bool value_optional = false;  ///< the value may be omitted

  bool takes_value() const { return !type.empty(); }
  /// "INT", "INT..." for several, or "{cpu,simt,cuda}" if that is short.
  std::string value_name() const;
  /// The help, followed by facts from its type: "epochs [10; 1 to 4096]".
  std::string full_help() const;
};

struct Example {
  std::string command, note;
};

struct CommandUsage {
  std::string name;     ///< "fer figure cam"
  std::string summary;  ///< one line
  std::vector<FlagUsage> arguments, flags;
  std::vector<CommandUsage> commands;
  std::vector<std::string> notes;  ///< paragraphs
  std::vector<Example> examples;

  /// "fer figure cam [FLAGS] TABLE"
  std::string synopsis() const;
  /// The flags by group; groups are ordered by their first flag.
  std::vector<std::pair<std::string, std::vector<FlagUsage>>> groups() const;
};

/// "fer figure cam"
std::string full_name(const CLI::App& command);
CommandUsage usage_of(const CLI::App& command);
/// Calls visit(CommandUsage) for a command and all commands below it.
template <typename Visit>
void for_each_command(const CommandUsage& command, const Visit& visit) {
  visit(command);
  for (const CommandUsage& below : command.commands) for_each_command(below, visit);
}

/// The text of --help. Commands use it as their formatter.
std::string help_text(const CommandUsage& command);
/// The help of a command and of all commands below it.
std::string help_of_all(const CommandUsage& command);

/// The shells that completion_script() supports.
const std::vector<std::string>& completion_shells();
/// ConfigError for another shell.
std::string completion_script(const CommandUsage& program, const std::string& shell);

/// A manual page in man's macros; `version`: "fer 0.1.0".
std::string manual_page(const CommandUsage& command, const CommandUsage& program, const std::string& version);

}  // namespace fer::app
