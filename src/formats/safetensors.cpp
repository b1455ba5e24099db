#include "fer/formats/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <numeric>

#include "fer/formats/atomic_file.h"
#include "formats/safetensors_header.h"

namespace fer {
namespace {

static_assert(std::endian::native == std::endian::little, "files hold little-endian numbers");

// The format's own limit; real headers are far smaller.
constexpr std::uint64_t longest_header = 100'000'000;
constexpr std::uint64_t length_bytes = 8;

}  // namespace

struct SafetensorsFile::State {
  std::string path;
  int descriptor = -1;
  std::uint64_t data_start = 0;
  detail::SafetensorsHeader header;
  std::unordered_map<std::string, std::size_t> index;

  ~State() {
    if (descriptor >= 0) ::close(descriptor);
  }

  /// The size of the file, which is open afterwards.
  std::uint64_t open(const std::filesystem::path& file) {
    path = file.string();
    descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    require<IoError>(descriptor >= 0, "cannot read '", path, "': ", std::strerror(errno));
    struct stat status {};
    require<IoError>(::fstat(descriptor, &status) == 0, "cannot read '", path, "': ", std::strerror(errno));
    require<IoError>(S_ISREG(status.st_mode), "cannot read '", path, "': it is not a regular file");
    return static_cast<std::uint64_t>(status.st_size);
  }

  void read(void* target, std::uint64_t bytes, std::uint64_t position) const {
    auto* out = static_cast<std::byte*>(target);
    while (bytes > 0) {
      const ssize_t got = ::pread(descriptor, out, bytes, static_cast<off_t>(position));
      if (got < 0 && errno == EINTR) continue;
      require<IoError>(got >= 0, "cannot read '", path, "': ", std::strerror(errno));
      require<FormatError>(got > 0, path, ": was truncated while it was read");
      out += got;
      bytes -= static_cast<std::uint64_t>(got);
      position += static_cast<std::uint64_t>(got);
    }
  }
};

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : state_(std::make_unique<State>()) {
  State& s = *state_;
  const std::uint64_t size = s.open(path);
  require<FormatError>(size >= length_bytes, s.path, ": has ", size,
                       " bytes, too few for the length of a safetensors header");
  std::uint64_t length = 0;
  s.read(&length, length_bytes, 0);
  const std::uint64_t rest = size - length_bytes;
  require<FormatError>(length <= rest, s.path, ": is truncated: a header of ", length, " bytes, but ", rest,
                       " are left");
  require<FormatError>(length <= longest_header, s.path, ": a header of ", length, " bytes, the limit is ",
                       longest_header);
  std::string text(length, '\0');
  s.read(text.data(), length, length_bytes);
  s.data_start = length_bytes + length;
  s.header = detail::parse_safetensors_header(text, rest - length, s.path);
  for (std::size_t i = 0; i < s.header.entries.size(); ++i) s.index.emplace(s.header.entries[i].name, i);
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
  std::vector<Tensor> host;
  detail::SafetensorsHeader header;
  header.metadata = metadata;
  for (const auto& [name, tensor] : tensors) {
    host.push_back(tensor.to(Device::cpu));
    header.entries.push_back({name, tensor.dtype(), tensor.shape(), 0, 0});
  }
  // Wide elements first: then each tensor begins at a multiple of its element size.
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
    if (host[i].bytes() > 0)
      parts.emplace_back(static_cast<const std::byte*>(host[i].raw()), host[i].bytes());
  }
  const std::string text = detail::write_safetensors_header(header, path.string());
  const std::uint64_t length = text.size();
  parts[0] = std::as_bytes(std::span(&length, 1));
  parts[1] = std::as_bytes(std::span(text));
  write_file_atomically(path, parts);
}

}  // namespace fer
