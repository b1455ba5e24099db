#include "app/usage.h"

#include <algorithm>
#include <sstream>

#include "fer/error.h"

namespace fer::app {
namespace {

std::string trimmed(const std::string& text) {
  const std::size_t first = text.find_first_not_of(' ');
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(' ') - first + 1);
}

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, at);) parts.push_back(part);
  return parts;
}

/// Parses CLI11's text for the values of an option, made from its type and checks: "TEXT:{native,library}",
/// "INT:INT in [1 - 4096]", "UINT:NONNEGATIVE", "TEXT:FILE".
void describe_values(const std::string& type_name, FlagUsage& flag) {
  const std::vector<std::string> parts = split(type_name, ':');
  flag.type = parts.empty() ? "" : parts[0];
  for (const std::string& part : parts) {
    const std::size_t range = part.find(" in [");
    if (part.front() == '{') {
      flag.choices = split(part.substr(1, part.find('}') - 1), ',');
    } else if (range != std::string::npos) {
      const std::string limits = part.substr(range + 5, part.find(']') - range - 5);
      const std::size_t dash = limits.find(" - ");
      flag.range = limits.substr(0, dash) + " to " + limits.substr(dash + 3);
      if (flag.type == part) flag.type = part.substr(0, range);
    } else if (part == "NONNEGATIVE") {
      flag.range = "0 or more";
    } else if (part == "FILE" || part == "PATH" || part == "PATH(existing)") {
      flag.type = "PATH";
    } else if (part == "DIR") {
      flag.type = "DIR";
    }
  }
}

FlagUsage flag_usage(const CLI::Option& option) {
  FlagUsage flag;
  flag.argument = option.get_positional();
  if (flag.argument) {
    flag.names = {option.get_name(/*positional=*/true)};
  } else {
    for (const std::string& name : option.get_snames()) flag.names.push_back("-" + name);
    for (const std::string& name : option.get_lnames()) flag.names.push_back("--" + name);
  }
  flag.group = option.get_group();
  flag.help = option.get_description();
  flag.required = option.get_required();
  if (option.get_items_expected_max() == 0) return flag;
  describe_values(option.get_type_name(), flag);
  if (flag.type.empty()) flag.type = "TEXT";
  flag.repeated = option.get_items_expected_max() > 1;
  flag.value_optional = !flag.argument && option.get_items_expected_min() == 0;
  flag.default_value = option.get_default_str();
  return flag;
}

/// A footer consists of paragraphs. In the one that begins with "Examples:", each line is an example,
/// optionally followed by two spaces and a note.
void read_footer(const std::string& footer, CommandUsage& command) {
  std::vector<std::string> paragraph;
  const auto end_paragraph = [&] {
    if (!paragraph.empty() && paragraph[0] == "Examples:") {
      for (std::size_t i = 1; i < paragraph.size(); ++i) {
        const std::string line = trimmed(paragraph[i]);
        const std::size_t gap = line.find("  ");
        command.examples.push_back(
            {line.substr(0, gap), gap == std::string::npos ? "" : trimmed(line.substr(gap))});
      }
    } else if (!paragraph.empty()) {
      std::string text;
      for (const std::string& line : paragraph) text += (text.empty() ? "" : " ") + trimmed(line);
      command.notes.push_back(text);
    }
    paragraph.clear();
  };
  for (const std::string& line : split(footer, '\n')) {
    if (line == "Examples:" || line.empty()) end_paragraph();
    if (!line.empty()) paragraph.push_back(line);
  }
  end_paragraph();
}

}  // namespace

std::string FlagUsage::value_name() const {
  std::string words;
  for (const std::string& word : choices) words += (words.empty() ? "{" : ",") + word;
  const std::string one = choices.empty() || words.size() > 30 ? type : words + "}";
  return repeated && !argument ? one + "..." : one;
}

std::string FlagUsage::full_help() const {
  std::string more = default_value;
  if (!range.empty()) more += (more.empty() ? "" : "; ") + range;
  if (required && !argument) more += more.empty() ? "required" : "; required";
  return more.empty() ? help : help + " [" + more + "]";
}

std::string CommandUsage::synopsis() const {
  std::string text = name;
  if (!flags.empty()) text += " [FLAGS]";
  if (!commands.empty()) text += " COMMAND";
  for (const FlagUsage& argument : arguments) {
    const std::string word = argument.names[0] + (argument.repeated ? "..." : "");
    text += argument.required ? " " + word : " [" + word + "]";
  }
  return text;
}

std::vector<std::pair<std::string, std::vector<FlagUsage>>> CommandUsage::groups() const {
  std::vector<std::pair<std::string, std::vector<FlagUsage>>> groups;
  for (const FlagUsage& flag : flags) {
    const auto known = std::find_if(groups.begin(), groups.end(),
                                    [&](const auto& group) { return group.first == flag.group; });
    (known == groups.end() ? groups.emplace_back(flag.group, std::vector<FlagUsage>()) : *known)
        .second.push_back(flag);
  }
  return groups;
}

std::string full_name(const CLI::App& command) {
  const CLI::App* parent = command.get_parent();
  return parent != nullptr ? full_name(*parent) + " " + command.get_name() : command.get_name();
}

CommandUsage usage_of(const CLI::App& command) {
  CommandUsage usage;
  usage.name = full_name(command);
  usage.summary = command.get_description();
  for (const CLI::Option* option : command.get_options()) {
    FlagUsage flag = flag_usage(*option);
    if (flag.group.empty()) continue;  // hidden
    (flag.argument ? usage.arguments : usage.flags).push_back(std::move(flag));
  }
  for (const CLI::App* below : command.get_subcommands(nullptr)) {
    if (!below->get_group().empty()) usage.commands.push_back(usage_of(*below));
  }
  read_footer(command.get_footer(), usage);
  return usage;
}

}  // namespace fer::app
