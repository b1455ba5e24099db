// Python's pickle machine, without Python. A pickle is a program: each operation pushes values on a stack,
// gathers them into containers, or calls a named function. Here names are looked up in a fixed list
// (find_global). A class or function that is not on the list is never imported, called or executed. It and
// whatever is made from it become inert objects, which have a name and keep the values that they were given.
//
// Values are nodes in one array and refer to one another by index. So whatever a hostile pickle builds (a
// list that holds itself, a million references to one dictionary) costs no more than its bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/element_type.h"

namespace fer::detail {

/// The meanings of the functions and classes on the list.
enum class Global : std::uint8_t {
  inert,              // not on the list
  rebuild_tensor,     // torch._utils._rebuild_tensor(storage, offset, size, stride)
  rebuild_tensor_v2,  // ..._v2(storage, offset, size, stride, requires_grad, hooks[, metadata])
  rebuild_tensor_v3,  // ..._v3(storage, offset, size, stride, requires_grad, hooks, dtype[, metadata])
  rebuild_parameter,  // torch._utils._rebuild_parameter(data, requires_grad, hooks[, state])
  rebuild_from_type,  // torch._tensor._rebuild_from_type_v2(function, class, arguments, state)
  unread_tensor,      // functions that rebuild sparse, quantised and other tensors that are not read
  ordered_dict,       // collections.OrderedDict
  default_dict,       // collections.defaultdict
  sequence,           // list, tuple, set, frozenset
  bytes,              // bytes, bytearray
  encode,             // _codecs.encode(text, 'latin1'): how protocol 2 writes bytes
  factory,            // the factory of a defaultdict: int, float, str, dict
  size,               // torch.Size
  storage,            // torch.FloatStorage, ...
  untyped_storage,    // torch.storage.UntypedStorage
  dtype,              // torch.float32, ...
  new_object,         // copyreg.__newobj__(class, ...), copyreg._reconstructor(class, base, state)
  numpy_array,        // numpy.core.multiarray._reconstruct; BUILD supplies the array's contents
  numpy_buffer,       // numpy.core.numeric._frombuffer(bytes, dtype, shape, order)
  numpy_scalar,       // numpy.core.multiarray.scalar(dtype, bytes)
  numpy_dtype         // numpy.dtype
};

using NodeId = std::uint32_t;

/// A storage as the pickle refers to it. Its bytes are elsewhere in the file, or in a node.
struct StorageRef {
  std::string key;
  const ElementType* type = nullptr;  // null: untyped, the tensor has the element type
  std::int64_t count = 0;             // elements; bytes if untyped
  std::int64_t view_offset = 0;       // start of a legacy storage view within its root storage, in elements
  std::int64_t bytes_node = -1;       // the node of kind bytes that holds the values of a NumPy array
};

/// A tensor as the pickle describes it: elements of a storage, by offset, extents and strides.
struct TensorRef {
  std::uint32_t storage = 0;  // index into Pickle::storages
  const ElementType* type = nullptr;
  std::int64_t offset = 0;
  std::vector<std::int64_t> size, stride;
};

/// The arguments of an inert object and the values that it received later.
struct ObjectRef {
  NodeId type = 0;               // the node of the class or function
  std::vector<NodeId> elements;  // its arguments, then what was appended to it
  std::vector<NodeId> items;     // key, value, key, value, ...
  std::vector<NodeId> states;    // the arguments of BUILD
};

struct PickleNode {
  enum class Kind : std::uint8_t {
    none,
    boolean,
    integer,
    big_integer,
    real,
    text,
    bytes,
    list,
    tuple,
    dict,
    global,
    storage,
    tensor,
    object,
    unread  // a tensor or storage that cannot be read; the text is the reason
  };
  Kind kind = Kind::none;
  Global global = Global::factory;    // kind global
  const ElementType* type = nullptr;  // kind global: element type of a storage class or dtype
  std::int64_t integer = 0;  // integer, boolean; storage, tensor, object: index into the tables of Pickle
  double real = 0;
  std::string text;              // text, bytes, big_integer; the full name of a global
  std::vector<NodeId> children;  // list, tuple: elements; dict: key, value, key, value, ...
};

struct Pickle {
  std::vector<PickleNode> nodes;
  std::vector<StorageRef> storages;
  std::vector<TensorRef> tensors;
  std::vector<ObjectRef> objects;
  std::vector<std::string> inert;  // names that are not on the list, without repeats, in order
  NodeId root = 0;
  std::size_t length = 0;  // bytes up to and including STOP

  const PickleNode& node(NodeId id) const { return nodes[id]; }
  const ObjectRef& object(const PickleNode& node) const {
    return objects[static_cast<std::size_t>(node.integer)];
  }
  /// The name of the class or function behind a node of kind global or object.
  const std::string& name(NodeId id) const;
};

/// Runs the pickle at the start of `bytes` (protocols 0 to 5). Messages call it `what` ("the pickle of
/// 'a.pth'"). FormatError if it is truncated or malformed.
Pickle run_pickle(std::span<const std::byte> bytes, const std::string& what);

/// The node of kind global for `module`.`name`; Global::inert if it is not on the list.
PickleNode find_global(std::string_view module, std::string_view name);

/// `name` made printable: control characters and invalid UTF-8 become '?', and it is cut to 200 bytes.
std::string printable(std::string_view name);
/// Whether `text` is UTF-8 without control characters.
bool is_printable(std::string_view text);

}  // namespace fer::detail
