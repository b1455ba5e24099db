// The data set `folder`: one folder of pictures per class, optionally within folders for the parts, and with
// folders for persons above or below the classes.
//
//   DIR/train/CLASS/*   DIR/CLASS/*   DIR/train/CLASS/PERSON/*   DIR/train/PERSON/CLASS/*
//
// Part names in upper or lower case: train, training; val, valid, validation, dev; test, testing.
#include <algorithm>
#include <map>

#include "data/class_names.h"
#include "data/file_io.h"
#include "data/sets/dataset_parts.h"
#include "fer/data/class_map.h"
#include "fer/error.h"

namespace fer::detail {
namespace {

namespace fs = std::filesystem;

std::optional<Split> part_of_name(const fs::path& folder) {
  static const std::map<std::string, Split> parts{
      {"train", Split::train},    {"training", Split::train},     {"train_set", Split::train},
      {"val", Split::validation}, {"valid", Split::validation},   {"validation", Split::validation},
      {"dev", Split::validation}, {"val_set", Split::validation}, {"test", Split::test},
      {"testing", Split::test},   {"test_set", Split::test}};
  const auto found = parts.find(to_lower(folder.filename().string()));
  return found == parts.end() ? std::nullopt : std::optional(found->second);
}

std::string quoted_list(const std::vector<std::string>& words) {
  constexpr std::size_t shown = 10;
  std::string text;
  for (std::size_t i = 0; i < std::min(words.size(), shown); ++i)
    text += concat(i == 0 ? "'" : ", '", words[i], "'");
  return words.size() > shown ? concat(text, " and ", words.size() - shown, " more") : text;
}

/// The folders of the parts. Without part folders, the data set's folder itself is the training part.
struct Parts {
  fs::path root;
  std::map<Split, fs::path> folders;
  std::vector<fs::path> others;  ///< other entries beside the parts
  bool named = false;            ///< the parts have folders of their own
};

/// Descends through folders that contain only one folder, as unpacked archives do.
Parts find_parts(const fs::path& folder) {
  constexpr int max_wrappers = 4;
  FolderTree tree;
  Parts parts;
  parts.root = folder;
  for (int depth = 0;; ++depth) {
    const FolderContents contents = tree.read(parts.root);
    for (const fs::path& entry : contents.folders) {
      const auto part = part_of_name(entry);
      if (!part) {
        parts.others.push_back(entry);
        continue;
      }
      const auto [at, is_new] = parts.folders.emplace(*part, entry);
      require<DataError>(is_new, "data set 'folder': '", at->second.string(), "' and '", entry.string(),
                         "' are both the ", name_of(*part), " part");
    }
    parts.named = !parts.folders.empty();
    const bool wrapper =
        !parts.named && contents.folders.size() == 1 && contents.pictures.empty() && depth < max_wrappers;
    if (!wrapper) break;
    const fs::path& inner = contents.folders[0];
    const FolderContents inner_contents = FolderTree().read(inner);
    if (inner_contents.folders.empty() || !inner_contents.pictures.empty() ||
        is_expression_word(inner.filename().string()))
      break;
    parts.others.clear();
    parts.root = inner;
  }
  if (!parts.named) parts.folders[Split::train] = parts.root;
  return parts;
}

/// The pictures of one part, by class folder.
struct PartPictures {
  std::map<std::string, std::vector<LabelledFile>> classes;  ///< includes classes without pictures
  std::vector<FolderContents::Other> left_out;
};

bool all_known(const std::vector<std::string>& names, const ClassNames& class_names) {
  return !names.empty() && std::all_of(names.begin(), names.end(), [&](const std::string& name) {
    return class_names.names_folder(name) || is_expression_word(name);
  });
}

/// Reads the folders of one part.
class PartReader {
 public:
  explicit PartReader(const ClassNames& names) : names_(names) {}

  PartPictures read(const fs::path& part) {
    FolderContents top = open(part);
    leave_out_pictures(top, "a picture beside the class folders");
    std::vector<FolderContents> inner_contents;
    for (const fs::path& folder : top.folders) inner_contents.push_back(open(folder));
    const bool persons_above = are_persons_above(part, top, inner_contents);
    for (std::size_t i = 0; i < top.folders.size(); ++i) {
      const std::string name = top.folders[i].filename().string();
      if (!persons_above) take(inner_contents[i].pictures, name, "");
      for (const fs::path& inner : inner_contents[i].folders) {
        const std::string inner_name = inner.filename().string();
        const FolderContents contents = open(inner);
        take(contents.pictures, persons_above ? inner_name : name, persons_above ? name : inner_name);
        for (const fs::path& deeper : contents.folders)
          result_.left_out.push_back({deeper, "a folder below class and person"});
      }
    }
    return std::move(result_);
  }

 private:
  FolderContents open(const fs::path& folder) {
    FolderContents contents = tree_.read(folder);
    for (auto& other : contents.others) result_.left_out.push_back(std::move(other));
    return contents;
  }

  void take(const std::vector<fs::path>& pictures, const std::string& class_name, const std::string& person) {
    auto& files = result_.classes[class_name];
    for (const fs::path& picture : pictures) {
      LabelledFile file{picture};
      file.person = person;
      files.push_back(std::move(file));
    }
  }

  void leave_out_pictures(const FolderContents& contents, const char* rule) {
    for (const fs::path& picture : contents.pictures) result_.left_out.push_back({picture, rule});
  }

  /// Whether, of two levels of folders, the upper one is persons and the lower one expressions.
  bool are_persons_above(const fs::path& part, const FolderContents& top,
                         const std::vector<FolderContents>& inner_contents) const {
    std::vector<std::string> upper, lower;
    for (const fs::path& folder : top.folders) upper.push_back(folder.filename().string());
    std::map<std::string, int> times;
    for (const FolderContents& contents : inner_contents) {
      if (!contents.pictures.empty()) return false;
      for (const fs::path& folder : contents.folders) ++times[folder.filename().string()];
    }
    bool repeated = false;
    for (const auto& [name, count] : times) {
      lower.push_back(name);
      repeated = repeated || count > 1;
    }
    if (lower.empty() || all_known(upper, names_)) return false;
    if (all_known(lower, names_)) return true;
    require<DataError>(
        !repeated, "data set 'folder': below '", part.string(),
        "' there are two levels of folders, and it is not clear which are the classes: ", quoted_list(upper),
        ", or ", quoted_list(lower), " in them; name them with --class-names");
    return false;
  }

  const ClassNames& names_;
  FolderTree tree_;
  PartPictures result_;
};

/// The class folders in order: those of the training part, or without one, those of the other parts. A folder
/// without pictures in any part is not a class.
struct Classes {
  std::vector<std::string> folders;
  std::map<std::string, std::int64_t> label;  ///< by lower-case folder name
};

class FolderReader {
 public:
  explicit FolderReader(const DatasetOptions& options)
      : options_(options), names_(options.class_names), parts_(find_parts(options.folder)) {}

  std::shared_ptr<const Dataset> open() {
    const OwnParts own{parts_.folders.contains(Split::validation), parts_.folders.contains(Split::test)};
    const bool carved = (options_.split == Split::test && !own.test) ||
                        (options_.split == Split::validation && !own.validation);
    const Split wanted = carved ? Split::train : options_.split;
    require<IoError>(parts_.folders.contains(wanted), "data set 'folder': '", parts_.root.string(),
                     "' holds no folder '", name_of(wanted), "'");
    find_classes();
    info_ = new_info(options_, names_.of(classes_.folders), -1);
    info_.neutral = neutral_class(info_.class_names);
    info_.labels = "class folders";
    warn_of_names();
    std::vector<LabelledFile> files = files_of(wanted);
    leave_out_others(info_, pictures(wanted).left_out);
    return take_part(std::move(info_), files, options_, own);
  }

 private:
  PartPictures& pictures(Split part) {
    auto found = read_.find(part);
    if (found == read_.end())
      found = read_.emplace(part, PartReader(names_).read(parts_.folders.at(part))).first;
    return found->second;
  }

  void find_classes() {
    const bool has_train = parts_.folders.contains(Split::train);
    std::vector<std::string> empty;
    for (const auto& [part, folder] : parts_.folders) {
      if (has_train && part != Split::train) continue;
      for (const auto& [name, files] : pictures(part).classes) {
        if (has_train && files.empty()) {
          empty.push_back(name);
        } else {
          add_class(name, folder);
        }
      }
    }
    for (const std::string& name : empty) {
      if (has_pictures_elsewhere(name)) {
        add_class(name, parts_.folders.at(Split::train));
      } else {
        empty_.push_back(name);
      }
    }
    const fs::path& first = parts_.folders.begin()->second;
    require<DataError>(!classes_.folders.empty() || !empty_.empty(), "data set 'folder': '", first.string(),
                       "' holds no class folders");
    require<DataError>(!classes_.folders.empty(), "data set 'folder': the class folders of '", first.string(),
                       "' contain no picture that fer reads");
    sort_names(classes_.folders);
    for (std::size_t c = 0; c < classes_.folders.size(); ++c)
      classes_.label[to_lower(classes_.folders[c])] = static_cast<std::int64_t>(c);
  }

  void add_class(const std::string& name, const fs::path& folder) {
    for (const std::string& known : classes_.folders) {
      if (to_lower(known) != to_lower(name)) continue;
      require<DataError>(known == name || !pictures_in_one_part(known, name),
                         "data set 'folder': the classes '", known, "' and '", name, "' of '",
                         folder.string(), "' differ only in case");
      return;
    }
    classes_.folders.push_back(name);
  }

  bool pictures_in_one_part(const std::string& a, const std::string& b) {
    return std::any_of(read_.begin(), read_.end(), [&](const auto& part) {
      return part.second.classes.contains(a) && part.second.classes.contains(b);
    });
  }

  bool has_pictures_elsewhere(const std::string& name) {
    for (const auto& [part, folder] : parts_.folders) {
      for (const auto& [other, files] : pictures(part).classes) {
        if (to_lower(other) == to_lower(name) && !files.empty()) return true;
      }
    }
    return false;
  }

  std::vector<LabelledFile> files_of(Split part) {
    std::vector<LabelledFile> files;
    PartPictures& found = pictures(part);
    const bool persons = are_persons_known(found);
    for (const auto& [name, pictures] : found.classes) {
      const auto label = classes_.label.find(to_lower(name));
      if (label == classes_.label.end()) {
        require<DataError>(pictures.empty(), "data set 'folder': the class '", name, "' of '",
                           parts_.folders.at(part).string(), "' is not in '",
                           parts_.folders.at(Split::train).string(), "', which has ",
                           quoted_list(classes_.folders));
        continue;
      }
      for (LabelledFile file : pictures) {
        file.label = label->second;
        if (!persons) file.person.clear();
        files.push_back(std::move(file));
      }
    }
    std::stable_sort(files.begin(), files.end(),
                     [](const LabelledFile& a, const LabelledFile& b) { return a.label < b.label; });
    return files;
  }

  static bool are_persons_known(const PartPictures& part) {
    for (const auto& [name, files] : part.classes) {
      for (const LabelledFile& file : files) {
        if (file.person.empty()) return false;
      }
    }
    return true;
  }

  void warn_of_names() {
    for (const std::string& name : empty_)
      info_.warnings.push_back(
          concat("the class folder '", name, "' contains no picture and is not a class"));
    for (const std::string& folder : names_.without_folder(classes_.folders))
      info_.warnings.push_back(concat("class names: there is no class folder '", folder, "'"));
    std::int64_t number = 0;
    const bool numbers = std::all_of(info_.class_names.begin(), info_.class_names.end(),
                                     [&](const std::string& name) { return parse_integer(name, number); });
    if (numbers)
      info_.warnings.push_back("the classes are numbers; --class-names 0=angry,1=disgust gives them names");
    if (parts_.root != options_.folder)
      info_.warnings.push_back(concat("it is read from '", parts_.root.string(), "'"));
    for (const fs::path& other : parts_.others) {
      if (!parts_.named) continue;
      leave_out(info_, "a folder that is not a part", other.string());
      info_.warnings.push_back(
          concat("the folder '", other.string(), "' is none of train, validation and test"));
    }
  }

  const DatasetOptions& options_;
  ClassNames names_;
  Parts parts_;
  std::map<Split, PartPictures> read_;
  Classes classes_;
  std::vector<std::string> empty_;
  DatasetInfo info_;
};

}  // namespace

std::shared_ptr<const Dataset> open_folder(const DatasetOptions& options) {
  return FolderReader(options).open();
}

}  // namespace fer::detail
