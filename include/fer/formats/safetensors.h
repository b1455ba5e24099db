// Reads and writes safetensors (github.com/huggingface/safetensors): eight bytes of header length, a JSON
// header, the tensors' bytes. Tensors keep the file's layout; state_dict.h permutes convolution weights.
//
//   fer::SafetensorsFile file("model.safetensors");     // reads only the header
//   fer::Tensor w = file.read("head.weight");           // reads that tensor's bytes
//
// Element types:
// - kept: F64, F32, F16, BF16, I64, I32, U8;
// - widened: BOOL to uint8; I8, I16 and U16 to int32; U32 to int64; F8_E4M3 and F8_E5M2 to float32;
// - allowed in a file but not read: types that a network of floats cannot use (C64, U64).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fer/formats/state_dict.h"
#include "fer/tensor/tensor.h"

namespace fer {

namespace detail {
struct ElementType;
}

/// One tensor as the header describes it.
struct SafetensorsEntry {
  std::string name;
  const detail::ElementType* type = nullptr;  ///< in the file
  std::optional<DType> dtype;                 ///< in memory; none: the tensor is not read
  Shape shape;
  std::uint64_t begin = 0, end = 0;  ///< its bytes, counted from the end of the header
};

/// An open file with a fully checked header: every tensor's byte count matches its type and shape, and the
/// tensors cover the rest of the file without gap or overlap.
class SafetensorsFile {
 public:
  /// IoError if it cannot be opened or read; FormatError, naming file and tensor, if the header is wrong.
  explicit SafetensorsFile(const std::filesystem::path& path);
  ~SafetensorsFile();
  SafetensorsFile(SafetensorsFile&&) noexcept;
  SafetensorsFile& operator=(SafetensorsFile&&) noexcept;

  /// In the order of the header.
  const std::vector<SafetensorsEntry>& entries() const;
  const Metadata& metadata() const;
  /// Whether the metadata has checksums of the tensors, as in files that fer wrote.
  bool has_checksums() const;
  bool contains(std::string_view name) const;
  /// FormatError, naming the file, if there is no such tensor.
  const SafetensorsEntry& entry(std::string_view name) const;
  /// Reads one tensor onto the CPU. FormatError if its checksum is wrong or its type is not read.
  /// Thread-safe.
  Tensor read(std::string_view name) const;
  /// Reads all tensors except those of a type that is not read.
  StateDict read_all() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Writes `tensors` (on any device) in their own layout. A metadata entry, "crc32", has a checksum of each
/// tensor; other programs ignore it. The header lists the tensors in the order of `tensors`; their bytes are
/// sorted by descending element size, so that every tensor is aligned. Atomic, see atomic_file.h. FormatError
/// for a name or metadata that is not UTF-8, or for a tensor called "__metadata__".
void write_safetensors(const std::filesystem::path& path, const StateDict& tensors,
                       const Metadata& metadata = {});

}  // namespace fer
