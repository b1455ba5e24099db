#include "formats/safetensors_checksums.h"

#include <algorithm>
#include <charconv>
#include <numeric>

#include "fer/formats/checksum.h"
#include "formats/safetensors_header.h"

namespace fer::detail {
namespace {

constexpr std::size_t digits = 8;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

std::uint32_t checksum_of(const Metadata& metadata) {
  std::uint32_t crc = 0;
  for (const auto& [key, value] : metadata) {
    crc = crc32(bytes_of(concat(key, '\0', value, '\0')), crc);
  }
  return crc;
}

std::string hexadecimal(std::uint32_t value) {
  std::string text(digits, '0');
  for (std::size_t i = digits; i-- > 0; value >>= 4) text[i] = "0123456789abcdef"[value & 15];
  return text;
}

/// The positions of the entries, sorted by their names.
std::vector<std::size_t> by_name(const std::vector<SafetensorsEntry>& entries) {
  std::vector<std::size_t> order(entries.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return entries[a].name < entries[b].name; });
  return order;
}

}  // namespace

std::uint32_t checksum_of(const SafetensorsEntry& entry, std::span<const std::byte> bytes) {
  return crc32(bytes, crc32(bytes_of(description_of(entry))));
}

std::string checksums_text(const Metadata& metadata, const std::vector<SafetensorsEntry>& entries,
                           const std::vector<std::uint32_t>& tensors) {
  std::string text = hexadecimal(checksum_of(metadata));
  for (const std::size_t i : by_name(entries)) text += hexadecimal(tensors[i]);
  return text;
}

std::vector<std::uint32_t> take_checksums(Metadata& metadata, const std::vector<SafetensorsEntry>& entries,
                                          const std::string& file) {
  const auto found = metadata.find(checksums_key);
  if (found == metadata.end()) return {};
  const std::string text = std::move(found->second);
  metadata.erase(found);
  std::vector<std::uint32_t> all;
  for (std::size_t at = 0; at < text.size(); at += digits) {
    const char* begin = text.data() + at;
    const char* end = text.data() + std::min(text.size(), at + digits);
    const auto parsed = std::from_chars(begin, end, all.emplace_back(), 16);
    require<FormatError>(parsed.ec == std::errc() && parsed.ptr == begin + digits, file,
                         ": is damaged: its checksums are not hexadecimal");
  }
  require<FormatError>(all.size() == entries.size() + 1, file,
                       ": is damaged, or was changed by a program that kept its checksums ('", checksums_key,
                       "' in its metadata): they are of ", all.empty() ? 0 : all.size() - 1,
                       " tensors, and it holds ", entries.size());
  require<FormatError>(all[0] == checksum_of(metadata), file,
                       ": is damaged: the checksum of its metadata does not match");
  std::vector<std::uint32_t> tensors(entries.size());
  const std::vector<std::size_t> order = by_name(entries);
  for (std::size_t k = 0; k < order.size(); ++k) tensors[order[k]] = all[k + 1];
  return tensors;
}

}  // namespace fer::detail
