// The loop over operations: bytes in, nodes out. pickle_machine.cpp has the stack, pickle_calls.cpp the calls
// that REDUCE may make.
#include "formats/pickle_vm.h"

#include <bit>
#include <charconv>
#include <optional>

#include "fer/error.h"
#include "formats/pickle_machine.h"
#include "formats/pickle_text.h"

namespace fer::detail {
namespace {

using Kind = PickleNode::Kind;

// Operation codes, named as in Python's pickletools.
enum : std::uint8_t {
  op_mark = '(',
  op_stop = '.',
  op_pop = '0',
  op_pop_mark = '1',
  op_none = 'N',
  op_int = 'I',
  op_long = 'L',
  op_float = 'F',
  op_string = 'S',
  op_unicode = 'V',
  op_newtrue = 0x88,
  op_newfalse = 0x89,
  op_binint = 'J',
  op_binint1 = 'K',
  op_binint2 = 'M',
  op_long1 = 0x8A,
  op_long4 = 0x8B,
  op_binfloat = 'G',
  op_binunicode = 'X',
  op_short_binunicode = 0x8C,
  op_binunicode8 = 0x8D,
  op_binstring = 'T',
  op_short_binstring = 'U',
  op_binbytes = 'B',
  op_short_binbytes = 'C',
  op_binbytes8 = 0x8E,
  op_bytearray8 = 0x96,
  op_empty_tuple = ')',
  op_tuple = 't',
  op_tuple1 = 0x85,
  op_tuple2 = 0x86,
  op_tuple3 = 0x87,
  op_empty_list = ']',
  op_append = 'a',
  op_appends = 'e',
  op_list = 'l',
  op_empty_dict = '}',
  op_setitem = 's',
  op_setitems = 'u',
  op_dict = 'd',
  op_empty_set = 0x8F,
  op_additems = 0x90,
  op_frozenset = 0x91,
  op_dup = '2',
  op_put = 'p',
  op_get = 'g',
  op_binput = 'q',
  op_long_binput = 'r',
  op_memoize = 0x94,
  op_binget = 'h',
  op_long_binget = 'j',
  op_global = 'c',
  op_stack_global = 0x93,
  op_reduce = 'R',
  op_build = 'b',
  op_inst = 'i',
  op_obj = 'o',
  op_newobj = 0x81,
  op_newobj_ex = 0x92,
  op_ext1 = 0x82,
  op_ext2 = 0x83,
  op_ext4 = 0x84,
  op_next_buffer = 0x97,
  op_readonly_buffer = 0x98,
  op_persid = 'P',
  op_binpersid = 'Q',
  op_proto = 0x80,
  op_frame = 0x95
};

/// The operands that follow an operation code, bounds-checked.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, const std::string& what) : bytes_(bytes), what_(what) {}

  std::size_t position() const { return at_; }

  std::string_view take(std::uint64_t count) {
    if (count > bytes_.size() - at_) {
      throw FormatError(concat(what_, " is truncated: it ends within the operation at byte ", operation_));
    }
    const std::string_view taken(reinterpret_cast<const char*>(bytes_.data()) + at_,
                                 static_cast<std::size_t>(count));
    at_ += static_cast<std::size_t>(count);
    return taken;
  }
  std::uint8_t operation() {
    operation_ = at_;
    return static_cast<std::uint8_t>(take(1)[0]);
  }
  std::size_t operation_position() const { return operation_; }
  /// A little-endian unsigned number of 1, 2, 4 or 8 bytes.
  std::uint64_t number(int size) {
    const std::string_view taken = take(static_cast<std::uint64_t>(size));
    std::uint64_t value = 0;
    for (int i = size - 1; i >= 0; --i) {
      value = value << 8 | static_cast<unsigned char>(taken[static_cast<std::size_t>(i)]);
    }
    return value;
  }
  std::string_view counted(int size_of_count) { return take(number(size_of_count)); }
  std::string_view line() {
    const std::string_view rest(reinterpret_cast<const char*>(bytes_.data()) + at_, bytes_.size() - at_);
    const std::size_t end = rest.find('\n');
    if (end == std::string_view::npos) take(rest.size() + 1);  // throws: truncated
    return take(end + 1).substr(0, end);
  }

 private:
  std::span<const std::byte> bytes_;
  const std::string& what_;
  std::size_t at_ = 0, operation_ = 0;
};

class Interpreter {
 public:
  Interpreter(std::span<const std::byte> bytes, const std::string& what)
      : cursor_(bytes, what), machine_(what) {}

  Pickle run() {
    for (;;) {
      const std::uint8_t op = cursor_.operation();
      machine_.at(cursor_.operation_position());
      if (op == op_stop) break;
      if (!scalar(op) && !container(op) && !memo(op) && !call(op)) {
        machine_.fail("has the unknown operation ", static_cast<int>(op));
      }
    }
    return machine_.finish(cursor_.position());
  }

 private:
  bool scalar(std::uint8_t op) {
    switch (op) {
      case op_none:
        machine_.push(Kind::none);
        return true;
      case op_newtrue:
      case op_newfalse:
        machine_.push_integer(op == op_newtrue, Kind::boolean);
        return true;
      case op_binint:
        machine_.push_integer(static_cast<std::int32_t>(cursor_.number(4)));
        return true;
      case op_binint1:
        machine_.push_integer(static_cast<std::int64_t>(cursor_.number(1)));
        return true;
      case op_binint2:
        machine_.push_integer(static_cast<std::int64_t>(cursor_.number(2)));
        return true;
      case op_long1:
        push_long(cursor_.counted(1));
        return true;
      case op_long4:
        push_long(cursor_.counted(4));
        return true;
      case op_binfloat:
        push_real(cursor_.take(8));
        return true;
      default:
        return text(op) || line(op);
    }
  }

  /// The operations of protocol 0, whose operands are lines of text.
  bool line(std::uint8_t op) {
    switch (op) {
      case op_int:
      case op_long: {
        const std::string_view digits = cursor_.line();
        if (op == op_int && (digits == "00" || digits == "01")) {
          machine_.push_integer(digits == "01", Kind::boolean);
        } else {
          push_long(decimal(digits));
        }
        return true;
      }
      case op_float:
        push_decimal(cursor_.line());
        return true;
      case op_string:
        if (const auto text = parse_string(cursor_.line())) {
          machine_.push_text(*text, Kind::text);
        } else {
          machine_.fail("has a text without its quotes");
        }
        return true;
      case op_unicode:
        machine_.push_text(parse_unicode(cursor_.line()), Kind::text);
        return true;
      default:
        return false;
    }
  }

  bool text(std::uint8_t op) {
    switch (op) {
      case op_short_binunicode:
      case op_short_binstring:  // Python 2 wrote its str, read as text here, with these two
        machine_.push_text(cursor_.counted(1), Kind::text);
        return true;
      case op_binunicode:
      case op_binstring:
        machine_.push_text(cursor_.counted(4), Kind::text);
        return true;
      case op_binunicode8:
        machine_.push_text(cursor_.counted(8), Kind::text);
        return true;
      case op_short_binbytes:
        machine_.push_text(cursor_.counted(1), Kind::bytes);
        return true;
      case op_binbytes:
        machine_.push_text(cursor_.counted(4), Kind::bytes);
        return true;
      case op_binbytes8:
      case op_bytearray8:
        machine_.push_text(cursor_.counted(8), Kind::bytes);
        return true;
      default:
        return false;
    }
  }

  bool container(std::uint8_t op) {
    switch (op) {
      case op_mark:
        machine_.mark();
        return true;
      case op_pop:
        machine_.pop();
        return true;
      case op_pop_mark:
        machine_.pop_to_mark();
        return true;
      case op_empty_tuple:
        machine_.push(Kind::tuple);
        return true;
      case op_tuple1:
      case op_tuple2:
      case op_tuple3:
        machine_.push_children(Kind::tuple, machine_.pop(op - op_tuple1 + 1));
        return true;
      case op_tuple:
        machine_.push_children(Kind::tuple, machine_.pop_to_mark());
        return true;
      case op_empty_list:
        machine_.push(Kind::list);
        return true;
      case op_list:
        machine_.push_children(Kind::list, machine_.pop_to_mark());
        return true;
      case op_append:
        machine_.extend(Kind::list, machine_.pop(1));
        return true;
      case op_appends:
        machine_.extend(Kind::list, machine_.pop_to_mark());
        return true;
      case op_empty_set:
        machine_.push(Kind::list);
        return true;
      case op_additems:
        machine_.add_to_set();
        return true;
      case op_frozenset:
        machine_.push_children(Kind::tuple, machine_.pop_to_mark());
        return true;
      case op_empty_dict:
        machine_.push(Kind::dict);
        return true;
      case op_dict:
        machine_.push_children(Kind::dict, machine_.pop_to_mark());
        return true;
      case op_setitem:
        machine_.extend(Kind::dict, machine_.pop(2));
        return true;
      case op_setitems:
        machine_.extend(Kind::dict, machine_.pop_to_mark());
        return true;
      default:
        return false;
    }
  }

  bool memo(std::uint8_t op) {
    switch (op) {
      case op_dup:
        machine_.duplicate();
        return true;
      case op_put:
        machine_.memoize(index_line());
        return true;
      case op_get:
        machine_.recall(index_line());
        return true;
      case op_binput:
        machine_.memoize(cursor_.number(1));
        return true;
      case op_long_binput:
        machine_.memoize(cursor_.number(4));
        return true;
      case op_memoize:
        machine_.memoize_next();
        return true;
      case op_binget:
        machine_.recall(cursor_.number(1));
        return true;
      case op_long_binget:
        machine_.recall(cursor_.number(4));
        return true;
      default:
        return false;
    }
  }

  bool call(std::uint8_t op) {
    switch (op) {
      case op_proto:
        if (const auto version = cursor_.number(1); version > 5) {
          machine_.fail("has protocol ", version, ", not 0 to 5,");
        }
        return true;
      case op_frame:  // the length of the following frame, which is not needed
        cursor_.take(8);
        return true;
      case op_global: {
        const std::string_view module = cursor_.line(), name = cursor_.line();
        machine_.push_global(module, name);
        return true;
      }
      case op_stack_global:
        machine_.push_global_from_stack();
        return true;
      case op_reduce:
        machine_.reduce();
        return true;
      case op_build:
        machine_.build();
        return true;
      case op_binpersid:
        machine_.push_storage();
        return true;
      case op_persid:
        machine_.push_persistent_text(cursor_.line());
        return true;
      default:
        return object(op);
    }
  }

  bool object(std::uint8_t op) {
    switch (op) {
      case op_inst: {
        const std::string_view module = cursor_.line(), name = cursor_.line();
        machine_.instantiate_from_mark(module, name);
        return true;
      }
      case op_obj:
        machine_.instantiate_from_mark();
        return true;
      case op_newobj:
      case op_newobj_ex:
        machine_.instantiate(op == op_newobj_ex);
        return true;
      case op_ext1:
      case op_ext2:
      case op_ext4:
        machine_.push_extension(cursor_.number(op == op_ext1 ? 1 : op == op_ext2 ? 2 : 4));
        return true;
      case op_next_buffer:
        machine_.push_out_of_band();
        return true;
      case op_readonly_buffer:  // says how the buffer on the stack may be used
        return true;
      default:
        return false;
    }
  }

  std::uint64_t index_line() {
    const std::string_view digits = cursor_.line();
    std::uint64_t index = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
    if (error != std::errc() || end != digits.data() + digits.size())
      machine_.fail("has no number of a memo");
    return index;
  }

  /// The bytes of a decimal integer, which Python 2 ended with L.
  std::string decimal(std::string_view digits) {
    const std::optional<std::string> bytes = parse_decimal(digits);
    if (!bytes) machine_.fail("has no integer of at most 300 digits");
    return *bytes;
  }

  /// A two's complement integer of any length; except for a magic number, PyTorch's own fit 64 bits.
  void push_long(std::string_view bytes) {
    if (bytes.size() > 8) return machine_.push_text(bytes, Kind::big_integer);
    const bool negative = !bytes.empty() && (bytes.back() & 0x80);
    std::uint64_t value = negative ? ~std::uint64_t{0} : 0;
    for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
    machine_.push_integer(static_cast<std::int64_t>(value));
  }

  void push_decimal(std::string_view text) {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) machine_.fail("has no number");
    machine_.push_real(value);
  }

  void push_real(std::string_view big_endian) {
    std::uint64_t bits = 0;
    for (const char byte : big_endian) bits = bits << 8 | static_cast<unsigned char>(byte);
    machine_.push_real(std::bit_cast<double>(bits));
  }

  Cursor cursor_;
  PickleMachine machine_;
};

}  // namespace

Pickle run_pickle(std::span<const std::byte> bytes, const std::string& what) {
  return Interpreter(bytes, what).run();
}

}  // namespace fer::detail
