#include "fer/data/data_check.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>
#include <set>

#include "data/duplicates.h"
#include "fer/error.h"

namespace fer {
namespace {

/// One picture of the check.
struct Seen {
  std::size_t part = 0;
  std::int64_t index = 0;
  bool readable = false, grey = false;
  int width = 0, height = 0;
  std::string problem;
};

std::vector<Split> splits_of(const DatasetOptions& options) {
  std::vector<Split> splits{Split::train};
  if (options.validation_fraction > 0) splits.push_back(Split::validation);
  const bool two_tests = options.name == "fer2013" || options.name == "ferplus";
  if (two_tests) splits.push_back(Split::public_test);
  splits.push_back(Split::test);
  return splits;
}

struct OpenedPart {
  PartCheck check;
  std::shared_ptr<const Dataset> data;
};

std::vector<OpenedPart> open_parts(DatasetOptions options) {
  std::vector<OpenedPart> parts;
  options.skip_bad = std::numeric_limits<std::int64_t>::max();  // missing pictures are counted, not refused
  for (Split split : splits_of(options)) {
    options.split = split;
    OpenedPart part;
    part.check.split = split;
    try {
      part.data = open_dataset(options);
      part.check.info = part.data->info();
      part.check.split = part.check.info.split;
    } catch (const ConfigError&) {
      throw;
    } catch (const Error& error) {
      part.check.problem = error.what();
    }
    const bool opened_before = std::any_of(parts.begin(), parts.end(), [&](const OpenedPart& other) {
      return other.check.split == part.check.split;  // PublicTest also serves as the test part
    });
    if (!opened_before) parts.push_back(std::move(part));
  }
  return parts;
}

void examine_picture(const Dataset& data, Seen& seen, detail::Fingerprint& print) {
  try {
    const Sample sample = data.sample(seen.index);
    seen.readable = true;
    seen.width = sample.image.width;
    seen.height = sample.image.height;
    seen.grey = is_grey(sample.image);
    print = detail::fingerprint_of(sample.image);
  } catch (const Error& error) {
    seen.problem = error.what();
  }
}

ExtentRange range_of(std::vector<int> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  return {values.front(), values[values.size() / 2], values.back()};
}

void sum_up(PartCheck& part, std::size_t number, const std::vector<Seen>& all) {
  std::vector<int> widths, heights;
  for (const Seen& seen : all) {
    if (seen.part != number) continue;
    if (!seen.readable) {
      part.damaged.push_back({seen.index, seen.problem});
      continue;
    }
    widths.push_back(seen.width);
    heights.push_back(seen.height);
    ++(seen.grey ? part.grey : part.colour);
  }
  part.width = range_of(std::move(widths));
  part.height = range_of(std::move(heights));
}

}  // namespace

DataCheck check_data(const DatasetOptions& options, const ProgressFunction& progress) {
  const auto begin = std::chrono::steady_clock::now();
  DataCheck check;
  check.dataset = options.name;
  check.folder = options.folder.string();
  if (options.name == "ferplus") check.labels = name_of(options.label_mode);
  const std::vector<OpenedPart> parts = open_parts(options);
  std::vector<Seen> all;
  for (std::size_t p = 0; p < parts.size(); ++p) {
    const std::int64_t n = parts[p].data ? parts[p].data->size() : 0;
    for (std::int64_t i = 0; i < n; ++i) {
      Seen& seen = all.emplace_back();
      seen.part = p;
      seen.index = i;
    }
  }
  std::vector<detail::Fingerprint> prints(all.size());
  check.finished = parallel_samples(static_cast<std::int64_t>(all.size()), progress, [&](std::int64_t i) {
    Seen& seen = all[static_cast<std::size_t>(i)];
    examine_picture(*parts[seen.part].data, seen, prints[static_cast<std::size_t>(i)]);
  });
  if (!check.finished) return check;
  for (std::size_t p = 0; p < parts.size(); ++p) {
    check.parts.push_back(parts[p].check);
    sum_up(check.parts.back(), p, all);
  }
  std::size_t kept = 0;  // readable pictures move to the front
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (!all[i].readable) continue;
    all[kept] = all[i];
    prints[kept++] = prints[i];
  }
  all.resize(kept);
  prints.resize(kept);
  const auto named = [&](const detail::Groups& groups) {
    std::vector<DuplicateGroup> result;
    for (const auto& numbers : groups) {
      DuplicateGroup& group = result.emplace_back();
      for (std::int64_t i : numbers) {
        const Seen& seen = all[static_cast<std::size_t>(i)];
        const Dataset& data = *parts[seen.part].data;
        group.members.push_back({seen.part, data.label(seen.index), data.name(seen.index)});
      }
    }
    return result;
  };
  const detail::Groups exact = exact_duplicates(prints);
  check.exact = named(exact);
  check.near = named(near_duplicates(prints, exact));
  check.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return check;
}

std::vector<SharedPictures> shared_pictures(const DataCheck& check,
                                            const std::vector<DuplicateGroup>& groups) {
  std::map<std::pair<std::size_t, std::size_t>, SharedPictures> shared;
  for (const DuplicateGroup& group : groups) {
    std::vector<std::int64_t> of_part(check.parts.size(), 0);
    for (const auto& member : group.members) ++of_part[member.part];
    for (std::size_t a = 0; a < of_part.size(); ++a) {
      for (std::size_t b = a; b < of_part.size(); ++b) {
        if (of_part[a] == 0 || of_part[b] == 0 || (a == b && of_part[a] < 2)) continue;
        std::set<std::int64_t> labels;
        for (const auto& member : group.members) {
          if (member.part == a || member.part == b) labels.insert(member.label);
        }
        SharedPictures& pair = shared[{a, b}];
        pair.first = a;
        pair.second = b;
        ++pair.groups;
        pair.of_first += of_part[a];
        pair.of_second += of_part[b];
        pair.other_label += labels.size() > 1;
      }
    }
  }
  std::vector<SharedPictures> result;
  for (const auto& [key, pair] : shared) result.push_back(pair);
  return result;
}

bool is_sound(const DataCheck& check) {
  const auto missing = [](const LeftOut& entry) { return entry.rule == "missing"; };
  return std::all_of(check.parts.begin(), check.parts.end(), [&](const PartCheck& part) {
    const auto& left_out = part.info.left_out;
    return part.problem.empty() && part.damaged.empty() &&
           std::none_of(left_out.begin(), left_out.end(), missing);
  });
}

}  // namespace fer
