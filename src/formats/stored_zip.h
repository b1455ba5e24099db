// A zip archive of uncompressed records, each starting at a multiple of 64, as PyTorch lays them out so that
// it can map storages directly from the file. libzip, which reads these archives, cannot control where a
// record begins. Nothing is copied: the archive is a list of parts to write one after another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <span>
#include <string>
#include <vector>

namespace fer::detail {

class StoredZip {
 public:
  /// Appends a record; `data` must outlive the archive. FormatError beyond 4 GiB, the limit of plain zip.
  void add(const std::string& name, std::span<const std::byte> data);
  /// The parts of the archive; valid as long as it lives. Nothing may be added afterwards.
  const std::vector<std::span<const std::byte>>& finish();

 private:
  std::list<std::string> headers_;
  std::vector<std::span<const std::byte>> parts_;
  std::string directory_;
  std::uint64_t offset_ = 0, count_ = 0;
};

}  // namespace fer::detail
