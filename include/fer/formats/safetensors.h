// safetensors: eight bytes of header length, a JSON header, the tensors' bytes
// (github.com/huggingface/safetensors). Tensors are read and written as they are; layout is state_dict.h's
// business.
//
//   fer::SafetensorsFile file("model.safetensors");     // reads the header alone
//   fer::Tensor w = file.read("head.weight");           // reads that tensor's bytes
//
// Element types: F64, F32, F16, BF16, I64, I32, U8. BOOL is read as uint8; I8, I16 and U16 as int32; U32 as
// int64; F8_E4M3 and F8_E5M2 as float32. What no network of floats can use (C64, U64) may be there but is not
// read.
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
  const detail::ElementType* type = nullptr;  ///< of the file
  std::optional<DType> dtype;                 ///< it is read as; none: it is not read
  Shape shape;
  std::uint64_t begin = 0, end = 0;  ///< its bytes, counted from the end of the header
};

/// An open file whose header has been checked in full: every tensor's byte count is that of its type and
/// shape, and the tensors cover the rest of the file without gap or overlap.
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
  /// Whether it says the checksums of its tensors, as files that fer wrote do.
  bool has_checksums() const;
  bool contains(std::string_view name) const;
  /// FormatError, naming the file, if there is no such tensor.
  const SafetensorsEntry& entry(std::string_view name) const;
  /// Reads one tensor onto the CPU. FormatError if it does not have its checksum, or is of a type that is not
  /// read. Several threads may read at once.
  Tensor read(std::string_view name) const;
  /// Reads all of them but those whose type is not read.
  StateDict read_all() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Writes `tensors` (any device) in their own layout, with a checksum of each among the metadata ("crc32",
/// which other programs pass over); atomic, see atomic_file.h. Header and metadata keep their order, and
/// bytes are laid out by descending element size so that every tensor is aligned. FormatError for a name or
/// metadata that is not UTF-8 or a tensor called "__metadata__".
void write_safetensors(const std::filesystem::path& path, const StateDict& tensors,
                       const Metadata& metadata = {});

}  // namespace fer
