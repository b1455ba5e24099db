// Completion scripts for bash, zsh and fish. Each is a table of commands, their flags and the values of
// these, so completing does not run the program.
#include <algorithm>
#include <sstream>

#include "app/usage.h"
#include "fer/error.h"
#include "fer/nearest.h"

namespace fer::app {
namespace {

bool is_path(const FlagUsage& flag) {
  return flag.type == "PATH";
}
bool is_folder(const FlagUsage& flag) {
  return flag.type == "DIR";
}

/// The possible values: the flag's choices, or the two values of a switch with an optional value.
std::vector<std::string> values_of(const FlagUsage& flag) {
  return flag.choices.empty() && flag.type == "BOOL" ? std::vector<std::string>{"true", "false"}
                                                     : flag.choices;
}

std::string joined(const std::vector<std::string>& words, const char* between = " ") {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : between) + word;
  return text;
}

/// Escapes text for use inside single quotes; `quote` replaces each single quote.
std::string quoted(const std::string& text, const char* quote) {
  std::string out;
  for (const char c : text) out += c == '\'' ? std::string(quote) : std::string(1, c);
  return "'" + out + "'";
}

std::vector<std::string> names_below(const CommandUsage& command) {
  std::vector<std::string> names;
  for (const CommandUsage& below : command.commands)
    names.push_back(below.name.substr(command.name.size() + 1));
  return names;
}

std::vector<std::string> all_commands_below(const CommandUsage& program) {
  std::vector<std::string> names;
  for_each_command(program, [&](const CommandUsage& command) {
    if (command.name != program.name) names.push_back(command.name);
  });
  return names;
}

// --- bash ---------------------------------------------------------------------------------------------

std::string bash_kind(const FlagUsage& flag) {
  if (!values_of(flag).empty()) return "words='" + joined(values_of(flag)) + "'";
  return is_path(flag) ? "kind=file" : is_folder(flag) ? "kind=folder" : "kind=other";
}

void write_bash_command(std::ostream& out, const CommandUsage& command) {
  std::vector<std::string> flags;
  for (const FlagUsage& flag : command.flags) flags.insert(flags.end(), flag.names.begin(), flag.names.end());
  out << "    '" << command.name << "')\n      flags='" << joined(flags) << "'\n";
  if (!command.commands.empty()) out << "      words='" << joined(names_below(command)) << "'\n";
  // All further arguments are of the first one's kind.
  if (!command.arguments.empty()) out << "      " << bash_kind(command.arguments[0]) << "\n";
  out << "      ;;\n";
}

std::string bash_script(const CommandUsage& program) {
  std::ostringstream out;
  out << R"(# bash completion for fer, made by `fer completion bash`.
_fer() {
  local cur=${COMP_WORDS[COMP_CWORD]} flag='' command=fer flags='' words='' kind='' i
  COMPREPLY=()
  if [[ $cur == '=' ]]; then  # --flag=value comes as three words
    flag=${COMP_WORDS[COMP_CWORD-1]} cur=''
  elif ((COMP_CWORD > 2)) && [[ ${COMP_WORDS[COMP_CWORD-1]} == '=' ]]; then
    flag=${COMP_WORDS[COMP_CWORD-2]}
  elif ((COMP_CWORD > 1)); then
    flag=${COMP_WORDS[COMP_CWORD-1]}
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$command ${COMP_WORDS[i]}" in
)";
  out << "      '" << joined(all_commands_below(program), "'|'")
      << "') command=\"$command ${COMP_WORDS[i]}\" ;;\n"
      << R"(    esac
  done
  case "$command $flag" in
)";
  for_each_command(program, [&](const CommandUsage& command) {
    for (const FlagUsage& flag : command.flags) {
      if (!flag.takes_value()) continue;
      std::vector<std::string> patterns;
      for (const std::string& name : flag.names) patterns.push_back("'" + command.name + " " + name + "'");
      out << "    " << joined(patterns, "|") << ") " << bash_kind(flag) << " ;;\n";
    }
  });
  out << R"(  esac
  if [[ -z $words$kind ]]; then  # not the value of a flag
    case "$command" in
)";
  for_each_command(program, [&](const CommandUsage& command) { write_bash_command(out, command); });
  out << R"(    esac
    if [[ $cur == -* || -z $words$kind ]]; then
      words=$flags kind=''
    fi
  fi
  case $kind in
    file) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    folder) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
    other) ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur") ;;
  esac
}
complete -F _fer fer
)";
  return out.str();
}

// --- zsh ----------------------------------------------------------------------------------------------

std::string zsh_escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_action(const FlagUsage& flag) {
  if (!values_of(flag).empty()) return "(" + joined(values_of(flag)) + ")";
  return is_path(flag) ? "_files" : is_folder(flag) ? "_files -/" : " ";
}

std::string zsh_function(const CommandUsage& command) {
  std::string name = "_" + command.name;
  std::replace(name.begin(), name.end(), ' ', '_');
  return name;
}

void write_zsh_command(std::ostream& out, const CommandUsage& command) {
  out << zsh_function(command)
      << "() {\n  local curcontext=\"$curcontext\" state\n  local -a line\n  _arguments -C";
  for (const FlagUsage& flag : command.flags) {
    for (const std::string& name : flag.names) {
      const bool is_long = name.starts_with("--");
      std::string spec = flag.repeated ? "*" + name : name;
      if (flag.takes_value() && is_long) spec += "=";
      spec += "[" + zsh_escaped(flag.help) + "]";
      if (flag.takes_value())
        spec += (flag.value_optional ? "::" : ":") + zsh_escaped(flag.type) + ":" + zsh_action(flag);
      out << " \\\n    " << quoted(spec, "'\\''");
    }
  }
  for (std::size_t i = 0; i < command.arguments.size(); ++i) {
    const FlagUsage& argument = command.arguments[i];
    const std::string place = argument.repeated ? "*" : std::to_string(i + 1);
    out << " \\\n    "
        << quoted(place + ":" + zsh_escaped(argument.names[0]) + ":" + zsh_action(argument), "'\\''");
  }
  if (!command.commands.empty()) {
    out << " \\\n    '1: :->command' \\\n    '*:: :->rest'\n  case $state in\n    command)\n      local -a "
           "names\n"
           "      names=(\n";
    for (const CommandUsage& below : command.commands) {
      const std::string name = below.name.substr(command.name.size() + 1);
      out << "        " << quoted(name + ":" + zsh_escaped(below.summary), "'\\''") << "\n";
    }
    out << "      )\n      _describe command names ;;\n    rest)\n      case $line[1] in\n";
    for (const CommandUsage& below : command.commands) {
      out << "        " << below.name.substr(command.name.size() + 1) << ") " << zsh_function(below)
          << " ;;\n";
    }
    out << "      esac ;;\n  esac";
  }
  out << "\n}\n";
}

std::string zsh_script(const CommandUsage& program) {
  std::ostringstream out;
  out << "#compdef fer\n# zsh completion for fer, made by `fer completion zsh`.\n";
  for_each_command(program, [&](const CommandUsage& command) { write_zsh_command(out, command); });
  out << "if [[ $funcstack[1] == _fer ]]; then _fer \"$@\"; else compdef _fer fer; fi\n";
  return out.str();
}

// --- fish ---------------------------------------------------------------------------------------------

std::string fish_text(std::string text) {
  for (std::size_t at = 0; (at = text.find('\\', at)) != std::string::npos; at += 2) text.insert(at, "\\");
  return quoted(text, "\\'");
}

std::string fish_values(const FlagUsage& flag) {
  if (!values_of(flag).empty()) return " -x -a " + fish_text(joined(values_of(flag)));
  return is_path(flag) ? " -r -F" : is_folder(flag) ? " -x -a '(__fish_complete_directories)'" : " -x";
}

void write_fish_command(std::ostream& out, const CommandUsage& command) {
  const std::string start = "complete -c fer -n " + fish_text("__fer_at " + command.name);
  for (const CommandUsage& below : command.commands) {
    out << start << " -a " << below.name.substr(command.name.size() + 1) << " -d " << fish_text(below.summary)
        << "\n";
  }
  for (const FlagUsage& flag : command.flags) {
    out << start;
    for (const std::string& name : flag.names)
      out << (name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1));
    if (flag.takes_value() && !flag.value_optional) out << fish_values(flag);
    out << " -d " << fish_text(flag.help) << "\n";
  }
  for (const FlagUsage& argument : command.arguments) {
    if (is_path(argument)) {
      out << start << " -F\n";
    } else if (is_folder(argument) || !values_of(argument).empty()) {
      out << start << fish_values(argument) << "\n";
    }
  }
}

std::string fish_script(const CommandUsage& program) {
  std::ostringstream out;
  out << "# fish completion for fer, made by `fer completion fish`.\n"
         "function __fer_at --description 'whether this command is being typed'\n"
         "    set -l at fer\n"
         "    for word in (commandline -opc)[2..]\n"
         "        if contains -- \"$at $word\" '"
      << joined(all_commands_below(program), "' '")
      << "'\n"
         "            set at \"$at $word\"\n"
         "        end\n"
         "    end\n"
         "    test \"$at\" = \"$argv\"\n"
         "end\n"
         "complete -c fer -f\n";
  for_each_command(program, [&](const CommandUsage& command) { write_fish_command(out, command); });
  return out.str();
}

}  // namespace

const std::vector<std::string>& completion_shells() {
  static const std::vector<std::string> shells{"bash", "zsh", "fish"};
  return shells;
}

std::string completion_script(const CommandUsage& program, const std::string& shell) {
  if (shell == "bash") return bash_script(program);
  if (shell == "zsh") return zsh_script(program);
  if (shell == "fish") return fish_script(program);
  throw ConfigError(unknown_name("shell", shell, completion_shells()));
}

}  // namespace fer::app
