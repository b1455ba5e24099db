// Turns the nodes of a pickle and the bytes of its storages into values and tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "fer/formats/pytorch.h"
#include "formats/pickle_vm.h"

namespace fer::detail {

/// Where storages have their bytes: records of a zip file, or the tail of a legacy file.
class StorageSource {
 public:
  virtual ~StorageSource() = default;
  /// Bytes of the storage; FormatError if the file lacks that key.
  virtual std::uint64_t size(const std::string& key) = 0;
  /// Fills `out`, whose size is size(key).
  virtual void read(const std::string& key, std::span<std::byte> out) = 0;
};

/// Builds the value of the pickle's root and reports inert names. `what` is the file in messages;
/// `file_bytes` bounds the memory that its tensors may take.
PytorchFile build_tree(const Pickle& pickle, StorageSource& source, const std::string& what,
                       std::uint64_t file_bytes);

}  // namespace fer::detail
