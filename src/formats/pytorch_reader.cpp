// Which format a file has, and the way to its reader.
#include <algorithm>

#include "fer/error.h"
#include "fer/formats/atomic_file.h"
#include "fer/formats/pytorch.h"
#include "formats/pytorch_formats.h"

namespace fer {

FileFormat detail::detect_format(std::span<const std::byte> head, const std::string& what) {
  const auto byte = [&](std::size_t i) { return i < head.size() ? static_cast<int>(head[i]) : -1; };
  if (byte(8) == '{') return FileFormat::safetensors;
  if (byte(0) == 'P' && byte(1) == 'K') return FileFormat::pytorch_zip;
  if (byte(0) == 0x80 && byte(1) >= 2 && byte(1) <= 5) return FileFormat::pytorch_legacy;
  throw FormatError(concat(what, ": is neither safetensors nor a PyTorch checkpoint"));
}

PytorchFile read_pytorch(std::span<const std::byte> bytes, const std::string& name) {
  PytorchFile file;
  file.format = detail::detect_format(bytes.subspan(0, std::min<std::size_t>(bytes.size(), 16)), name);
  require<FormatError>(file.format != FileFormat::safetensors, name,
                       ": is a safetensors file, not a PyTorch checkpoint");
  file.root = file.format == FileFormat::pytorch_zip ? detail::read_pytorch_zip(bytes, name)
                                                     : detail::read_pytorch_legacy(bytes, name);
  return file;
}

PytorchFile read_pytorch(const std::filesystem::path& path) {
  return read_pytorch(read_file(path), path.string());
}

}  // namespace fer
