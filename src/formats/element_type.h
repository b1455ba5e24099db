// The element types of tensor files, which are more than fer's, and the type that each is read as.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fer/tensor/dtype.h"

namespace fer::detail {

struct ElementType {
  std::string_view name;         ///< PyTorch's name: "float32", "complex64"
  std::string_view storage;      ///< PyTorch's typed storage, "FloatStorage"; empty if it has none
  std::size_t bytes;             ///< per element
  std::optional<DType> read_as;  ///< none: a network of floats cannot use it
  /// Widens `count` elements to `read_as`; null where the bytes are the same.
  void (*widen)(const std::byte* from, void* to, std::int64_t count) = nullptr;
};

/// Null if PyTorch has no such type.
const ElementType* find_element_type(std::string_view name);
/// One text per type that was widened: "2 tensors of bool read as uint8".
std::vector<std::string> widened_text(const std::map<const ElementType*, std::size_t>& counts);
/// Looks up the name of a typed storage class.
const ElementType* find_storage_type(std::string_view storage);

}  // namespace fer::detail
