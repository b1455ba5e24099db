#include "app/gpus.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <sstream>

#include "fer/error.h"
#include "fer/tensor/device_runtime.h"

namespace fer::app {
namespace {

std::string number_of(std::size_t count, const std::string& what) {
  return concat(count, " ", what, count == 1 ? "" : what == "process" ? "es" : "s");
}

int gpu_number(const std::string& word, const std::string& text) {
  const bool valid =
      !word.empty() && word.size() < 5 && word.find_first_not_of("0123456789") == std::string::npos;
  require<ConfigError>(valid, "--gpus is '", text, "'; it must be all, how many (2), or which (0,2)");
  return std::stoi(word);
}

/// Those of this machine that the flags leave to this process.
std::vector<int> numbers_of(const GpuOptions& options, int available) {
  const std::size_t colon = options.device->find(':');
  if (colon == std::string::npos)
    return parse_gpus(options.wanted.empty() ? "all" : options.wanted, available);
  select_device(*options.device);  // reports what is no number
  const int number = std::stoi(options.device->substr(colon + 1));
  require<ConfigError>(number < available, "--device ", *options.device, ": this machine has ",
                       number_of(static_cast<std::size_t>(available), "GPU"), ", counted from 0");
  return {number};
}

}  // namespace

void add_gpus_flag(CLI::App& command, GpuOptions& options, std::string& device) {
  options.device = &device;
  options.device_flag = command.get_option("--device");
  command
      .add_option(
          "--gpus", options.wanted,
          "start a process for each of these GPUs of this machine: all, how many (2), or which (0,2); "
          "implies --device cuda")
      ->type_name("LIST")
      ->excludes(command.get_option("--processes"));
}

Device chosen_device(const GpuOptions& options) {
  if (options.device == nullptr) return Device::cpu;
  if (!options.wanted.empty()) {
    require<ConfigError>(options.device_flag->count() == 0 || *options.device == "cuda",
                         "--gpus is for the device cuda; leave out --device ", *options.device);
    *options.device = "cuda";
  }
  return parse_device(options.device->substr(0, options.device->find(':')));
}

int processes_for_gpus(const GpuOptions& options) {
  const auto count = static_cast<int>(numbers_of(options, static_cast<int>(gpu_names().size())).size());
  std::string reason;
  require<ConfigError>(count == 1 || !nccl_library_name(&reason).empty(), "--gpus: ", reason);
  return count;
}

void take_gpu(Communicator& ranks, const GpuOptions& options) {
  if (chosen_device(options) != Device::cuda) return;
  if (options.wanted.empty() && (ranks.size() == 1 || std::getenv("FER_CUDA_DEVICE"))) return;
  const std::vector<std::string> names = gpu_names();
  const std::vector<int> numbers = numbers_of(options, static_cast<int>(names.size()));
  std::string mine;
  for (const int number : numbers) mine += names[static_cast<std::size_t>(number)] + "\n";
  std::vector<std::string> hosts;
  std::vector<std::vector<std::string>> gpus;
  for (const std::string& text : ranks.share_all(mine)) {
    hosts.push_back(ranks.host_of(static_cast<int>(hosts.size())));
    std::istringstream lines(text);
    gpus.emplace_back();
    for (std::string line; std::getline(lines, line);) gpus.back().push_back(line);
  }
  select_gpu(numbers[share_gpus(hosts, gpus)[static_cast<std::size_t>(ranks.rank())]]);
}

std::vector<int> parse_gpus(const std::string& text, int available) {
  std::vector<int> numbers;
  if (text == "all" || text.find(',') == std::string::npos) {
    const int count = text == "all" ? available : gpu_number(text, text);
    require<ConfigError>(count > 0 && count <= available, "--gpus ", text, ": this machine has ",
                         number_of(static_cast<std::size_t>(available), "GPU"));
    numbers.resize(static_cast<std::size_t>(count));
    std::iota(numbers.begin(), numbers.end(), 0);
    return numbers;
  }
  std::istringstream words(text + ",");
  for (std::string word; std::getline(words, word, ',');) {
    const int number = gpu_number(word, text);
    require<ConfigError>(number < available, "--gpus ", text, ": this machine has ",
                         number_of(static_cast<std::size_t>(available), "GPU"), ", counted from 0");
    require<ConfigError>(std::find(numbers.begin(), numbers.end(), number) == numbers.end(), "--gpus ", text,
                         ": GPU ", number, " is there twice");
    numbers.push_back(number);
  }
  return numbers;
}

std::vector<std::size_t> share_gpus(const std::vector<std::string>& hosts,
                                    const std::vector<std::vector<std::string>>& gpus) {
  std::vector<std::size_t> chosen;
  for (std::size_t rank = 0; rank < hosts.size(); ++rank) {
    const auto free = std::find_if(gpus[rank].begin(), gpus[rank].end(), [&](const std::string& gpu) {
      for (std::size_t other = 0; other < rank; ++other)
        if (hosts[other] == hosts[rank] && gpus[other][chosen[other]] == gpu) return false;
      return true;
    });
    if (free == gpus[rank].end()) {
      std::vector<std::string> of_host;
      std::size_t processes = 0;
      for (std::size_t other = 0; other < hosts.size(); ++other) {
        if (hosts[other] != hosts[rank]) continue;
        ++processes;
        of_host.insert(of_host.end(), gpus[other].begin(), gpus[other].end());
      }
      std::sort(of_host.begin(), of_host.end());
      of_host.erase(std::unique(of_host.begin(), of_host.end()), of_host.end());
      throw ConfigError(concat(hosts[rank], " has ", number_of(processes, "process"), " of this run, and ",
                               number_of(of_host.size(), "GPU"), " for them; each process needs its own"));
    }
    chosen.push_back(static_cast<std::size_t>(free - gpus[rank].begin()));
  }
  return chosen;
}

}  // namespace fer::app
