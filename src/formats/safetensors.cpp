#include "fer/formats/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>

#include "fer/formats/atomic_file.h"
#include "formats/input_file.h"
#include "formats/safetensors_checksums.h"
#include "formats/safetensors_header.h"

namespace fer {
namespace {

static_assert(std::endian::native == std::endian::little, "files hold little-endian numbers");

// The format's own limit; real headers are far smaller.
constexpr std::uint64_t longest_header = 100'000'000;
constexpr std::uint64_t length_bytes = 8;

std::span<const std::byte> bytes_of(const Tensor& tensor) {
  if (tensor.bytes() == 0) return {};
  return {static_cast<const std::byte*>(tensor.raw()), tensor.bytes()};
}

}  // namespace

struct SafetensorsFile::State {
  explicit State(const std::filesystem::path& file) : path(file.string()), input(file) {}

  std::string path;
  detail::InputFile input;
  std::uint64_t data_start = 0;
  detail::SafetensorsHeader header;
  std::unordered_map<std::string, std::size_t> index;
  std::vector<std::uint32_t> checksums;  // of the entries; empty if the file has none
};

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : state_(std::make_unique<State>(path)) {
  State& s = *state_;
  const std::uint64_t size = s.input.size();
  require<FormatError>(size >= length_bytes, s.path, ": has ", size,
                       " bytes, too few for the length of a safetensors header");
  std::uint64_t length = 0;
  s.input.read(std::as_writable_bytes(std::span(&length, 1)), 0);
  const std::uint64_t rest = size - length_bytes;
  require<FormatError>(length <= rest, s.path, ": is truncated: a header of ", length, " bytes, but ", rest,
                       " are left");
  require<FormatError>(length <= longest_header, s.path, ": a header of ", length, " bytes, the limit is ",
                       longest_header);
  std::string text(length, '\0');
  s.input.read(std::as_writable_bytes(std::span(text)), length_bytes);
  s.data_start = length_bytes + length;
  s.header = detail::parse_safetensors_header(text, rest - length, s.path);
  for (std::size_t i = 0; i < s.header.entries.size(); ++i) s.index.emplace(s.header.entries[i].name, i);
  s.checksums = detail::take_checksums(s.header.metadata, s.header.entries, s.path);
}

SafetensorsFile::~SafetensorsFile() = default;
SafetensorsFile::SafetensorsFile(SafetensorsFile&&) noexcept = default;
SafetensorsFile& SafetensorsFile::operator=(SafetensorsFile&&) noexcept = default;

const std::vector<SafetensorsEntry>& SafetensorsFile::entries() const {
  return state_->header.entries;
}

const Metadata& SafetensorsFile::metadata() const {
  return state_->header.metadata;
}

bool SafetensorsFile::has_checksums() const {
  return !state_->checksums.empty();
}

bool SafetensorsFile::contains(std::string_view name) const {
  return state_->index.count(std::string(name)) > 0;
}

const SafetensorsEntry& SafetensorsFile::entry(std::string_view name) const {
  const auto found = state_->index.find(std::string(name));
  require<FormatError>(found != state_->index.end(), state_->path, ": has no tensor '", name, "'");
  return entries()[found->second];
}

Tensor SafetensorsFile::read(std::string_view name) const {
  const SafetensorsEntry& e = entry(name);
  require<FormatError>(e.dtype.has_value(), state_->path, ": tensor '", name, "' is of ", e.type->name,
                       ", which is not read");
  Tensor tensor = Tensor::empty(e.shape, *e.dtype);
  std::vector<std::byte> narrow(e.type->widen ? e.end - e.begin : 0);
  std::span<std::byte> bytes = narrow;
  if (e.end > e.begin) {
    if (!e.type->widen) bytes = {static_cast<std::byte*>(tensor.mutable_raw()), e.end - e.begin};
    state_->input.read(bytes, state_->data_start + e.begin);
  }
  const auto position = static_cast<std::size_t>(&e - entries().data());
  const bool whole = !has_checksums() || detail::checksum_of(e, bytes) == state_->checksums[position];
  require<FormatError>(whole, state_->path, ": tensor '", name,
                       "' is damaged: its checksum does not match ('", detail::checksums_key,
                       "' in the metadata)");
  if (!narrow.empty()) e.type->widen(narrow.data(), tensor.mutable_raw(), tensor.numel());
  return tensor;
}

StateDict SafetensorsFile::read_all() const {
  StateDict tensors;
  for (const SafetensorsEntry& e : entries()) {
    if (e.dtype) tensors.insert(e.name, read(e.name));
  }
  return tensors;
}

void write_safetensors(const std::filesystem::path& path, const StateDict& tensors,
                       const Metadata& metadata) {
  std::vector<Tensor> host;
  detail::SafetensorsHeader header;
  header.metadata = metadata;
  for (const auto& [name, tensor] : tensors) {
    host.push_back(tensor.to(Device::cpu));
    header.entries.push_back(
        {name, detail::find_element_type(name_of(tensor.dtype())), tensor.dtype(), tensor.shape(), 0, 0});
  }
  // Wide elements first, so that each tensor begins at a multiple of its element size.
  std::vector<std::size_t> order(host.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return size_of(host[a].dtype()) > size_of(host[b].dtype());
  });
  std::vector<std::span<const std::byte>> parts(2);
  std::uint64_t end = 0;
  for (const std::size_t i : order) {
    header.entries[i].begin = std::exchange(end, end + host[i].bytes());
    header.entries[i].end = end;
    if (host[i].bytes() > 0) parts.push_back(bytes_of(host[i]));
  }
  std::vector<std::uint32_t> checksums;
  for (std::size_t i = 0; i < host.size(); ++i)
    checksums.push_back(detail::checksum_of(header.entries[i], bytes_of(host[i])));
  header.metadata.erase(detail::checksums_key);
  header.metadata[detail::checksums_key] = detail::checksums_text(header.metadata, header.entries, checksums);
  const std::string text = detail::write_safetensors_header(header, path.string());
  const std::uint64_t length = text.size();
  parts[0] = std::as_bytes(std::span(&length, 1));
  parts[1] = std::as_bytes(std::span(text));
  write_file_atomically(path, parts);
}

}  // namespace fer
