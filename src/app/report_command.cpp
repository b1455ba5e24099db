// fer report
#include <iostream>

#include "app/commands.h"
#include "fer/formats/atomic_file.h"
#include "fer/report/page.h"
#include "fer/report/tensorboard.h"

namespace fer::app {
namespace {

struct ReportOptions {
  std::vector<std::string> runs;
  std::string out = "report.html", tensorboard, device = "cpu";
  StudyOptions study;
};

/// Writes one folder per run, so that TensorBoard shows them side by side.
void write_tensorboard(const ReportOptions& options) {
  const std::vector<std::string> names = distinct_names(options.runs);
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::filesystem::path folder = std::filesystem::path(options.tensorboard) / names[i];
    const std::filesystem::path written = write_events(read_run(options.runs[i]), folder);
    std::cout << "wrote " << written.string() << "\n";
  }
}

int run(const ReportOptions& options) {
  if (!options.tensorboard.empty()) {
    write_tensorboard(options);
    return 0;
  }
  require_writable_file(options.out);
  const Device device = checked_device(options.device);
  const std::vector<std::string> names = distinct_names(options.runs);
  std::vector<RunStudy> studies;
  studies.reserve(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    studies.push_back(study_run(options.runs[i], device, options.study));
    studies.back().name = names[i];
    if (!studies.back().note.empty()) std::cerr << studies.back().note << std::endl;
  }
  write_file_atomically(options.out, report_page(studies));
  std::cout << "wrote " << options.out << "\n";
  return 0;
}

}  // namespace

Command add_report(CLI::App& program) {
  CLI::App* command =
      program.add_subcommand("report", "Write one HTML page about a run, or one that compares several");
  auto options = std::make_shared<ReportOptions>();
  command->add_option("runs", options->runs, "run folders written by fer train")
      ->type_name("DIR")
      ->required();
  command->add_option("--out", options->out, "the page")->type_name("PATH")->capture_default_str();
  command->add_option("--split", options->study.split, "train, validation, test, public_test or private_test")
      ->check(known_words(split_names()))
      ->capture_default_str();
  command->add_option("--gallery", options->study.gallery, "maximum number of faces in each gallery")
      ->check(CLI::Range(0, 200))
      ->capture_default_str();
  command
      ->add_option("--tensorboard", options->tensorboard,
                   "instead of the page, write event files for TensorBoard into this folder")
      ->type_name("DIR");
  add_device_flag(*command, options->device);
  add_examples(*command, {{"fer report runs/mine", "one run"},
                          {"fer report runs/mine runs/other --out compared.html", "two runs compared"},
                          {"fer report runs/mine --tensorboard events", "event files instead of a page"}});
  return [options] { return run(*options); };
}

}  // namespace fer::app
