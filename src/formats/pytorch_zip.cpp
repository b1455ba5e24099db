// The zip format of torch.save: <name>/data.pkl, <name>/data/<key> for each storage, <name>/byteorder,
// <name>/version. Records are stored, not compressed.
#include <zip.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fer/error.h"
#include "formats/pickle_vm.h"
#include "formats/pytorch_formats.h"
#include "formats/pytorch_tree.h"

namespace fer::detail {
namespace {

struct DiscardArchive {
  void operator()(zip_t* archive) const { zip_discard(archive); }
};
struct CloseRecord {
  void operator()(zip_file_t* record) const { zip_fclose(record); }
};

/// A zip file in memory.
class Archive {
 public:
  Archive(std::span<const std::byte> bytes, std::string what) : what_(std::move(what)), limit_(bytes.size()) {
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t* source = zip_source_buffer_create(bytes.data(), bytes.size(), 0, &error);
    if (source) archive_.reset(zip_open_from_source(source, ZIP_RDONLY, &error));
    const std::string reason = zip_error_strerror(&error);
    zip_error_fini(&error);
    if (source && !archive_) zip_source_free(source);
    require<FormatError>(archive_ != nullptr, what_, ": the zip archive is truncated or damaged: ", reason);
    list_records();
  }

  bool contains(const std::string& name) const { return records_.count(name) != 0; }
  const std::vector<std::string>& names() const { return names_; }
  std::uint64_t size(const std::string& name) const { return record(name).size; }

  /// Fills `out`, whose size is size(name), and verifies the record's checksum.
  void read(const std::string& name, std::span<std::byte> out) const {
    std::unique_ptr<zip_file_t, CloseRecord> file(zip_fopen_index(archive_.get(), record(name).index, 0));
    require<FormatError>(file != nullptr, what_, ": the record '", name,
                         "' cannot be read: ", zip_strerror(archive_.get()));
    std::size_t filled = 0;
    while (filled < out.size()) {
      const zip_int64_t got = zip_fread(file.get(), out.data() + filled, out.size() - filled);
      require<FormatError>(got > 0, what_, ": the record '", name,
                           "' is damaged: ", got < 0 ? zip_file_strerror(file.get()) : "it ends early");
      filled += static_cast<std::size_t>(got);
    }
    // libzip compares the checksum only when it reads the end of the record, not with the last byte.
    std::byte beyond{};
    const zip_int64_t more = zip_fread(file.get(), &beyond, 1);
    require<FormatError>(more == 0, what_, ": the record '", name, "' is damaged: ",
                         more < 0 ? zip_file_strerror(file.get()) : "it is longer than the directory says");
  }
  std::vector<std::byte> read(const std::string& name) const {
    std::vector<std::byte> bytes(static_cast<std::size_t>(size(name)));
    read(name, bytes);
    return bytes;
  }

 private:
  struct Record {
    zip_uint64_t index = 0;
    std::uint64_t size = 0;
    bool stored = true;
  };

  void list_records() {
    const zip_int64_t count = zip_get_num_entries(archive_.get(), 0);
    for (zip_int64_t i = 0; i < count; ++i) {
      const auto index = static_cast<zip_uint64_t>(i);
      zip_stat_t stat;
      const bool known = zip_stat_index(archive_.get(), index, 0, &stat) == 0 &&
                         (stat.valid & ZIP_STAT_NAME) && (stat.valid & ZIP_STAT_SIZE) &&
                         (stat.valid & ZIP_STAT_COMP_METHOD);
      require<FormatError>(known, what_, ": entry ", i, " of the zip directory is damaged");
      require<FormatError>(stat.size <= limit_, what_, ": the record '", stat.name, "' of ", stat.size,
                           " bytes is larger than the file");
      require<FormatError>(
          records_.emplace(stat.name, Record{index, stat.size, stat.comp_method == ZIP_CM_STORE}).second,
          what_, ": the record '", stat.name, "' occurs twice");
      names_.emplace_back(stat.name);
    }
  }

  const Record& record(const std::string& name) const {
    const auto found = records_.find(name);
    require<FormatError>(found != records_.end(), what_, ": has no record '", name, "'");
    require<FormatError>(found->second.stored, what_, ": the record '", name,
                         "' is compressed, which torch.save does not do");
    return found->second;
  }

  std::string what_;
  std::uint64_t limit_;
  std::unique_ptr<zip_t, DiscardArchive> archive_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, Record> records_;
};

class ZipStorages : public StorageSource {
 public:
  ZipStorages(const Archive& archive, std::string folder) : archive_(archive), folder_(std::move(folder)) {}
  std::uint64_t size(const std::string& key) override { return archive_.size(folder_ + "data/" + key); }
  void read(const std::string& key, std::span<std::byte> out) override {
    archive_.read(folder_ + "data/" + key, out);
  }

 private:
  const Archive& archive_;
  std::string folder_;
};

/// What kind of archive it is, judged by its names, if torch.save did not write it.
std::string_view other_archive(const Archive& archive) {
  for (const std::string& name : archive.names()) {
    if (name.ends_with(".npy")) return "a NumPy archive (.npz), not a PyTorch checkpoint";
    if (name.ends_with("model.weights.h5")) return "a Keras model, not a PyTorch checkpoint";
    if (name.ends_with("archive_format") || name.ends_with("serialized_exported_program.json"))
      return "a program of torch.export; save the state_dict() of the module instead";
    if (name.ends_with(".pth") || name.ends_with(".pt") || name.ends_with(".safetensors"))
      return "a zip archive with a checkpoint in it; unpack it first";
  }
  return "a zip archive without data.pkl, not a PyTorch checkpoint";
}

/// The only top-level folder that holds data.pkl, with its slash.
std::string find_folder(const Archive& archive, const std::string& what) {
  std::optional<std::string> folder;
  for (const std::string& name : archive.names()) {
    const std::size_t slash = name.find('/');
    if (slash == std::string::npos || name.substr(slash) != "/data.pkl") continue;
    require<FormatError>(!folder, what, ": holds two checkpoints, '", folder.value_or(""), "' and '", name,
                         "'");
    folder = name.substr(0, slash + 1);
  }
  require<FormatError>(folder.has_value(), what, ": is ", other_archive(archive));
  require<FormatError>(!archive.contains(*folder + "constants.pkl"), what,
                       ": is a TorchScript program; save the state_dict() of the module instead");
  return *folder;
}

}  // namespace

PytorchFile read_pytorch_zip(std::span<const std::byte> bytes, const std::string& what) {
  const Archive archive(bytes, what);
  const std::string folder = find_folder(archive, what);
  if (archive.contains(folder + "byteorder")) {
    const std::vector<std::byte> order = archive.read(folder + "byteorder");
    const std::string text(reinterpret_cast<const char*>(order.data()), order.size());
    require<FormatError>(text == "little", what, ": was written in ", text.substr(0, 16),
                         "-endian byte order; only little-endian is read");
  }
  const std::vector<std::byte> program = archive.read(folder + "data.pkl");
  const Pickle pickle = run_pickle(program, what + ": the pickle");
  require<FormatError>(pickle.length == program.size(), what, ": the pickle is followed by ",
                       program.size() - pickle.length, " bytes");
  ZipStorages storages(archive, folder);
  return build_tree(pickle, storages, what, bytes.size());
}

}  // namespace fer::detail
