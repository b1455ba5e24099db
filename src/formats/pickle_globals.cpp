// The list of functions and classes that a checkpoint may name, and what to say about the others.
#include <algorithm>
#include <array>
#include <string_view>

#include "fer/error.h"
#include "formats/pickle_vm.h"

namespace fer::detail {
namespace {

struct Entry {
  std::string_view module, name;
  Global global;
};

constexpr std::array<Entry, 19> functions_and_classes{{
    {"torch._utils", "_rebuild_tensor", Global::rebuild_tensor},
    {"torch._utils", "_rebuild_tensor_v2", Global::rebuild_tensor_v2},
    {"torch._utils", "_rebuild_tensor_v3", Global::rebuild_tensor_v3},
    {"torch._utils", "_rebuild_parameter", Global::rebuild_parameter},
    {"torch._utils", "_rebuild_parameter_with_state", Global::rebuild_parameter},
    {"torch", "Size", Global::size},
    {"torch", "UntypedStorage", Global::untyped_storage},
    {"torch.storage", "UntypedStorage", Global::untyped_storage},
    {"torch.cuda", "UntypedStorage", Global::untyped_storage},
    {"collections", "OrderedDict", Global::ordered_dict},
    {"collections", "defaultdict", Global::default_dict},
    {"builtins", "int", Global::factory},
    {"builtins", "float", Global::factory},
    {"builtins", "list", Global::factory},
    {"builtins", "dict", Global::factory},
    {"__builtin__", "int", Global::factory},
    {"__builtin__", "float", Global::factory},
    {"__builtin__", "list", Global::factory},
    {"__builtin__", "dict", Global::factory},
}};

struct ElementType {
  std::string_view storage, dtype;
  DType type;
};

constexpr std::array<ElementType, 7> element_types{{
    {"FloatStorage", "float32", DType::float32},
    {"DoubleStorage", "float64", DType::float64},
    {"HalfStorage", "float16", DType::float16},
    {"BFloat16Storage", "bfloat16", DType::bfloat16},
    {"LongStorage", "int64", DType::int64},
    {"IntStorage", "int32", DType::int32},
    {"ByteStorage", "uint8", DType::uint8},
}};

// How PyTorch's names of the element types that fer does not have begin.
constexpr std::array<std::string_view, 6> other_types{"uint", "int", "float", "complex", "bool", "q"};

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

/// What the user can do about a name that is not on the list.
std::string_view advice(std::string_view module, std::string_view name) {
  const bool torch = module == "torch" || module == "torch.cuda" || module == "torch.storage";
  const bool element_type = std::any_of(other_types.begin(), other_types.end(), [&](std::string_view known) {
    return name.substr(0, known.size()) == known;
  });
  if (torch && (ends_with(name, "Storage") || element_type)) {
    return "tensors may be float64, float32, float16, bfloat16, int64, int32 or uint8";
  }
  return "only what tensors, numbers, texts and containers need is allowed; save the state_dict() alone";
}

}  // namespace

PickleNode find_global(std::string_view module, std::string_view name, const std::string& what) {
  PickleNode node;
  node.kind = PickleNode::Kind::global;
  node.text = concat(module, ".", name);
  for (const Entry& entry : functions_and_classes) {
    if (entry.module == module && entry.name == name) {
      node.global = entry.global;
      return node;
    }
  }
  for (const ElementType& type : element_types) {
    const bool is_storage = (module == "torch" || module == "torch.cuda") && name == type.storage;
    const bool is_dtype = module == "torch" && name == type.dtype;
    if (is_storage || is_dtype) {
      node.global = is_storage ? Global::storage : Global::dtype;
      node.dtype = type.type;
      return node;
    }
  }
  throw FormatError(concat(what, " refuses the global ", node.text, ": ", advice(module, name)));
}

}  // namespace fer::detail
