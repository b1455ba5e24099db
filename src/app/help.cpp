// The text of --help.
#include <sstream>

#include "app/usage.h"

namespace fer::app {
namespace {

constexpr std::size_t width = 100, column = 32;

/// Breaks `text` into lines shorter than the width; all but the first are indented by `indent` blanks.
std::string wrapped(const std::string& text, std::size_t indent) {
  std::istringstream words(text);
  std::string out;
  std::size_t at = indent;
  for (std::string word; words >> word;) {
    const bool first = out.empty();
    if (!first && at + 1 + word.size() > width) {
      out += "\n" + std::string(indent, ' ');
      at = indent;
    } else if (!first) {
      out += " ";
      ++at;
    }
    out += word;
    at += word.size();
  }
  return out;
}

std::string entry(const std::string& left, const std::string& right) {
  std::string line = "  " + left;
  if (line.size() + 2 > column) {
    line += "\n" + std::string(column, ' ');
  } else {
    line.resize(column, ' ');
  }
  return line + wrapped(right, column) + "\n";
}

std::string entry(const FlagUsage& flag) {
  std::string left;
  for (const std::string& name : flag.names) left += (left.empty() ? "" : ", ") + name;
  if (flag.takes_value())
    left += flag.value_optional ? "[=" + flag.value_name() + "]" : " " + flag.value_name();
  return entry(left, flag.full_help());
}

}  // namespace

std::string help_text(const CommandUsage& command) {
  std::ostringstream out;
  out << wrapped(command.summary, 0) << "\n\nUsage: " << command.synopsis() << "\n";
  if (!command.commands.empty()) {
    out << "\nCommands:\n";
    for (const CommandUsage& below : command.commands)
      out << entry(below.name.substr(command.name.size() + 1), below.summary);
  }
  if (!command.arguments.empty()) {
    out << "\nArguments:\n";
    for (const FlagUsage& argument : command.arguments) out << entry(argument);
  }
  for (const auto& [group, flags] : command.groups()) {
    out << "\n" << group << ":\n";
    for (const FlagUsage& flag : flags) out << entry(flag);
  }
  for (const std::string& note : command.notes) out << "\n" << wrapped(note, 0) << "\n";
  if (!command.examples.empty()) {
    out << "\nExamples:\n";
    for (const Example& example : command.examples) {
      if (!example.note.empty()) out << "  # " << wrapped(example.note, 4) << "\n";
      out << "  " << example.command << "\n";
    }
  }
  return out.str();
}

std::string help_of_all(const CommandUsage& command) {
  std::string text;
  for_each_command(command, [&](const CommandUsage& one) {
    text += (text.empty() ? "" : "\n" + std::string(width, '-') + "\n") + help_text(one);
  });
  return text;
}

}  // namespace fer::app
