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

/// A folder for each run, so that TensorBoard shows them beside one another.
void write_tensorboard(const ReportOptions& options) {
  for (const std::string& run : options.runs) {
    const RunLog log = read_run(run);
    const std::filesystem::path path(run);
    const std::string name = (path.has_filename() ? path : path.parent_path()).filename().string();
    std::cout << "wrote " << write_events(log, std::filesystem::path(options.tensorboard) / name).string()
              << "\n";
  }
}

int run(const ReportOptions& options) {
  if (!options.tensorboard.empty()) {
    write_tensorboard(options);
    return 0;
  }
  const Device device = checked_device(options.device);
  std::vector<RunStudy> studies;
  studies.reserve(options.runs.size());
  for (const std::string& folder : options.runs) studies.push_back(study_run(folder, device, options.study));
  write_file_atomically(options.out, report_page(studies));
  std::cout << "wrote " << options.out << "\n";
  return 0;
}

}  // namespace

Command add_report(CLI::App& program) {
  CLI::App* command =
      program.add_subcommand("report", "One HTML page about a run, or about several compared");
  auto options = std::make_shared<ReportOptions>();
  command->add_option("runs", options->runs, "run folders written by fer train")->required();
  command->add_option("--out", options->out, "the page")->capture_default_str();
  command->add_option("--split", options->study.split, "train, validation, test, public_test or private_test")
      ->capture_default_str();
  command->add_option("--gallery", options->study.gallery, "faces in each gallery at most")
      ->check(CLI::Range(0, 200))
      ->capture_default_str();
  command->add_option("--tensorboard", options->tensorboard,
                      "instead of the page, write event files for TensorBoard into this folder");
  add_device_flag(*command, options->device);
  return [options] { return run(*options); };
}

}  // namespace fer::app
