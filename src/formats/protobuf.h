// Writes protobuf's wire format (protobuf.dev/programming-guides/encoding). A message is a sequence of (field
// number << 3 | wire type) and value. An integer is a varint, a float four bytes, a double eight; text, bytes
// and inner messages are a length followed by that many bytes.
//
// The length of an inner message precedes it, so a message is kept in pieces until it is complete. Pieces may
// be borrowed, so that weights are not copied at each level.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace fer {

class ProtoMessage {
 public:
  void integer(int field, std::int64_t value);
  void real(int field, float value);
  void real64(int field, double value);
  void text(int field, std::string_view value);
  /// `value` must outlive this message and all messages that contain it.
  void borrowed_bytes(int field, std::span<const std::byte> value);
  void message(int field, ProtoMessage inner);

  std::size_t size() const { return size_; }
  /// The bytes in order. They point into this message and into borrowed memory.
  std::vector<std::span<const std::byte>> parts() const;

 private:
  using Piece = std::variant<std::string, std::span<const std::byte>>;

  void tag(int field, int wire_type);
  void varint(std::uint64_t value);
  void append(std::string_view bytes);

  std::vector<Piece> pieces_;
  std::size_t size_ = 0;
};

}  // namespace fer
