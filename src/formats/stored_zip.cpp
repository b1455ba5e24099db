#include "formats/stored_zip.h"

#include <array>
#include <initializer_list>

#include "fer/error.h"

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

/// Tables for eight bytes at a time: tables[k][b] is the remainder of byte b followed by k zero bytes.
std::array<std::array<std::uint32_t, 256>, 8> crc_tables() {
  std::array<std::array<std::uint32_t, 256>, 8> tables{};
  for (std::uint32_t b = 0; b < 256; ++b) {
    std::uint32_t rest = b;
    for (int bit = 0; bit < 8; ++bit) rest = rest & 1 ? 0xEDB88320u ^ (rest >> 1) : rest >> 1;
    tables[0][b] = rest;
  }
  for (std::size_t k = 1; k < 8; ++k) {
    for (std::size_t b = 0; b < 256; ++b) {
      tables[k][b] = tables[k - 1][b] >> 8 ^ tables[0][tables[k - 1][b] & 255];
    }
  }
  return tables;
}

constexpr std::uint64_t alignment = 64;
constexpr std::uint64_t version_needed = 10;
constexpr std::uint64_t dos_date = 0x21;  // 1 January 1980: equal input gives equal bytes

}  // namespace

std::uint32_t crc32(std::span<const std::byte> bytes) {
  static const auto tables = crc_tables();
  const auto at = [&](std::size_t i) { return static_cast<std::uint32_t>(bytes[i]); };
  std::uint32_t crc = ~0u;
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    crc ^= at(i) | at(i + 1) << 8 | at(i + 2) << 16 | at(i + 3) << 24;
    crc = tables[7][crc & 255] ^ tables[6][crc >> 8 & 255] ^ tables[5][crc >> 16 & 255] ^
          tables[4][crc >> 24] ^ tables[3][at(i + 4)] ^ tables[2][at(i + 5)] ^ tables[1][at(i + 6)] ^
          tables[0][at(i + 7)];
  }
  for (; i < bytes.size(); ++i) crc = tables[0][(crc ^ at(i)) & 255] ^ crc >> 8;
  return ~crc;
}

void StoredZip::add(const std::string& name, std::span<const std::byte> data) {
  constexpr std::uint64_t limit = 0xFFFFFF00;
  require<FormatError>(data.size() < limit && offset_ + data.size() < limit,
                       "a PyTorch file cannot have 4 GiB or more; write .safetensors instead");
  const std::uint64_t crc = crc32(data), size = data.size();

  // A field of PyTorch's own, "FB", pads the local header so that the data is aligned.
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
