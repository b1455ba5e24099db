// Protobuf's wire format, as far as writing takes it (protobuf.dev/programming-guides/encoding): a message is
// a sequence of (field number << 3 | wire type) and value, where an integer is a varint, a float four bytes,
// a double eight, and text, bytes and inner messages are a length and as many bytes.
//
// As the length of an inner message stands in front of it, a message is kept in pieces until it is whole;
// pieces may be borrowed, so that weights are not copied at each level.
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
  /// `value` must outlive the message and those that it becomes part of.
  void borrowed_bytes(int field, std::span<const std::byte> value);
  void message(int field, ProtoMessage inner);

  std::size_t size() const { return size_; }
  /// The bytes in order; they point into this message and into what was borrowed.
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
