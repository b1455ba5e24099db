// The small part of Python's pickle machine that checkpoints need. A pickle is a program: each operation
// pushes values on a stack, gathers them into containers, or calls a function that it names. Here a name is
// looked up in a fixed list (find_global); any other is refused, so nothing is ever called but the code
// below.
//
// Values are nodes in one array and refer to one another by index, so that what a hostile pickle can build (a
// list that holds itself, a million references to one dictionary) costs no more than its bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fer/tensor/dtype.h"

namespace fer::detail {

/// What the functions and classes on the list mean.
enum class Global {
  rebuild_tensor,     // torch._utils._rebuild_tensor(storage, offset, size, stride)
  rebuild_tensor_v2,  // ..._v2(storage, offset, size, stride, requires_grad, hooks[, metadata])
  rebuild_tensor_v3,  // ..._v3(storage, offset, size, stride, requires_grad, hooks, dtype[, metadata])
  rebuild_parameter,  // torch._utils._rebuild_parameter(data, requires_grad, hooks[, state])
  ordered_dict,       // collections.OrderedDict
  default_dict,       // collections.defaultdict
  factory,            // what a defaultdict may make: int, float, list, dict
  size,               // torch.Size
  storage,            // torch.FloatStorage, ...
  untyped_storage,    // torch.storage.UntypedStorage
  dtype               // torch.float32, ...
};

using NodeId = std::uint32_t;

/// A storage as the pickle refers to it; its bytes are elsewhere in the file.
struct StorageRef {
  std::string key;
  DType dtype = DType::uint8;
  bool untyped = false;          // the element type is the tensor's
  std::int64_t count = 0;        // elements; bytes if untyped
  std::int64_t view_offset = 0;  // elements that a legacy storage view starts after its root storage
};

/// A tensor as the pickle describes it: elements of a storage, by offset, extents and strides.
struct TensorRef {
  std::uint32_t storage = 0;  // index into Pickle::storages
  DType dtype = DType::float32;
  std::int64_t offset = 0;
  std::vector<std::int64_t> size, stride;
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
    tensor
  };
  Kind kind = Kind::none;
  Global global = Global::factory;  // kind global
  DType dtype = DType::float32;     // kind global: of a storage class or a dtype
  std::int64_t integer = 0;         // integer, boolean; storage, tensor: index into the tables of Pickle
  double real = 0;
  std::string text;              // text, bytes, big_integer; the full name of a global
  std::vector<NodeId> children;  // list, tuple: elements; dict: key, value, key, value, ...
};

struct Pickle {
  std::vector<PickleNode> nodes;
  std::vector<StorageRef> storages;
  std::vector<TensorRef> tensors;
  NodeId root = 0;
  std::size_t length = 0;  // bytes up to and including the STOP that ended it

  const PickleNode& node(NodeId id) const { return nodes[id]; }
};

/// Runs the pickle at the front of `bytes` (protocols 2 to 5). `what` stands for it in messages ("the pickle
/// of 'a.pth'"). FormatError for anything truncated, malformed, unsupported or refused.
Pickle run_pickle(std::span<const std::byte> bytes, const std::string& what);

/// The entry of the list for `module`.`name`, as a node of kind global; FormatError that names it if it is
/// not on the list.
PickleNode find_global(std::string_view module, std::string_view name, const std::string& what);

}  // namespace fer::detail
