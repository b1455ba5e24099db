// NumPy's arrays and numbers, whose values are inside the pickle. Module names are those of NumPy 1
// (numpy.core) and NumPy 2 (numpy._core).
#include <array>
#include <bit>
#include <cstring>

#include "fer/formats/half.h"
#include "formats/pickle_machine.h"

namespace fer::detail {

using Kind = PickleNode::Kind;

/// The element type of dtype('f4', False, True) with the state (3, '<', ...). Null if it is not supported:
/// big-endian, records, texts, dates, objects.
const ElementType* PickleMachine::numpy_type(NodeId dtype) const {
  if (node(dtype).kind != Kind::object) return nullptr;
  const ObjectRef& object = pickle_.object(node(dtype));
  const PickleNode& type = node(object.type);
  if (type.kind != Kind::global || type.global != Global::numpy_dtype) return nullptr;
  if (object.elements.empty() || object.states.empty()) return nullptr;
  const PickleNode& code = node(object.elements[0]);
  const PickleNode& state = node(object.states.back());
  if (state.kind != Kind::tuple || state.children.size() < 2) return nullptr;
  const std::string& order = node(state.children[1]).text;
  if (order != "<" && order != "|" && order != "=") return nullptr;
  constexpr std::array<std::pair<std::string_view, std::string_view>, 12> names{{{"f4", "float32"},
                                                                                 {"f8", "float64"},
                                                                                 {"f2", "float16"},
                                                                                 {"i8", "int64"},
                                                                                 {"i4", "int32"},
                                                                                 {"i2", "int16"},
                                                                                 {"i1", "int8"},
                                                                                 {"u1", "uint8"},
                                                                                 {"u2", "uint16"},
                                                                                 {"u4", "uint32"},
                                                                                 {"u8", "uint64"},
                                                                                 {"b1", "bool"}}};
  for (const auto& [numpy, torch] : names) {
    if (code.text == numpy) return find_element_type(torch);
  }
  return nullptr;
}

std::optional<NodeId> PickleMachine::numpy_array(NodeId dtype, NodeId shape, NodeId data, bool fortran) {
  const ElementType* type = numpy_type(dtype);
  const Kind kind = node(data).kind;
  if (!type || !type->read_as || (kind != Kind::bytes && kind != Kind::text)) return std::nullopt;
  TensorRef tensor;
  tensor.type = type;
  tensor.size = integers(shape, "an array's shape");
  tensor.stride.resize(tensor.size.size());
  std::int64_t stride = 1;
  for (std::size_t i = 0; i < tensor.size.size(); ++i) {
    const std::size_t axis = fortran ? i : tensor.size.size() - 1 - i;
    tensor.stride[axis] = stride;
    if (tensor.size[axis] < 0 ||
        __builtin_mul_overflow(stride, std::max<std::int64_t>(tensor.size[axis], 1), &stride))
      fail("has an array with an impossible shape");
  }
  StorageRef storage;
  storage.key = concat("NumPy array ", data);
  storage.type = type;
  storage.count = static_cast<std::int64_t>(node(data).text.size() / type->bytes);
  storage.bytes_node = data;
  tensor.storage = static_cast<std::uint32_t>(pickle_.storages.size());
  pickle_.storages.push_back(std::move(storage));
  return make_tensor(std::move(tensor));
}

/// (version, shape, dtype, whether the first index varies fastest, bytes)
std::optional<NodeId> PickleMachine::numpy_array_of_state(NodeId state) {
  const std::vector<NodeId>& parts = node(state).children;
  if (node(state).kind != Kind::tuple || parts.size() != 5) return std::nullopt;
  return numpy_array(parts[2], parts[1], parts[4], node(parts[3]).integer != 0);
}

/// _frombuffer(bytes, dtype, shape, 'C' or 'F')
std::optional<NodeId> PickleMachine::numpy_buffer(const std::vector<NodeId>& arguments) {
  if (arguments.size() != 4) return std::nullopt;
  return numpy_array(arguments[1], arguments[2], arguments[0], node(arguments[3]).text == "F");
}

/// scalar(dtype, bytes)
std::optional<NodeId> PickleMachine::numpy_scalar(const std::vector<NodeId>& arguments) {
  if (arguments.size() != 2) return std::nullopt;
  const ElementType* type = numpy_type(arguments[0]);
  const std::string& bytes = node(arguments[1]).text;
  if (!type || !type->read_as || bytes.size() != type->bytes) return std::nullopt;
  std::array<std::byte, 8> value{};
  const auto* raw = reinterpret_cast<const std::byte*>(bytes.data());
  if (type->widen) {
    type->widen(raw, value.data(), 1);
  } else {
    std::memcpy(value.data(), raw, bytes.size());
  }
  const auto as = [&value](auto zero) {
    std::memcpy(&zero, value.data(), sizeof zero);
    return zero;
  };
  PickleNode made;
  made.kind = type->name == "bool" ? Kind::boolean : is_floating(*type->read_as) ? Kind::real : Kind::integer;
  switch (*type->read_as) {
    case DType::float64:
      made.real = as(double{});
      break;
    case DType::float32:
      made.real = as(float{});
      break;
    case DType::float16:
      made.real = float16_to_float(as(std::uint16_t{}));
      break;
    case DType::int64:
      made.integer = as(std::int64_t{});
      break;
    case DType::int32:
      made.integer = as(std::int32_t{});
      break;
    default:
      made.integer = as(std::uint8_t{});
  }
  return make(std::move(made));
}

}  // namespace fer::detail
