#include "fer/formats/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "fer/formats/atomic_file.h"

namespace fer {
namespace {

using Json = nlohmann::ordered_json;

// The reference implementation's own limit; real headers are far smaller.
constexpr std::uint64_t largest_header = 100'000'000;
constexpr std::pair<const char*, DType> codes[] = {
    {"F64", DType::float64}, {"F32", DType::float32}, {"F16", DType::float16}, {"BF16", DType::bfloat16},
    {"I64", DType::int64},   {"I32", DType::int32},   {"U8", DType::uint8}};

const char* code_of(DType dtype) {
  for (const auto& [code, known] : codes) {
    if (known == dtype) return code;
  }
  throw TypeError("safetensors: unknown element type");
}

std::uint64_t whole_number(const Json& value, const std::string& where) {
  require<FormatError>(value.is_number_unsigned(), where, " must be a whole number, got ", value.dump());
  return value.get<std::uint64_t>();
}

SafetensorsEntry parse_entry(const std::string& name, const Json& value, const std::string& file) {
  const std::string where = concat(file, ": tensor '", name, "'");
  require<FormatError>(value.is_object() && value.contains("dtype") && value.contains("shape") &&
                           value.contains("data_offsets") && value["dtype"].is_string() &&
                           value["shape"].is_array() && value["data_offsets"].is_array() &&
                           value["data_offsets"].size() == 2,
                       where, ": an entry needs 'dtype', 'shape' and two 'data_offsets'");
  SafetensorsEntry entry;
  entry.name = name;
  const std::string code = value["dtype"].get<std::string>();
  const auto* known =
      std::find_if(std::begin(codes), std::end(codes), [&](const auto& c) { return code == c.first; });
  require<FormatError>(known != std::end(codes), where, ": unknown element type '", code, "'");
  entry.dtype = known->second;
  require<FormatError>(value["shape"].size() <= Shape::max_rank, where, ": has ", value["shape"].size(),
                       " dimensions, at most ", Shape::max_rank, " are supported");
  std::vector<std::int64_t> dims;
  std::uint64_t bytes = size_of(entry.dtype);
  for (const Json& extent : value["shape"]) {
    const std::uint64_t n = whole_number(extent, where + ": an extent");
    require<FormatError>(n == 0 || bytes <= std::numeric_limits<std::int64_t>::max() / n, where,
                         ": the shape is larger than any file");
    bytes *= n;
    dims.push_back(static_cast<std::int64_t>(n));
  }
  entry.shape = Shape(std::span<const std::int64_t>(dims));
  entry.begin = whole_number(value["data_offsets"][0], where + ": an offset");
  entry.end = whole_number(value["data_offsets"][1], where + ": an offset");
  require<FormatError>(entry.begin <= entry.end, where, ": its bytes end before they begin (", entry.begin,
                       ", ", entry.end, ")");
  require<FormatError>(entry.end - entry.begin == bytes, where, " of ", entry.dtype, " and shape ",
                       entry.shape, " needs ", bytes, " bytes, the offsets give ", entry.end - entry.begin);
  return entry;
}

/// The tensors must tile the data without gap or overlap.
void check_tiling(std::vector<SafetensorsEntry> entries, std::uint64_t data_bytes, const std::string& file) {
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  std::uint64_t expected = 0;
  for (const SafetensorsEntry& entry : entries) {
    require<FormatError>(entry.end <= data_bytes, file, ": tensor '", entry.name, "' ends at byte ",
                         entry.end, " of the data, which has ", data_bytes);
    require<FormatError>(entry.begin >= expected, file, ": tensor '", entry.name,
                         "' overlaps the one before it");
    require<FormatError>(entry.begin == expected, file, ": bytes ", expected, " to ", entry.begin,
                         " of the data belong to no tensor");
    expected = entry.end;
  }
  require<FormatError>(expected == data_bytes, file, ": ", data_bytes - expected,
                       " bytes behind the last tensor belong to none");
}

/// JSON whose objects may not name a key twice.
Json parse_header(const std::string& text, const std::string& file) {
  std::vector<std::set<std::string>> open;
  const auto watch = [&](int, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) open.emplace_back();
    if (event == Json::parse_event_t::object_end) open.pop_back();
    if (event == Json::parse_event_t::key) {
      const std::string key = parsed.get<std::string>();
      require<FormatError>(open.back().insert(key).second, file, ": the header names '", key, "' twice");
    }
    return true;
  };
  try {
    return Json::parse(text, watch);
  } catch (const Json::exception& error) {
    throw FormatError(concat(file, ": the header is not JSON: ", error.what()));
  }
}

}  // namespace

struct SafetensorsFile::State {
  std::string path;
  int descriptor = -1;
  std::uint64_t data_start = 0;
  std::vector<SafetensorsEntry> entries;
  std::unordered_map<std::string, std::size_t> index;
  Metadata metadata;

  ~State() {
    if (descriptor >= 0) ::close(descriptor);
  }

  void read(void* target, std::uint64_t bytes, std::uint64_t position) const {
    auto* out = static_cast<std::byte*>(target);
    while (bytes > 0) {
      const ssize_t got = ::pread(descriptor, out, bytes, static_cast<off_t>(position));
      if (got < 0 && errno == EINTR) continue;
      require<IoError>(got >= 0, "cannot read '", path, "': ", std::strerror(errno));
      require<FormatError>(got > 0, path, ": is truncated");
      out += got;
      bytes -= static_cast<std::uint64_t>(got);
      position += static_cast<std::uint64_t>(got);
    }
  }
};

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.path = path.string();
  s.descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  require<IoError>(s.descriptor >= 0, "cannot open '", s.path, "': ", std::strerror(errno));
  struct stat status {};
  require<IoError>(::fstat(s.descriptor, &status) == 0 && S_ISREG(status.st_mode), "cannot read '", s.path,
                   "': it is no regular file");
  const auto size = static_cast<std::uint64_t>(status.st_size);
  require<FormatError>(size >= 8, s.path,
                       ": is truncated: a safetensors file has at least 8 bytes, this one ", size);
  std::array<unsigned char, 8> length_bytes{};
  s.read(length_bytes.data(), 8, 0);
  std::uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | length_bytes[static_cast<std::size_t>(i)];
  require<FormatError>(length <= largest_header, s.path, ": the header claims ", length,
                       " bytes, the limit is ", largest_header);
  require<FormatError>(length <= size - 8, s.path, ": is truncated: the header claims ", length,
                       " bytes, the file has ", size - 8, " behind its length");
  std::string text(length, '\0');
  s.read(text.data(), length, 8);
  const Json header = parse_header(text, s.path);
  require<FormatError>(header.is_object(), s.path, ": the header must be a JSON object");
  s.data_start = 8 + length;
  for (const auto& [name, value] : header.items()) {
    if (name != "__metadata__") {
      s.index.emplace(name, s.entries.size());
      s.entries.push_back(parse_entry(name, value, s.path));
      continue;
    }
    require<FormatError>(value.is_object(), s.path, ": '__metadata__' must be an object of texts");
    for (const auto& [key, entry] : value.items()) {
      require<FormatError>(entry.is_string(), s.path, ": metadata '", key, "' must be a text, got ",
                           entry.dump());
      s.metadata[key] = entry.get<std::string>();
    }
  }
  check_tiling(s.entries, size - s.data_start, s.path);
}

SafetensorsFile::~SafetensorsFile() = default;
SafetensorsFile::SafetensorsFile(SafetensorsFile&&) noexcept = default;
SafetensorsFile& SafetensorsFile::operator=(SafetensorsFile&&) noexcept = default;

const std::vector<SafetensorsEntry>& SafetensorsFile::entries() const {
  return state_->entries;
}
const Metadata& SafetensorsFile::metadata() const {
  return state_->metadata;
}
bool SafetensorsFile::contains(std::string_view name) const {
  return state_->index.count(std::string(name)) > 0;
}

const SafetensorsEntry& SafetensorsFile::entry(std::string_view name) const {
  const auto found = state_->index.find(std::string(name));
  require<FormatError>(found != state_->index.end(), state_->path, ": has no tensor '", name, "'");
  return state_->entries[found->second];
}

Tensor SafetensorsFile::read(std::string_view name) const {
  const SafetensorsEntry& e = entry(name);
  Tensor tensor = Tensor::empty(e.shape, e.dtype);
  if (e.end > e.begin) state_->read(tensor.mutable_raw(), e.end - e.begin, state_->data_start + e.begin);
  return tensor;
}

StateDict SafetensorsFile::read_all() const {
  StateDict tensors;
  for (const SafetensorsEntry& e : entries()) tensors.insert(e.name, read(e.name));
  return tensors;
}

void write_safetensors(const std::filesystem::path& path, const StateDict& tensors,
                       const Metadata& metadata) {
  std::vector<std::pair<std::string, Tensor>> host;
  for (const auto& [name, tensor] : tensors) {
    require<FormatError>(name != "__metadata__", path.string(), ": a tensor cannot be called '__metadata__'");
    host.emplace_back(name, tensor.to(Device::cpu));
  }
  // Wide elements first, so that each tensor starts at a multiple of its element size.
  std::vector<std::size_t> order(host.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return size_of(host[a].second.dtype()) > size_of(host[b].second.dtype());
  });
  std::vector<std::uint64_t> begin(host.size());
  std::uint64_t offset = 0;
  for (std::size_t i : order) {
    begin[i] = offset;
    offset += host[i].second.bytes();
  }
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  for (std::size_t i = 0; i < host.size(); ++i) {
    const auto& [name, tensor] = host[i];
    header[name] = {{"dtype", code_of(tensor.dtype())},
                    {"shape", std::vector<std::int64_t>(tensor.shape().begin(), tensor.shape().end())},
                    {"data_offsets", {begin[i], begin[i] + tensor.bytes()}}};
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const Json::exception& error) {
    throw FormatError(concat(path.string(), ": a name or the metadata is not UTF-8: ", error.what()));
  }
  text.append((8 - text.size() % 8) % 8, ' ');
  std::array<std::byte, 8> length{};
  for (std::size_t i = 0; i < 8; ++i) length[i] = static_cast<std::byte>(text.size() >> (8 * i));
  std::vector<std::span<const std::byte>> parts{length, std::as_bytes(std::span(text.data(), text.size()))};
  for (std::size_t i : order) {
    const Tensor& tensor = host[i].second;
    if (tensor.bytes() > 0) parts.emplace_back(static_cast<const std::byte*>(tensor.raw()), tensor.bytes());
  }
  write_file_atomically(path, parts);
}

}  // namespace fer
