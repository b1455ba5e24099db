// Reading both of torch.save's formats: the storages' bytes around the pickle that pickle_vm.h runs.
#include <zip.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <memory>

#include "fer/formats/atomic_file.h"
#include "fer/formats/pytorch.h"
#include "fer/tensor/backend.h"
#include "formats/pickle_vm.h"

namespace fer {
namespace {

using detail::Pickle;
using detail::PickleNode;
using detail::StorageRef;
using detail::TensorRef;

// What a file may expand to: strides of 0 make large tensors of few bytes.
constexpr std::uint64_t largest_expansion = 1ull << 32;
constexpr int deepest = 64;

/// The bytes of each storage by its key, found by whichever format the file has.
using StorageBytes = std::map<std::string, std::vector<std::byte>>;

class Builder {
 public:
  Builder(const Pickle& pickle, const StorageBytes& storages, std::uint64_t budget, std::string name)
      : pickle_(pickle), storages_(storages), budget_(budget), name_(std::move(name)) {}

  PyValue build() { return value(pickle_.root, "", 0); }

 private:
  PyValue value(detail::NodeId id, const std::string& path, int depth) {
    require<FormatError>(depth <= deepest, name_, ": containers are nested deeper than ", deepest);
    charge(64, path);
    const PickleNode& node = pickle_.node(id);
    using Kind = PickleNode::Kind;
    switch (node.kind) {
      case Kind::none:
        return {};
      case Kind::boolean:
        return PyValue::boolean(node.integer != 0);
      case Kind::integer:
        return PyValue::integer(node.integer);
      case Kind::big_integer:
        return PyValue::big_integer(node.text);
      case Kind::real:
        return PyValue::real(node.real);
      case Kind::text:
        return PyValue::text(node.text);
      case Kind::bytes:
        return PyValue::bytes(node.text);
      case Kind::list:
      case Kind::tuple: {
        std::vector<PyValue> elements;
        for (std::size_t i = 0; i < node.children.size(); ++i) {
          elements.push_back(value(node.children[i], path + "." + std::to_string(i), depth + 1));
        }
        return node.kind == Kind::list ? PyValue::list(std::move(elements))
                                       : PyValue::tuple(std::move(elements));
      }
      case Kind::dict: {
        std::vector<PyItem> items;
        for (std::size_t i = 0; i + 1 < node.children.size(); i += 2) {
          PyValue key = value(node.children[i], path, depth + 1);
          const std::string under = key.is(PyValue::Kind::text) ? key.as_text() : key.describe();
          items.push_back({std::move(key), value(node.children[i + 1],
                                                 path.empty() ? under : path + "." + under, depth + 1)});
        }
        return PyValue::dict(std::move(items));
      }
      case Kind::tensor:
        return PyValue::tensor(tensor(pickle_.tensors[static_cast<std::size_t>(node.integer)], path));
      case Kind::storage:
        throw FormatError(concat(name_, ": '", path, "' is a bare storage, not a tensor"));
      case Kind::global:
        return PyValue::text(node.text);
    }
    throw FormatError(concat(name_, ": '", path, "' is of an unknown kind"));
  }

  void charge(std::uint64_t bytes, const std::string& path) {
    require<FormatError>(bytes <= budget_, name_, ": '", path,
                         "' would expand to far more memory than the file has");
    budget_ -= bytes;
  }

  /// The whole storage as a flat tensor, made once so that views share it.
  const Tensor& storage(const TensorRef& ref, const std::string& path) {
    const StorageRef& s = pickle_.storages.at(ref.storage);
    const DType dtype = s.untyped ? ref.dtype : s.dtype;
    const auto key = std::make_pair(s.key, dtype);
    if (auto found = made_.find(key); found != made_.end()) return found->second;
    const auto bytes = storages_.find(s.key);
    require<FormatError>(bytes != storages_.end(), name_, ": the storage '", s.key, "' of '", path,
                         "' is missing");
    const std::size_t size = size_of(dtype);
    const std::uint64_t have = bytes->second.size();
    const std::uint64_t claimed = static_cast<std::uint64_t>(s.count) * (s.untyped ? 1 : size);
    require<FormatError>(s.count >= 0 && static_cast<std::uint64_t>(s.count) <= have && claimed <= have,
                         name_, ": the storage '", s.key, "' of '", path, "' has ", have,
                         " bytes, the pickle says ", claimed);
    Tensor flat = Tensor::empty({static_cast<std::int64_t>(have / size)}, dtype);
    if (flat.bytes() > 0) std::memcpy(flat.mutable_raw(), bytes->second.data(), flat.bytes());
    return made_.emplace(key, std::move(flat)).first->second;
  }

  Tensor tensor(const TensorRef& ref, const std::string& path) {
    require<FormatError>(ref.size.size() <= Shape::max_rank, name_, ": '", path, "' has ", ref.size.size(),
                         " dimensions, at most ", Shape::max_rank, " are supported");
    const StorageRef& s = pickle_.storages.at(ref.storage);
    const Tensor& flat = storage(ref, path);
    std::int64_t numel = 1, last = ref.offset + s.view_offset;
    const std::int64_t first = last;
    bool fits = first >= 0 && ref.offset >= 0 && s.view_offset >= 0 && first <= flat.numel();
    for (std::size_t i = 0; fits && i < ref.size.size(); ++i) {
      fits = ref.size[i] >= 0 && ref.stride[i] >= 0 &&
             (ref.size[i] == 0 || (numel <= static_cast<std::int64_t>(largest_expansion) / ref.size[i] &&
                                   (ref.size[i] == 1 || ref.stride[i] <= flat.numel())));
      if (!fits) break;
      numel *= ref.size[i];
      if (ref.size[i] > 1) {
        fits = ref.size[i] - 1 <=
               (std::numeric_limits<std::int64_t>::max() - last) / std::max<std::int64_t>(1, ref.stride[i]);
        if (fits) last += (ref.size[i] - 1) * ref.stride[i];
      }
    }
    require<FormatError>(fits && (numel == 0 || last < flat.numel()), name_, ": the tensor '", path,
                         "' leaves its storage of ", flat.numel(), " elements");
    const Shape shape{std::span<const std::int64_t>(ref.size)};
    std::int64_t expected = 1;
    bool contiguous = true;
    for (std::size_t i = ref.size.size(); i-- > 0;) {
      contiguous = contiguous && (ref.size[i] <= 1 || ref.stride[i] == expected);
      expected *= ref.size[i];
    }
    if (numel == 0) return Tensor::empty(shape, flat.dtype());
    if (contiguous) return flat.slice(first, numel).reshape(shape);
    charge(static_cast<std::uint64_t>(numel) * size_of(flat.dtype()), path);
    return gathered(flat, ref, first, shape);
  }

  static Tensor gathered(const Tensor& flat, const TensorRef& ref, std::int64_t first, const Shape& shape) {
    Tensor result = Tensor::empty(shape, flat.dtype());
    const std::size_t size = size_of(flat.dtype());
    const auto* from = static_cast<const std::byte*>(flat.raw());
    auto* to = static_cast<std::byte*>(result.mutable_raw());
    std::vector<std::int64_t> index(ref.size.size(), 0);
    std::int64_t position = first;
    for (std::int64_t i = 0; i < result.numel(); ++i) {
      std::memcpy(to + static_cast<std::size_t>(i) * size, from + static_cast<std::size_t>(position) * size,
                  size);
      for (std::size_t d = index.size(); d-- > 0;) {
        position += ref.stride[d];
        if (++index[d] < ref.size[d]) break;
        position -= index[d] * ref.stride[d];
        index[d] = 0;
      }
    }
    return result;
  }

  const Pickle& pickle_;
  const StorageBytes& storages_;
  std::uint64_t budget_;
  std::string name_;
  std::map<std::pair<std::string, DType>, Tensor> made_;
};

// --- zip -------------------------------------------------------------------------------------------------

struct ZipClose {
  void operator()(zip_t* archive) const { zip_discard(archive); }
};
using ZipArchive = std::unique_ptr<zip_t, ZipClose>;

ZipArchive open_zip(std::span<const std::byte> bytes, const std::string& name) {
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* source = zip_source_buffer_create(bytes.data(), bytes.size(), 0, &error);
  zip_t* archive = source ? zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &error) : nullptr;
  if (!archive) {
    if (source) zip_source_free(source);
    const std::string reason = zip_error_strerror(&error);
    zip_error_fini(&error);
    throw FormatError(concat(name, ": the zip archive is truncated or damaged: ", reason));
  }
  zip_error_fini(&error);
  return ZipArchive(archive);
}

std::vector<std::byte> read_entry(zip_t* archive, zip_uint64_t index, std::uint64_t file_size,
                                  const std::string& name) {
  zip_stat_t status;
  zip_stat_init(&status);
  require<FormatError>(zip_stat_index(archive, index, 0, &status) == 0 && (status.valid & ZIP_STAT_SIZE),
                       name, ": entry ", index, " of the zip archive cannot be read");
  const std::string entry = status.name ? status.name : "?";
  require<FormatError>(status.size <= 1024 * file_size, name, ": '", entry,
                       "' would expand to far more memory than the file has");
  std::vector<std::byte> bytes(status.size);
  std::unique_ptr<zip_file_t, decltype(&zip_fclose)> file(zip_fopen_index(archive, index, 0), &zip_fclose);
  require<FormatError>(file != nullptr, name, ": '", entry,
                       "' in the zip archive cannot be opened: ", zip_strerror(archive));
  const zip_int64_t got = zip_fread(file.get(), bytes.data(), bytes.size());
  require<FormatError>(got == static_cast<zip_int64_t>(bytes.size()), name, ": '", entry,
                       "' in the zip archive is truncated or damaged");
  return bytes;
}

PyValue read_zip(std::span<const std::byte> bytes, const std::string& name) {
  const ZipArchive archive = open_zip(bytes, name);
  std::map<std::string, zip_uint64_t> entries;
  const zip_int64_t count = zip_get_num_entries(archive.get(), 0);
  for (zip_int64_t i = 0; i < count; ++i) {
    const char* entry = zip_get_name(archive.get(), static_cast<zip_uint64_t>(i), 0);
    if (entry) entries[entry] = static_cast<zip_uint64_t>(i);
  }
  // Everything lies in one folder, named as the file was when it was saved.
  std::string folder;
  for (const auto& [entry, index] : entries) {
    const std::string end = "data.pkl";
    if (entry.size() >= end.size() && entry.compare(entry.size() - end.size(), end.size(), end) == 0)
      folder = entry.substr(0, entry.size() - end.size());
  }
  const auto data = entries.find(folder + "data.pkl");
  require<FormatError>(data != entries.end(), name,
                       ": a zip archive without 'data.pkl' is no PyTorch checkpoint");
  if (const auto order = entries.find(folder + "byteorder"); order != entries.end()) {
    const auto text = read_entry(archive.get(), order->second, bytes.size(), name);
    const std::string_view word(reinterpret_cast<const char*>(text.data()), text.size());
    require<FormatError>(word == "little", name, ": is in byte order '", word, "', only 'little' is read");
  }
  const auto pickle_bytes = read_entry(archive.get(), data->second, bytes.size(), name);
  const Pickle pickle = detail::run_pickle(pickle_bytes, concat("the pickle of '", name, "'"));
  StorageBytes storages;
  std::uint64_t total = 0;
  for (const StorageRef& s : pickle.storages) {
    if (storages.count(s.key)) continue;
    const auto entry = entries.find(folder + "data/" + s.key);
    require<FormatError>(entry != entries.end(), name, ": the storage '", s.key,
                         "' is missing from the archive");
    auto loaded = read_entry(archive.get(), entry->second, bytes.size(), name);
    total += loaded.size();
    require<FormatError>(total <= 1024 * bytes.size(), name,
                         ": would expand to far more memory than the file has");
    storages.emplace(s.key, std::move(loaded));
  }
  return Builder(pickle, storages, largest_expansion, name).build();
}

// --- legacy ----------------------------------------------------------------------------------------------

// Four pickles (a magic number, the protocol's version, facts of the system, the object), then a pickled list
// of storage keys, then each storage: its element count in eight bytes, and its bytes.
PyValue read_legacy(std::span<const std::byte> bytes, const std::string& name) {
  std::size_t position = 0;
  const auto next = [&](const char* what) {
    Pickle pickle = detail::run_pickle(bytes.subspan(position), concat("the ", what, " of '", name, "'"));
    position += pickle.length;
    return pickle;
  };
  // 0x1950a86a20f9469cfc6c in little byte order: what torch.save has always begun with.
  static constexpr std::string_view magic("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10);
  const Pickle number = next("magic number");
  require<FormatError>(number.node(number.root).kind == PickleNode::Kind::big_integer &&
                           number.node(number.root).text == magic,
                       name, ": is a pickle, but no PyTorch checkpoint (another magic number)");
  const Pickle protocol = next("protocol version");
  require<FormatError>(protocol.node(protocol.root).kind == PickleNode::Kind::integer &&
                           protocol.node(protocol.root).integer == 1001,
                       name, ": unknown version of PyTorch's legacy format");
  const Pickle system = next("system facts");
  const PickleNode& facts = system.node(system.root);
  for (std::size_t i = 0; i + 1 < facts.children.size(); i += 2) {
    if (system.node(facts.children[i]).text != "little_endian") continue;
    require<FormatError>(system.node(facts.children[i + 1]).integer != 0, name,
                         ": is in big byte order, only little is read");
  }
  const Pickle object = next("pickle");
  const Pickle keys = next("list of storages");
  std::map<std::string, const StorageRef*> by_key;
  for (const StorageRef& s : object.storages) by_key.emplace(s.key, &s);
  StorageBytes storages;
  for (detail::NodeId id : keys.node(keys.root).children) {
    const std::string& key = keys.node(id).text;
    const auto known = by_key.find(key);
    require<FormatError>(known != by_key.end(), name, ": lists the storage '", key, "', which nothing uses");
    require<FormatError>(bytes.size() - position >= 8, name, ": is truncated in front of the storage '", key,
                         "'");
    std::uint64_t count = 0;
    for (std::size_t i = 0; i < 8; ++i) count |= static_cast<std::uint64_t>(bytes[position + i]) << (8 * i);
    position += 8;
    const std::uint64_t size = size_of(known->second->dtype);
    require<FormatError>(count <= (bytes.size() - position) / size, name, ": is truncated in the storage '",
                         key, "', which has ", count, " elements");
    const auto data = bytes.subspan(position, count * size);
    storages[key].assign(data.begin(), data.end());
    position += count * size;
  }
  return Builder(object, storages, largest_expansion, name).build();
}

}  // namespace

PytorchFile read_pytorch(std::span<const std::byte> bytes, const std::string& name) {
  const bool zip = bytes.size() >= 4 && std::memcmp(bytes.data(), "PK\x03\x04", 4) == 0;
  if (zip) return {read_zip(bytes, name), FileFormat::pytorch_zip};
  require<FormatError>(bytes.size() >= 2 && bytes[0] == std::byte{0x80}, name, ": is no PyTorch checkpoint");
  return {read_legacy(bytes, name), FileFormat::pytorch_legacy};
}

PytorchFile read_pytorch(const std::filesystem::path& path) {
  const std::vector<std::byte> bytes = read_file(path);
  return read_pytorch(bytes, path.string());
}

}  // namespace fer
