#include "formats/protobuf.h"

#include <bit>

namespace fer {
namespace {

enum WireType { varint_type = 0, fixed64_type = 1, length_type = 2, fixed32_type = 5 };

/// The lowest `count` bytes, little-endian.
std::string low_bytes(std::uint64_t bits, int count) {
  std::string bytes;
  for (int i = 0; i < count; ++i) bytes.push_back(static_cast<char>((bits >> (8 * i)) & 0xff));
  return bytes;
}

}  // namespace

void ProtoMessage::append(std::string_view bytes) {
  if (pieces_.empty() || !std::holds_alternative<std::string>(pieces_.back())) {
    pieces_.emplace_back(std::string());
  }
  std::get<std::string>(pieces_.back()).append(bytes);
  size_ += bytes.size();
}

void ProtoMessage::varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<char>((value & 0x7f) | 0x80));
  bytes.push_back(static_cast<char>(value));
  append(bytes);
}

void ProtoMessage::tag(int field, int wire_type) {
  varint((static_cast<std::uint64_t>(field) << 3) | static_cast<std::uint64_t>(wire_type));
}

void ProtoMessage::integer(int field, std::int64_t value) {
  tag(field, varint_type);
  varint(static_cast<std::uint64_t>(value));  // negative numbers take ten bytes, as protobuf requires
}

void ProtoMessage::real(int field, float value) {
  tag(field, fixed32_type);
  append(low_bytes(std::bit_cast<std::uint32_t>(value), 4));
}

void ProtoMessage::real64(int field, double value) {
  tag(field, fixed64_type);
  append(low_bytes(std::bit_cast<std::uint64_t>(value), 8));
}

void ProtoMessage::text(int field, std::string_view value) {
  tag(field, length_type);
  varint(value.size());
  append(value);
}

void ProtoMessage::borrowed_bytes(int field, std::span<const std::byte> value) {
  tag(field, length_type);
  varint(value.size());
  pieces_.emplace_back(value);
  size_ += value.size();
}

void ProtoMessage::message(int field, ProtoMessage inner) {
  tag(field, length_type);
  varint(inner.size_);
  for (Piece& piece : inner.pieces_) {
    if (const auto* own = std::get_if<std::string>(&piece)) {
      append(*own);
      continue;
    }
    size_ += std::get<std::span<const std::byte>>(piece).size();
    pieces_.push_back(std::move(piece));
  }
}

std::vector<std::span<const std::byte>> ProtoMessage::parts() const {
  std::vector<std::span<const std::byte>> all;
  all.reserve(pieces_.size());
  for (const Piece& piece : pieces_) {
    const auto* own = std::get_if<std::string>(&piece);
    all.push_back(own ? std::as_bytes(std::span(*own)) : std::get<std::span<const std::byte>>(piece));
  }
  return all;
}

}  // namespace fer
