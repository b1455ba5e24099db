#include "training/same_run.h"

#include <algorithm>
#include <iomanip>
#include <sstream>
#include <string>

#include "fer/formats/checksum.h"

namespace fer {
namespace {

class Checksum {
 public:
  void add(const void* data, std::size_t bytes) {
    value_ = crc32({static_cast<const std::byte*>(data), bytes}, value_);
  }
  void add(const std::string& text) { add(text.c_str(), text.size() + 1); }
  std::string text() const {
    std::ostringstream out;
    out << std::hex << std::setw(8) << std::setfill('0') << value_;
    return out.str();
  }

 private:
  std::uint32_t value_ = 0;
};

std::string samples_checksum(const Dataset& dataset) {
  constexpr std::int64_t pictures = 16;
  Checksum sum;
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    const std::int64_t label = dataset.label(i);
    sum.add(dataset.name(i));
    sum.add(&label, sizeof label);
  }
  for (std::int64_t k = 0; k < std::min(pictures, dataset.size()); ++k) {
    const Image image = dataset.sample(k * dataset.size() / pictures % dataset.size()).image;
    sum.add(image.pixels.data(), image.pixels.size());
  }
  return sum.text();
}

// Facts: one line for each thing that all ranks must have in common.

std::string settings_facts(const RunConfig& config) {
  std::string facts = concat("fer ", FER_VERSION, "\nthe model ", config.preset, "\n");
  for (const SettingInfo& setting : settings_of(config))
    if (setting.type != "PATH") facts += concat("'", setting.key, "' ", setting.value, "\n");
  return facts;
}

std::string data_facts(const std::vector<std::shared_ptr<const Dataset>>& parts) {
  std::string facts;
  for (const auto& part : parts) {
    if (!part) continue;
    const std::string name =
        concat("the ", name_of(part->info().split), " part of '", part->info().name, "'");
    facts += concat(name, ": ", part->size(), " samples\n", name, ": samples with the checksum ",
                    samples_checksum(*part), "\n");
  }
  return facts;
}

std::string weight_facts(Module& network) {
  std::string facts;
  for (const auto& [name, tensor] : network.state_dict()) {
    const Tensor values = tensor.to(Device::cpu);
    Checksum sum;
    sum.add(values.raw(), values.bytes());
    facts += concat("the initial '", name, "' with the checksum ", sum.text(), "\n");
  }
  return facts;
}

void require_same(Communicator& ranks, const std::string& mine) {
  std::vector<std::istringstream> facts;
  for (const std::string& text : ranks.share_all(mine)) facts.emplace_back(text);
  for (std::string first, other; std::getline(facts[0], first);) {
    for (std::size_t rank = 1; rank < facts.size(); ++rank) {
      const bool more = static_cast<bool>(std::getline(facts[rank], other));
      require<ConfigError>(more && other == first, "rank ", rank, " (", ranks.host_of(static_cast<int>(rank)),
                           ") has ", more ? other : "less", ", rank 0 (", ranks.host_of(0), ") ", first,
                           "; all processes of a run need the same program, settings, data and weights");
    }
  }
}

}  // namespace

void require_same_settings(Communicator& ranks, const RunConfig& config) {
  if (ranks.size() > 1) require_same(ranks, settings_facts(config));
}

void require_same_run(Communicator& ranks, const RunConfig& config,
                      const std::vector<std::shared_ptr<const Dataset>>& parts, Module& network) {
  if (ranks.size() > 1)
    require_same(ranks, settings_facts(config) + data_facts(parts) + weight_facts(network));
}

}  // namespace fer
