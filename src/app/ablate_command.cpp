// fer ablate
#include <csignal>
#include <iostream>

#include "app/commands.h"
#include "app/console.h"
#include "app/interrupt.h"
#include "app/processes.h"
#include "fer/study/ablation.h"

namespace fer::app {
namespace {

struct AblateOptions {
  std::string table, out, device = "cpu";
  std::vector<std::uint64_t> seeds{1, 2, 3};
  std::vector<std::string> variants, weights{"0.001", "0.01", "0.1"};
  bool json = false, csv = false, list = false, steps = false;
  ProcessOptions processes;
};

void print_list(const AblationTable& table) {
  for (std::size_t i = 0; i < table.variants.size(); ++i) {
    std::cout << table.variants[i].name << (i == table.reference ? "  (the reference)" : "") << "\n";
  }
}

int run(const AblateOptions& options, const SettingFlags& flags, Communicator& ranks) {
  RunConfig config = flags.configuration("");
  AblationOptions choices{"", options.weights};
  // In this table the transformer's weights are a row of their own, not the start of all rows.
  if (options.table == "depth") std::swap(choices.vit, config.training.vit);
  AblationTable table = ablation_table(options.table, choices);
  if (!options.variants.empty()) table = only_variants(std::move(table), options.variants);
  if (options.list) {
    print_list(table);
    return 0;
  }
  flags.check_classes(config);
  const Device device = checked_device(options.device);
  const std::string folder = options.out.empty() ? "runs/" + table.name : options.out;
  ConsoleObserver console(!options.steps);
  AblationResult result;
  try {
    const InterruptCatcher catcher;
    result = run_ablation(table, config, options.seeds, folder, device, console, ranks);
  } catch (const Interrupted& stop) {
    console.on_note(concat(stop.what(), "; the same command continues from there"));
    return exit_code_of(interrupted() != 0 ? interrupted() : SIGINT);  // another rank may have got the signal
  }
  if (ranks.rank() != 0) return 0;
  if (options.json) {
    std::cout << to_json(result);
  } else if (options.csv) {
    std::cout << to_csv(result);
  } else {
    std::cout << "\n"
              << to_markdown(result) << "\nwritten to " << folder << ": " << table.name
              << ".md, .csv, .json\n";
  }
  return 0;
}

}  // namespace

Command add_ablate(CLI::App& program) {
  CLI::App* command =
      program.add_subcommand("ablate", "A table of the paper: one thing changed, over several seeds");
  auto options = std::make_shared<AblateOptions>();
  command
      ->add_option("table", options->table,
                   "modules (Table 1), depth (Table 2), loss (Table 3) or heatmap (Table 4)")
      ->check(known_words(ablation_names()))
      ->required();
  command
      ->add_option("--out", options->out,
                   "folder of the table; its finished cells are not run again [runs/TABLE]")
      ->type_name("DIR");
  command->add_option("--seeds", options->seeds, "seeds; every row runs once per seed")
      ->delimiter(',')
      ->check(whole_number())
      ->capture_default_str();
  command
      ->add_option("--variants", options->variants, "only these rows and the reference, for example none,all")
      ->delimiter(',');
  command->add_option("--weights", options->weights, "loss: values of lambda (Eq. 11) for NeAA")
      ->delimiter(',')
      ->capture_default_str();
  command->add_flag("--list", options->list, "list the rows and exit");
  command->add_flag("--steps", options->steps, "show the steps of each run");
  command->add_flag("--json", options->json, "print the result as JSON");
  command->add_flag("--csv", options->csv, "print one row per run as CSV")->excludes("--json");
  add_device_flag(*command, options->device);
  add_process_flags(*command, options->processes);
  add_gpus_flag(*command, options->processes.gpus, options->device);
  auto flags = std::make_shared<SettingFlags>(*command);
  command->footer(
      "Repeat the command to continue an interrupted table; seeds and rows can be added later, by\n"
      "repeating it with more.");
  add_examples(*command,
               {{"fer ablate modules --seeds 1,2,3", "Table 1, three runs per row"},
                {"fer ablate loss --weights 0.001,0.01 --csv", "Table 3 with two values of lambda, as CSV"},
                {"fer ablate depth --list", "the rows of Table 2"}});
  return [options, flags] {
    return run_in_processes(options->processes,
                            [&](Communicator& ranks) { return run(*options, *flags, ranks); });
  };
}

}  // namespace fer::app
