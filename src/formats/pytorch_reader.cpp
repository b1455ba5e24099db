// Detects the format of a file and calls its reader.
#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "fer/error.h"
#include "fer/formats/atomic_file.h"
#include "fer/formats/pytorch.h"
#include "formats/pytorch_formats.h"

namespace fer {

namespace {

/// The format that the first bytes of a file suggest, if fer cannot read weights from it.
std::string_view other_format(std::string_view head) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 9> known{{
      {"version https://", "is a pointer of Git LFS, not the file itself; 'git lfs pull' fetches it"},
      {"<", "is a page of HTML or XML, as a failed download leaves it"},
      {"\x1f\x8b", "is compressed with gzip; unpack it first"},
      {"\xfd"
       "7zXZ",
       "is compressed with xz; unpack it first"},
      {"7z\xbc\xaf", "is a 7z archive; unpack it first"},
      {"Rar!", "is a RAR archive; unpack it first"},
      {"\x89HDF", "is an HDF5 file, as Keras writes it, not a PyTorch checkpoint"},
      {"\x93NUMPY", "is a NumPy array (.npy), not a PyTorch checkpoint"},
      {"GGUF", "is a GGUF file, not a PyTorch checkpoint"},
  }};
  if (head.empty()) return "is empty";
  for (const auto& [start, is] : known) {
    if (head.starts_with(start)) return is;
  }
  return "is neither safetensors nor a PyTorch checkpoint";
}

}  // namespace

FileFormat detail::detect_format(std::span<const std::byte> head, const std::string& what) {
  const std::string_view text(reinterpret_cast<const char*>(head.data()), head.size());
  const auto byte = [&](std::size_t i) { return i < head.size() ? static_cast<int>(head[i]) : -1; };
  if (byte(8) == '{') return FileFormat::safetensors;
  if (byte(0) == 'P' && byte(1) == 'K') return FileFormat::pytorch_zip;
  if (byte(0) == 0x80 && byte(1) >= 2 && byte(1) <= 5) return FileFormat::pytorch_legacy;
  // The magic number of the legacy format, as protocols 0 and 1 write it.
  if (text.starts_with("L119547037146")) return FileFormat::pytorch_legacy;
  throw FormatError(concat(what, ": ", other_format(text)));
}

PytorchFile read_pytorch(std::span<const std::byte> bytes, const std::string& name) {
  const FileFormat format =
      detail::detect_format(bytes.subspan(0, std::min<std::size_t>(bytes.size(), 16)), name);
  require<FormatError>(format != FileFormat::safetensors, name,
                       ": is a safetensors file, not a PyTorch checkpoint");
  return format == FileFormat::pytorch_zip ? detail::read_pytorch_zip(bytes, name)
                                           : detail::read_pytorch_legacy(bytes, name);
}

PytorchFile read_pytorch(const std::filesystem::path& path) {
  return read_pytorch(read_file(path), path.string());
}

}  // namespace fer
