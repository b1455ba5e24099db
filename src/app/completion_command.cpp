// fer completion and fer man: the files that `cmake --install` installs for shells and man.
#include <algorithm>
#include <filesystem>
#include <iostream>

#include "app/command_line.h"
#include "fer/formats/atomic_file.h"

namespace fer::app {
namespace {

void write_manuals(const CommandUsage& program, const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  require<IoError>(!error, "cannot create '", folder.string(), "': ", error.message());
  for_each_command(program, [&](const CommandUsage& command) {
    std::string name = command.name;
    std::replace(name.begin(), name.end(), ' ', '-');
    write_file_atomically(folder / (name + ".1"), manual_page(command, program, "fer " FER_VERSION));
  });
}

}  // namespace

Command add_completion(CLI::App& program) {
  CLI::App* command =
      program.add_subcommand("completion", "Print a script that completes fer's flags in a shell");
  auto shell = std::make_shared<std::string>();
  command->add_option("shell", *shell, "the shell to write for")
      ->required()
      ->check(one_of(completion_shells()));
  command->footer("cmake --install puts the scripts where the shells look for them.");
  add_examples(*command, {{"fer completion bash > ~/.local/share/bash-completion/completions/fer", ""},
                          {"fer completion zsh > ~/.zfunc/_fer", "where ~/.zfunc is in $fpath"},
                          {"fer completion fish > ~/.config/fish/completions/fer.fish", ""}});
  return [&program, shell] {
    std::cout << completion_script(usage_of(program), *shell);
    return 0;
  };
}

Command add_man(CLI::App& program) {
  CLI::App* command = program.add_subcommand("man", "Write the manual pages into a folder");
  command->group("");  // hidden: only cmake --install uses it
  auto folder = std::make_shared<std::string>();
  command->add_option("folder", *folder, "where fer.1, fer-train.1, ... go")->required()->type_name("DIR");
  add_examples(*command, {{"fer man share/man/man1", ""}});
  return [&program, folder] {
    write_manuals(usage_of(program), *folder);
    return 0;
  };
}

}  // namespace fer::app
