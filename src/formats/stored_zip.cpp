#include "formats/stored_zip.h"

#include <initializer_list>

#include "fer/error.h"
#include "fer/formats/checksum.h"

namespace fer::detail {
namespace {

struct Field {
  std::uint64_t value;
  int bytes;
};

void append(std::string& out, std::initializer_list<Field> fields) {
  for (const Field& field : fields) {
    for (int i = 0; i < field.bytes; ++i) out += static_cast<char>(field.value >> (8 * i) & 255);
  }
}

constexpr std::uint64_t alignment = 64;
constexpr std::uint64_t version_needed = 10;
constexpr std::uint64_t dos_date = 0x21;  // 1 January 1980: equal input gives equal bytes

}  // namespace

void StoredZip::add(const std::string& name, std::span<const std::byte> data) {
  constexpr std::uint64_t limit = 0xFFFFFF00;
  require<FormatError>(data.size() < limit && offset_ + data.size() < limit,
                       "a PyTorch file cannot have 4 GiB or more; write .safetensors instead");
  const std::uint64_t crc = crc32(data), size = data.size();

  // PyTorch's own extra field, "FB", pads the local header so that the data is aligned.
  const std::uint64_t unpadded = offset_ + 30 + name.size() + 4;
  const std::uint64_t padding = (alignment - unpadded % alignment) % alignment;
  std::string& header = headers_.emplace_back("PK\x03\x04");
  append(header,
         {{version_needed, 2}, {0, 2}, {0, 2}, {0, 2}, {dos_date, 2}, {crc, 4}, {size, 4}, {size, 4}});
  append(header, {{name.size(), 2}, {4 + padding, 2}});
  header += name + "FB";
  append(header, {{padding, 2}});
  header.append(padding, 'Z');

  directory_ += "PK\x01\x02";
  append(directory_, {{version_needed, 2}, {version_needed, 2}, {0, 2}, {0, 2}, {0, 2}, {dos_date, 2}});
  append(directory_, {{crc, 4}, {size, 4}, {size, 4}, {name.size(), 2}});
  append(directory_, {{0, 2}, {0, 2}, {0, 2}, {0, 2}, {0, 4}, {offset_, 4}});
  directory_ += name;

  parts_.push_back(std::as_bytes(std::span(header)));
  parts_.push_back(data);
  offset_ += header.size() + data.size();
  ++count_;
}

const std::vector<std::span<const std::byte>>& StoredZip::finish() {
  require<FormatError>(count_ < 0xFFFF && offset_ + directory_.size() < 0xFFFFFFFF,
                       "a PyTorch file cannot have ", count_, " storages; write .safetensors instead");
  const std::uint64_t directory_bytes = directory_.size();
  directory_ += "PK\x05\x06";
  append(directory_, {{0, 2}, {0, 2}, {count_, 2}, {count_, 2}, {directory_bytes, 4}, {offset_, 4}, {0, 2}});
  parts_.push_back(std::as_bytes(std::span(directory_)));
  return parts_;
}

}  // namespace fer::detail
