// Helpers of the format tests: temporary folders, files made byte by byte, pickles made operation by
// operation, and containers around them.
#pragma once

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fer/error.h"
#include "fer/formats/atomic_file.h"
#include "fer/formats/pytorch.h"
#include "formats/stored_zip.h"
#include "tests/paths.h"

namespace fer::test {

/// The expression throws Error with exactly this message.
#define CHECK_MESSAGE_OF(expression, Error, message) \
  CHECK_THROWS_WITH_AS((void)(expression), std::string(message).c_str(), Error)

/// A folder for this process alone, removed with its contents.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    static int count = 0;
    path_ = std::filesystem::temp_directory_path() / concat("fer_formats_", ::getpid(), "_", count++);
    std::filesystem::create_directories(path_);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  /// The names of its entries, sorted.
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(path_)) {
      found.push_back(entry.path().filename().string());
    }
    std::sort(found.begin(), found.end());
    return found;
  }
  /// Writes a file and returns its path.
  std::filesystem::path file(const std::string& name, std::string_view bytes) const {
    std::ofstream(path_ / name, std::ios::binary) << bytes;
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

/// Same type, shape and bytes.
inline bool identical(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         (a.bytes() == 0 || std::memcmp(a.raw(), b.raw(), a.bytes()) == 0);
}

/// Limits this process's files to `bytes`. Writing more fails, as on a full disk.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    handler_ = ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, handler_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int) = nullptr;
};

/// Makes permissions apply to this thread even as root, which may write everywhere: switches to another
/// user's file access.
class OrdinaryUser {
 public:
  OrdinaryUser() {
    if (::geteuid() == 0) ::setfsuid(65534);
  }
  ~OrdinaryUser() { ::setfsuid(::geteuid()); }
  OrdinaryUser(const OrdinaryUser&) = delete;
  OrdinaryUser& operator=(const OrdinaryUser&) = delete;
};

inline std::string contents(const std::filesystem::path& path) {
  const std::vector<std::byte> bytes = read_file(path);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

template <typename T>
std::string little(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

template <typename T>
std::string elements(std::initializer_list<T> values) {
  std::string bytes;
  for (const T value : values) bytes += little(value);
  return bytes;
}

// --- pickle operations, protocol 2; concatenate them ------------------------------------------------------

inline std::string py_text(std::string_view text) {
  return "X" + little(static_cast<std::uint32_t>(text.size())) + std::string(text);
}
inline std::string py_int(std::int64_t value) {
  return "\x8a\x08" + little(value);
}
inline std::string py_global(std::string_view module, std::string_view name) {
  return concat("c", module, "\n", name, "\n");
}
inline std::string py_tuple(std::initializer_list<std::string> elements_) {
  std::string made = "(";
  for (const std::string& element : elements_) made += element;
  return made + "t";
}
inline std::string py_ints(std::initializer_list<std::int64_t> values) {
  std::string made = "(";
  for (const std::int64_t value : values) made += py_int(value);
  return made + "t";
}
inline std::string py_dict(std::initializer_list<std::pair<std::string, std::string>> items) {
  std::string made = "}(";
  for (const auto& [key, value] : items) made += py_text(key) + value;
  return made + "u";
}
inline std::string py_storage(std::string_view type, std::string_view key, std::int64_t count) {
  return py_tuple(
             {py_text("storage"), py_global("torch", type), py_text(key), py_text("cpu"), py_int(count)}) +
         "Q";
}
inline std::string py_tensor(const std::string& storage, std::int64_t offset,
                             std::initializer_list<std::int64_t> size,
                             std::initializer_list<std::int64_t> stride) {
  return py_global("torch._utils", "_rebuild_tensor_v2") +
         py_tuple({storage, py_int(offset), py_ints(size), py_ints(stride), "\x89",
                   py_global("collections", "OrderedDict") + ")R"}) +
         "R";
}
/// A float tensor of rank 1 that covers its whole storage.
inline std::string py_floats(std::string_view key, std::int64_t count) {
  return py_tensor(py_storage("FloatStorage", key, count), 0, {count}, {1});
}
/// A complete pickle program.
inline std::string pickle(const std::string& value) {
  return "\x80\x02" + value + ".";
}

// --- containers -------------------------------------------------------------------------------------------

using Records = std::vector<std::pair<std::string, std::string>>;

inline std::string zip_of(const Records& records) {
  detail::StoredZip zip;
  for (const auto& [name, data] : records) zip.add(name, bytes_of(data));
  std::string bytes;
  for (const auto& part : zip.finish()) bytes.append(reinterpret_cast<const char*>(part.data()), part.size());
  return bytes;
}

/// A checkpoint in the zip format. `value`: the pickle operations of its value; `storages`: keys and bytes.
inline std::string zip_checkpoint(const std::string& value, const Records& storages) {
  Records records{{"model/data.pkl", pickle(value)}, {"model/byteorder", "little"}};
  for (const auto& [key, data] : storages) records.emplace_back("model/data/" + key, data);
  records.emplace_back("model/version", "3\n");
  return zip_of(records);
}

/// Reads a checkpoint in the zip format, called x.pth in messages.
inline PyValue read_value(const std::string& value, const Records& storages = {}) {
  return read_pytorch(bytes_of(zip_checkpoint(value, storages)), "x.pth").root;
}

/// A checkpoint in the legacy format. `storages`: keys, numbers of elements, bytes.
struct LegacyStorage {
  std::string key;
  std::int64_t count;
  std::string data;
};
inline std::string legacy_checkpoint(const std::string& value, const std::vector<LegacyStorage>& storages,
                                     bool little_endian = true) {
  std::string bytes = pickle("\x8a\x0a" + std::string("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"));
  bytes += pickle(py_int(1001));
  bytes += pickle(py_dict({{"protocol_version", py_int(1001)},
                           {"little_endian", little_endian ? "\x88" : "\x89"},
                           {"type_sizes", py_dict({{"int", py_int(4)}})}}));
  bytes += pickle(value);
  std::string keys = "](";
  for (const LegacyStorage& storage : storages) keys += py_text(storage.key);
  bytes += pickle(keys + "e");
  for (const LegacyStorage& storage : storages) bytes += little(storage.count) + storage.data;
  return bytes;
}

}  // namespace fer::test
