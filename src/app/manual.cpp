// Manual pages in man(7) macros.
#include <algorithm>
#include <cctype>
#include <sstream>

#include "app/usage.h"

namespace fer::app {
namespace {

/// Escapes text for roff: hyphens of flags, backslashes and lines that begin with a control character.
std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
  }
  if (!out.empty() && (out[0] == '.' || out[0] == '\'')) out.insert(0, "\\&");
  return out;
}

std::string page_name(const std::string& command) {
  std::string name = command;
  std::replace(name.begin(), name.end(), ' ', '-');
  return name;
}

std::string capitals(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::toupper(c); });
  return text;
}

void write_flag(std::ostream& out, const FlagUsage& flag) {
  out << ".TP\n";
  for (std::size_t i = 0; i < flag.names.size(); ++i) {
    out << (i > 0 ? ", " : "") << "\\fB" << escaped(flag.names[i]) << "\\fR";
  }
  if (flag.takes_value()) {
    const std::string value = "\\fI" + escaped(flag.value_name()) + "\\fR";
    out << (flag.value_optional ? "[=" + value + "]" : " " + value);
  }
  out << "\n" << escaped(flag.full_help()) << "\n";
}

}  // namespace

std::string manual_page(const CommandUsage& command, const CommandUsage& program,
                        const std::string& version) {
  std::ostringstream out;
  const std::string page = page_name(command.name);
  out << ".TH " << capitals(escaped(page)) << " 1 \"\" \"" << version << "\" \"fer manual\"\n"
      << ".SH NAME\n"
      << escaped(page) << " \\- " << escaped(command.summary) << "\n"
      << ".SH SYNOPSIS\n.B " << escaped(command.synopsis()) << "\n";
  if (!command.notes.empty()) {
    out << ".SH DESCRIPTION\n";
    for (std::size_t i = 0; i < command.notes.size(); ++i)
      out << (i > 0 ? ".PP\n" : "") << escaped(command.notes[i]) << "\n";
  }
  if (!command.commands.empty()) {
    out << ".SH COMMANDS\n";
    for (const CommandUsage& below : command.commands) {
      out << ".TP\n\\fB" << escaped(below.name) << "\\fR\n" << escaped(below.summary) << "\n";
    }
  }
  if (!command.arguments.empty()) {
    out << ".SH ARGUMENTS\n";
    for (const FlagUsage& argument : command.arguments) write_flag(out, argument);
  }
  for (const auto& [group, flags] : command.groups()) {
    out << (group == command.flags[0].group ? ".SH OPTIONS" : ".SS " + escaped(group)) << "\n";
    for (const FlagUsage& flag : flags) write_flag(out, flag);
  }
  if (!command.examples.empty()) {
    out << ".SH EXAMPLES\n";
    for (const Example& example : command.examples) {
      out << ".TP\n\\fB" << escaped(example.command) << "\\fR\n"
          << (example.note.empty() ? "\\&" : escaped(example.note)) << "\n";
    }
  }
  out << ".SH EXIT STATUS\n"
         "0: done. 1: an error, or a check that failed. 2: a wrong command line or configuration. 130 and "
         "143: cut "
         "short by Ctrl\\-C or SIGTERM.\n"
         ".SH SEE ALSO\n";
  bool first = true;
  for_each_command(program, [&](const CommandUsage& other) {
    if (other.name == command.name) return;
    out << (first ? "" : ",\n") << "\\fB" << escaped(page_name(other.name)) << "\\fR(1)";
    first = false;
  });
  out << "\n";
  return out.str();
}

}  // namespace fer::app
