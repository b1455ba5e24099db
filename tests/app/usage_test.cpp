// The command line: help, misspelt names, completion and manual pages, for the whole tree of commands.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <functional>

#include "app/command_line.h"
#include "app/program.h"

using app_test::Folder;
using app_test::Result;
using app_test::run;
using fer::app::CommandLine;
using fer::app::CommandUsage;
using fer::app::Example;
using fer::app::FlagUsage;

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::vector<std::string> words_of(const std::string& command) {
  std::istringstream in(command);
  std::vector<std::string> words;
  for (std::string word; in >> word && word != ">";) words.push_back(word);
  return words;
}

void for_all_commands(const std::function<void(const CommandUsage&)>& visit) {
  const CommandLine line;
  for_each_command(line.usage(), visit);
}

/// Whether a tool is installed; prints that its test is skipped if not.
bool have(const std::string& tool) {
  if (std::system(("command -v " + tool + " >/dev/null 2>&1").c_str()) == 0) return true;
  MESSAGE("skipped: no ", tool, " on this machine");
  return false;
}

/// The output of a shell command, including its messages, and its exit code.
Result shell(const std::string& command) {
  Folder folder("shell");
  const int status = std::system(("(" + command + ") >" + (folder / "out") + " 2>&1").c_str());
  return {WEXITSTATUS(status), app_test::read_all(folder / "out"), ""};
}

std::string write_script(const Folder& folder, const std::string& shell_name) {
  const Result script = run({"completion", shell_name});
  CHECK(script.code == 0);
  const std::string path = folder / (shell_name + "_script");
  std::ofstream(path) << script.out;
  return path;
}

std::vector<std::string> sorted_lines(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  std::sort(lines.begin(), lines.end());
  return lines;
}

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("every command has a summary and examples whose flags it takes, every flag a type and a help") {
  int commands = 0;
  for_all_commands([&](const CommandUsage& command) {
    CAPTURE(command.name);
    ++commands;
    CHECK_FALSE(command.summary.empty());
    CHECK_FALSE(command.examples.empty());
    for (const Example& example : command.examples) {
      CAPTURE(example.command);
      std::vector<std::string> words = words_of(example.command);
      REQUIRE(words.at(0) == "fer");
      std::reverse(words.begin(), words.end());
      words.pop_back();
      CommandLine line;
      CHECK_NOTHROW(line.app().parse(words));
    }
    std::vector<FlagUsage> flags = command.flags;
    flags.insert(flags.end(), command.arguments.begin(), command.arguments.end());
    for (const FlagUsage& flag : flags) {
      CAPTURE(flag.names[0]);
      CHECK_FALSE(flag.help.empty());
      const Lines types{"", "INT", "UINT", "FLOAT", "BOOL", "LIST", "PATH", "DIR", "TEXT"};
      CHECK(std::find(types.begin(), types.end(), flag.type) != types.end());
    }
  });
  CHECK(commands >= 20);
}

TEST_CASE("--help shows types, limits, defaults and examples; fer help is the same") {
  const Result help = run({"info", "--help"});
  CHECK(help.code == 0);
  CHECK(contains(help.out, "Usage: fer info [FLAGS]\n"));
  CHECK(contains(help.out, "  --levels INT                  levels of modules shown [2; 0 or more]\n"));
  CHECK(contains(
      help.out,
      "Examples:\n  # the paper's network, beside the paper's own counts\n  fer info --model paper\n"));
  const Result train = run({"train", "--help"});
  CHECK(contains(train.out, "  --optimizer {adam,adamw,sgd}  adam, adamw or sgd [adam]\n"));
  CHECK(contains(train.out, "  --lr FLOAT                    highest learning rate [0.001]\n"));
  CHECK(contains(train.out, "  --data PATH "));
  CHECK(run({"help", "info"}).out == help.out);
  CHECK(run({"help", "figure", "cam"}).out == run({"figure", "cam", "--help"}).out);
  CHECK(run({"help"}).out == run({"--help"}).out);
  const Result all = run({"--help-all"});
  for_all_commands(
      [&](const CommandUsage& command) { CHECK(contains(all.out, "Usage: " + command.synopsis() + "\n")); });
}

TEST_CASE("near misses of commands, flags and words are named, with exit code 2") {
  const auto error = [](const std::vector<std::string>& words) {
    const Result result = run(words);
    CHECK(result.code == 2);
    CHECK(result.out == "");
    return result.err;
  };
  CHECK(error({"train", "--lear", "3e-4"}) == "fer train: unknown flag --lear; did you mean --lr?\n");
  CHECK(error({"train", "--bath-size=3"}) ==
        "fer train: unknown flag --bath-size; did you mean --batch-size?\n");
  CHECK(error({"train", "-epochs", "3"}) == "fer train: unknown flag -epochs; did you mean --epochs?\n");
  CHECK(error({"train", "--qqqqqqqq"}) ==
        "fer train: unknown flag --qqqqqqqq; fer train --help lists them\n");
  CHECK(error({"figure", "cam", "--weihgts", "w", "--out", "x.svg"}) ==
        "fer figure cam: unknown flag --weihgts; did you mean --weights?\n");
  CHECK(error({"--versoin"}) == "fer: unknown flag --versoin; did you mean --version?\n");
  CHECK(error({"train", "--epochz", "2", "--quite"}) ==
        "fer train: unknown flag --epochz; did you mean --epochs?\n"
        "fer train: unknown flag --quite; did you mean --quiet?\n");
  CHECK(error({"info", "small"}) ==
        "fer info: unexpected argument 'small'; fer info --help says what it takes\n");
  CHECK(error({"help", "trian"}) == "fer: unknown command 'trian'; did you mean 'train'?\n");
  CHECK(error({"help", "figure", "cma"}) == "fer figure: unknown figure 'cma'; did you mean 'cam'?\n");
  CHECK(error({"help", "train", "more"}) == "fer train: has no subcommands; for help: fer help train\n");
  CHECK(error({"bench", "modle"}) ==
        "fer bench: what: unknown word 'modle'; known are ops, model, train, scaling; did you mean 'model'?; "
        "fer bench --help says more\n");
  CHECK(error({"completion", "bsh"}) ==
        "fer completion: shell: unknown word 'bsh'; known are bash, zsh, fish; did you mean 'bash'?; fer "
        "completion "
        "--help says more\n");
  CHECK(error({"info", "--preset", "smal"}) == "fer: unknown model 'smal'; known are " + []() {
    std::string names;
    for (const std::string& name : fer::model_names()) names += (names.empty() ? "" : ", ") + name;
    return names;
  }() + "; did you mean 'small'?\n");
}

TEST_CASE("every flag is suggested for a near miss") {
  for_all_commands([](const CommandUsage& command) {
    CAPTURE(command.name);
    for (const FlagUsage& flag : command.flags) {
      const std::string name = flag.names.back();
      if (!name.starts_with("--") || name.size() < 6) continue;
      std::vector<std::string> words = words_of(command.name);
      words.push_back(name + "q");
      std::reverse(words.begin(), words.end());
      words.pop_back();
      CommandLine line;
      CHECK_THROWS_AS(line.app().parse(words), CLI::ParseError);
      CHECK(fer::app::unknown_words(line.app())
                .starts_with(command.name + ": unknown flag " + name + "q; did you mean --"));
    }
  });
}

TEST_CASE("bash completes commands, flags, words and files") {
  if (!have("bash")) return;
  Folder folder("bash");
  const std::string script = write_script(folder, "bash");
  std::ofstream(folder / "a picture.png") << "";
  std::ofstream(folder / "other.png") << "";
  std::filesystem::create_directory(folder / "a folder");
  // As readline calls it: '=' is a word of its own.
  const auto complete = [&](const std::string& words) {
    const std::string count = "${#COMP_WORDS[@]}";
    const Result result =
        shell("cd '" + folder.path.string() + "' && bash --norc -c 'source " + script + "; COMP_WORDS=(" +
              words + "); COMP_CWORD=$((" + count + "-1)); _fer; printf \"%s\\n\" \"${COMPREPLY[@]}\"'");
    CHECK(result.code == 0);
    Lines lines = sorted_lines(result.out);
    lines.erase(std::remove(lines.begin(), lines.end(), ""), lines.end());
    return lines;
  };
  CHECK(complete("fer tr") == Lines{"train"});
  CHECK(complete("fer figure ca") == Lines{"cam"});
  CHECK(complete("fer help figu") == Lines{"figure"});
  CHECK(complete("fer train --epo") == Lines{"--epochs"});
  CHECK(complete("fer train --device \"\"") == Lines{"cpu", "cuda", "simt"});
  CHECK(complete("fer train --device = s") == Lines{"simt"});
  CHECK(complete("fer train --device =") == Lines{"cpu", "cuda", "simt"});
  CHECK(complete("fer train --dataset rafd") == Lines{"rafdb"});
  CHECK(complete("fer train --lr \"\"") == Lines{});
  CHECK(complete("fer predict a") == Lines{"a folder", "a picture.png"});
  CHECK(complete("fer train --run-dir \"\"") == Lines{"a folder"});
  CHECK(complete("fer predict other.png --over") == Lines{"--overlay"});
  CHECK(complete("fer figure cam --weights oth") == Lines{"other.png"});
  CHECK(complete("fer bench sc") == Lines{"scaling"});
  CHECK(complete("fer train --json --qui") == Lines{"--quiet"});
  // The whole tree, not only the cases above.
  for_all_commands([&](const CommandUsage& command) {
    CAPTURE(command.name);
    Lines flags;
    for (const FlagUsage& flag : command.flags)
      flags.insert(flags.end(), flag.names.begin(), flag.names.end());
    std::sort(flags.begin(), flags.end());
    CHECK(complete(command.name + " -") == flags);
  });
}

TEST_CASE("fish completes the same") {
  if (!have("fish")) return;
  Folder folder("fish");
  const std::string script = write_script(folder, "fish");
  std::ofstream(folder / "picture.png") << "";
  const auto complete = [&](const std::string& line) {
    const Result result =
        shell("cd '" + folder.path.string() + "' && HOME=" + folder.path.string() +
              " fish --no-config -c 'source " + script + "; complete -C \"" + line + "\" | cut -f1'");
    CHECK(result.code == 0);
    return sorted_lines(result.out);
  };
  CHECK(complete("fer tr") == Lines{"train"});
  CHECK(complete("fer figure ca") == Lines{"cam"});
  CHECK(complete("fer train --epo") == Lines{"--epochs"});
  CHECK(complete("fer train --device s") == Lines{"simt"});
  CHECK(complete("fer train --dataset=rafd") == Lines{"--dataset=rafdb"});
  CHECK(complete("fer predict pic") == Lines{"picture.png"});
  CHECK(complete("fer train --lr 1") == Lines{});
}

TEST_CASE("zsh completes the same") {
  if (!have("zsh")) return;
  Folder folder("zsh");
  std::filesystem::rename(write_script(folder, "zsh"), folder.path / "_fer");
  CHECK(shell("zsh -n " + (folder / "_fer")).code == 0);
  // Presses a key in a zsh on its own terminal, and prints its command line afterwards.
  std::ofstream(folder / "press") << R"(
zmodload zsh/zpty
zpty shell 'zsh -f -i'
zpty -w shell "fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D; unsetopt automenu; bindkey '^I' complete-word"
zpty -w shell 'show() { print -r -- "<${BUFFER}>"; zle .kill-whole-line; zle .accept-line; }; zle -N show; bindkey "^X" show'
zpty -w shell 'PS1=; print READY''NOW'
while zpty -r shell line; do [[ $line == *READYNOW* ]] && break; done
zpty -w -n shell "$2"$'\t'
sleep 1
zpty -w -n shell $'\x18'
while zpty -r shell line; do [[ $line == *'<fer'*'>'* ]] && break; done
print -r -- "${${line##*<}%%>*}"
zpty -d shell
)";
  const auto complete = [&](const std::string& line) {
    const Result result =
        shell("timeout 60 zsh -f " + (folder / "press") + " " + folder.path.string() + " '" + line + "'");
    return result.out;
  };
  CHECK(complete("fer tr") == "fer train \n");
  CHECK(complete("fer figure ca") == "fer figure cam \n");
  CHECK(complete("fer train --epo") == "fer train --epochs=\n");
  CHECK(complete("fer train --device si") == "fer train --device simt \n");
}

TEST_CASE("one manual page per command, without faults that man or mandoc can find") {
  Folder folder("man");
  CHECK(run({"man", folder.path.string()}).code == 0);
  int pages = 0;
  for_all_commands([&](const CommandUsage& command) {
    std::string name = command.name;
    std::replace(name.begin(), name.end(), ' ', '-');
    CAPTURE(name);
    ++pages;
    const std::string path = folder / (name + ".1"), text = app_test::read_all(path);
    CHECK(contains(text, ".SH EXAMPLES\n"));
    for (const FlagUsage& flag : command.flags) {
      std::string escaped;
      for (const char c : flag.names[0]) escaped += c == '-' ? "\\-" : std::string(1, c);
      CHECK(contains(text, "\\fB" + escaped + "\\fR"));
    }
  });
  CHECK(pages == static_cast<int>(std::distance(std::filesystem::directory_iterator(folder.path), {})));
  if (have("mandoc")) {
    const Result lint =
        shell("mandoc -T lint -W warning " + folder.path.string() + "/*.1 | grep -v 'missing date'");
    CHECK(lint.out == "");
  }
  if (have("man")) {
    const Result page =
        shell("MANWIDTH=100 LC_ALL=C.UTF-8 man --warnings -l " + (folder / "fer-train.1") + " | cat");
    CHECK_FALSE(contains(page.out, "warning"));
    CHECK(contains(page.out, "--batch-size INT"));
    CHECK(contains(page.out, "fer train --config run.json --lr 3e-4"));
  }
}

TEST_CASE("fer man names a file that it cannot write") {
  const Result result = run({"man", "/proc/nowhere"});
  CHECK(result.code == 1);
  CHECK(contains(result.err, "cannot create '/proc/nowhere'"));
}
