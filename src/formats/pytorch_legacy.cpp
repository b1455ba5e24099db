// The legacy format of torch.save, in order:
// - the pickles of a magic number, a protocol version (1001), and facts about the writer's machine;
// - the pickle of the value;
// - the pickled list of storage keys;
// - for each key, the number of elements in eight bytes, then the elements.
#include <cstring>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "fer/error.h"
#include "formats/pickle_vm.h"
#include "formats/pytorch_formats.h"
#include "formats/pytorch_tree.h"

namespace fer::detail {
namespace {

using Kind = PickleNode::Kind;

constexpr std::string_view magic_number("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10);
constexpr std::int64_t protocol_version = 1001;

/// Takes parts from the front of the file, one by one.
class Parts {
 public:
  Parts(std::span<const std::byte> bytes, std::string what) : rest_(bytes), what_(std::move(what)) {}

  Pickle pickle(std::string_view role) {
    Pickle read = run_pickle(rest_, concat(what_, ": the ", role));
    rest_ = rest_.subspan(read.length);
    return read;
  }
  std::span<const std::byte> take(std::uint64_t count, const std::string& key) {
    require<FormatError>(count <= rest_.size(), what_, ": is truncated: the storage '", key, "' needs ",
                         count, " bytes, ", rest_.size(), " are left");
    const auto taken = rest_.subspan(0, static_cast<std::size_t>(count));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  std::size_t left() const { return rest_.size(); }

 private:
  std::span<const std::byte> rest_;
  std::string what_;
};

class LegacyStorages : public StorageSource {
 public:
  LegacyStorages(const Pickle& value, const Pickle& keys, Parts& parts, const std::string& what)
      : what_(what) {
    std::unordered_map<std::string, const StorageRef*> known;
    for (const StorageRef& storage : value.storages) known.emplace(storage.key, &storage);
    const PickleNode& list = keys.node(keys.root);
    require<FormatError>(list.kind == Kind::list, what, ": the storage keys are not a list");
    for (const NodeId id : list.children) {
      const std::string& key = keys.node(id).text;
      const auto found = known.find(key);
      require<FormatError>(found != known.end(), what, ": no tensor says what type the storage '", key,
                           "' has");
      const StorageRef& storage = *found->second;
      std::uint64_t count = 0;
      std::memcpy(&count, parts.take(sizeof count, key).data(), sizeof count);
      require<FormatError>(count == static_cast<std::uint64_t>(storage.count), what, ": the storage '", key,
                           "' has ", count, " elements, its tensors say ", storage.count);
      const std::uint64_t unit = storage.type ? storage.type->bytes : 1;
      const std::uint64_t bytes = count > parts.left() ? count : count * unit;  // avoids overflow
      const bool fresh = storages_.emplace(key, parts.take(bytes, key)).second;
      require<FormatError>(fresh, what, ": the storage '", key, "' occurs twice");
    }
  }

  std::uint64_t size(const std::string& key) override { return find(key).size(); }
  void read(const std::string& key, std::span<std::byte> out) override {
    std::memcpy(out.data(), find(key).data(), out.size());
  }

 private:
  std::span<const std::byte> find(const std::string& key) const {
    const auto found = storages_.find(key);
    require<FormatError>(found != storages_.end(), what_, ": has no storage '", key, "'");
    return found->second;
  }

  std::string what_;
  std::unordered_map<std::string, std::span<const std::byte>> storages_;
};

/// For a lone pickle, which must contain the data of its tensors itself.
class NoStorages : public StorageSource {
 public:
  explicit NoStorages(const std::string& what) : what_(what) {}
  std::uint64_t size(const std::string& key) override {
    throw FormatError(concat(what_, ": is a pickle without the storages of its tensors ('", key, "')"));
  }
  void read(const std::string& key, std::span<std::byte>) override { size(key); }

 private:
  const std::string& what_;
};

void check_machine(const Pickle& facts, const std::string& what) {
  const PickleNode& dict = facts.node(facts.root);
  for (std::size_t i = 0; i + 1 < dict.children.size(); i += 2) {
    if (facts.node(dict.children[i]).text != "little_endian") continue;
    const bool little = facts.node(dict.children[i + 1]).integer != 0;
    require<FormatError>(little, what, ": was written in big-endian byte order; only little-endian is read");
    return;
  }
  throw FormatError(concat(what, ": does not say in which byte order it was written"));
}

}  // namespace

PytorchFile read_pytorch_legacy(std::span<const std::byte> bytes, const std::string& what) {
  Parts parts(bytes, what);
  const Pickle magic = parts.pickle("first pickle");
  const PickleNode& number = magic.node(magic.root);
  if (number.kind != Kind::big_integer || number.text != magic_number) {
    require<FormatError>(parts.left() == 0, what,
                         ": is a pickle, but not one that torch.save wrote: ", parts.left(),
                         " bytes follow it");
    NoStorages none(what);
    PytorchFile file = build_tree(magic, none, what, bytes.size());
    file.format = FileFormat::pickle;
    return file;
  }
  const Pickle version = parts.pickle("protocol version");
  const PickleNode& protocol = version.node(version.root);
  require<FormatError>(protocol.kind == Kind::integer && protocol.integer == protocol_version, what,
                       ": has an unknown version of the legacy format");
  check_machine(parts.pickle("description of the machine"), what);
  const Pickle value = parts.pickle("pickle");
  const Pickle keys = parts.pickle("list of storage keys");
  LegacyStorages storages(value, keys, parts, what);
  require<FormatError>(parts.left() == 0, what, ": has ", parts.left(), " bytes after its last storage");
  PytorchFile file = build_tree(value, storages, what, bytes.size());
  file.format = FileFormat::pytorch_legacy;
  return file;
}

}  // namespace fer::detail
