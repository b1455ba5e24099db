// fer gradcheck
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>

#include "app/commands.h"
#include "fer/autograd/gradcheck_cases.h"
#include "fer/models/gradcheck_cases.h"
#include "formats/json_document.h"

namespace fer::app {
namespace {

struct GradcheckCommandOptions {
  std::string device = "cpu", only;
  bool list = false, json = false;
  std::int64_t elements = GradcheckOptions{}.max_elements;
};

struct Check {
  std::string name;
  std::function<GradcheckResult(Device, const GradcheckOptions&)> run;
};

std::vector<Check> all_checks() {
  std::vector<Check> checks;
  for (const GradcheckCase& c : op_gradcheck_cases()) {
    checks.push_back(
        {c.name, [c](Device device, const GradcheckOptions& o) { return gradcheck(c, device, o); }});
  }
  for (const ModuleGradcheckCase& c : module_gradcheck_cases()) checks.push_back({c.name, c.run});
  return checks;
}

void print_line(const std::string& name, const GradcheckResult& result) {
  std::cout << (result.ok ? "ok    " : "WRONG ") << std::left << std::setw(48) << name << std::right
            << std::setw(6) << result.checked << " elements, worst error " << std::scientific
            << std::setprecision(1) << result.worst << std::defaultfloat << std::endl;
  if (!result.ok) std::cout << result.message << std::endl;
}

int run(const GradcheckCommandOptions& options) {
  const Device device = checked_device(options.device);
  GradcheckOptions check;
  check.max_elements = options.elements;
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  int ran = 0, failed = 0;
  for (const Check& c : all_checks()) {
    if (c.name.find(options.only) == std::string::npos) continue;
    ++ran;
    if (options.list) {
      if (options.json) results.push_back(c.name);
      if (!options.json) std::cout << c.name << "\n";
      continue;
    }
    const GradcheckResult result = c.run(device, check);
    failed += result.ok ? 0 : 1;
    if (options.json) {
      results.push_back(
          {{"case", c.name}, {"ok", result.ok}, {"checked", result.checked}, {"worst", result.worst}});
    } else {
      print_line(c.name, result);
    }
  }
  require<ConfigError>(ran > 0, "no gradient check has '", options.only, "' in its name; --list shows all");
  if (options.json) std::cout << json_document("gradient check", 1, {{"cases", results}}).dump(2) << "\n";
  if (!options.list && !options.json) {
    std::cout << ran - failed << " of " << ran << " gradients agree with central differences in float64 on "
              << device << "\n";
  }
  return failed > 0 ? 1 : 0;
}

}  // namespace

Command add_gradcheck(CLI::App& program) {
  CLI::App* command = program.add_subcommand("gradcheck", "Check every gradient against central differences");
  auto options = std::make_shared<GradcheckCommandOptions>();
  add_device_flag(*command, options->device);
  command->add_option("--only", options->only, "cases with this text in their name");
  command->add_option("--elements", options->elements, "elements checked per input; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_flag("--list", options->list, "list the cases and exit");
  command->add_flag("--json", options->json, "print the result as JSON");
  command->footer("Exit code 1 if a gradient is wrong.");
  add_examples(*command, {{"fer gradcheck", "every case, on the CPU"},
                          {"fer gradcheck --only conv2d --device simt",
                           "the CUDA kernels of one operation, run by the executor"}});
  return [options] { return run(*options); };
}

}  // namespace fer::app
