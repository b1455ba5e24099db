// The list of known functions and classes. Everything else is inert.
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

constexpr std::array<Entry, 39> functions_and_classes{{
    {"torch._utils", "_rebuild_tensor", Global::rebuild_tensor},
    {"torch._utils", "_rebuild_tensor_v2", Global::rebuild_tensor_v2},
    {"torch._utils", "_rebuild_tensor_v3", Global::rebuild_tensor_v3},
    {"torch._utils", "_rebuild_parameter", Global::rebuild_parameter},
    {"torch._utils", "_rebuild_parameter_with_state", Global::rebuild_parameter},
    {"torch.nn.parameter", "Parameter", Global::rebuild_parameter},
    {"torch.nn.parameter", "Buffer", Global::rebuild_parameter},
    {"torch._tensor", "_rebuild_from_type", Global::rebuild_from_type},
    {"torch._tensor", "_rebuild_from_type_v2", Global::rebuild_from_type},
    {"torch.tensor", "_rebuild_from_type", Global::rebuild_from_type},
    {"torch.tensor", "_rebuild_from_type_v2", Global::rebuild_from_type},
    {"torch._utils", "_rebuild_sparse_tensor", Global::unread_tensor},
    {"torch._utils", "_rebuild_sparse_csr_tensor", Global::unread_tensor},
    {"torch._utils", "_rebuild_qtensor", Global::unread_tensor},
    {"torch._utils", "_rebuild_meta_tensor_no_storage", Global::unread_tensor},
    {"torch._utils", "_rebuild_nested_tensor", Global::unread_tensor},
    {"torch._utils", "_rebuild_wrapper_subclass", Global::unread_tensor},
    {"torch._utils", "_rebuild_device_tensor_from_numpy", Global::unread_tensor},
    {"torch._utils", "_rebuild_device_tensor_from_cpu_tensor", Global::unread_tensor},
    {"torch._utils", "_rebuild_xla_tensor", Global::unread_tensor},
    {"torch.storage", "_load_from_bytes", Global::unread_tensor},
    {"torch", "Size", Global::size},
    {"torch", "UntypedStorage", Global::untyped_storage},
    {"torch.storage", "UntypedStorage", Global::untyped_storage},
    {"torch.cuda", "UntypedStorage", Global::untyped_storage},
    {"collections", "OrderedDict", Global::ordered_dict},
    {"collections", "defaultdict", Global::default_dict},
    {"_codecs", "encode", Global::encode},
    {"copyreg", "__newobj__", Global::new_object},
    {"copyreg", "_reconstructor", Global::new_object},
    {"copy_reg", "__newobj__", Global::new_object},
    {"copy_reg", "_reconstructor", Global::new_object},
    {"numpy.core.multiarray", "_reconstruct", Global::numpy_array},
    {"numpy.core.multiarray", "scalar", Global::numpy_scalar},
    {"numpy.core.numeric", "_frombuffer", Global::numpy_buffer},
    {"numpy._core.multiarray", "_reconstruct", Global::numpy_array},
    {"numpy._core.multiarray", "scalar", Global::numpy_scalar},
    {"numpy._core.numeric", "_frombuffer", Global::numpy_buffer},
    {"numpy", "dtype", Global::numpy_dtype},
}};

/// Python 3 calls the module builtins, Python 2 __builtin__.
constexpr std::array<Entry, 12> builtins{{
    {"", "int", Global::factory},
    {"", "long", Global::factory},
    {"", "float", Global::factory},
    {"", "str", Global::factory},
    {"", "dict", Global::factory},
    {"", "object", Global::factory},
    {"", "list", Global::sequence},
    {"", "tuple", Global::sequence},
    {"", "set", Global::sequence},
    {"", "frozenset", Global::sequence},
    {"", "bytes", Global::bytes},
    {"", "bytearray", Global::bytes},
}};

template <std::size_t n>
const Entry* find(const std::array<Entry, n>& entries, std::string_view module, std::string_view name) {
  const auto found = std::find_if(entries.begin(), entries.end(),
                                  [&](const Entry& e) { return e.module == module && e.name == name; });
  return found == entries.end() ? nullptr : &*found;
}

/// The length of the UTF-8 sequence at the start of `text`; 0 if there is none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const std::size_t length = byte(0) < 0x80   ? 1
                             : byte(0) < 0xC2 ? 0
                             : byte(0) < 0xE0 ? 2
                             : byte(0) < 0xF0 ? 3
                             : byte(0) < 0xF5 ? 4
                                              : 0;
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  // Overlong forms, surrogates, and code points beyond Unicode.
  const bool bad = (byte(0) == 0xE0 && byte(1) < 0xA0) || (byte(0) == 0xED && byte(1) > 0x9F) ||
                   (byte(0) == 0xF0 && byte(1) < 0x90) || (byte(0) == 0xF4 && byte(1) > 0x8F);
  return bad ? 0 : length;
}

}  // namespace

PickleNode find_global(std::string_view module, std::string_view name) {
  PickleNode node;
  node.kind = PickleNode::Kind::global;
  node.global = Global::inert;
  node.text = module.empty() ? std::string(name) : concat(module, ".", name);
  if (const Entry* entry = find(functions_and_classes, module, name)) node.global = entry->global;
  if (module == "builtins" || module == "__builtin__") {
    if (const Entry* entry = find(builtins, "", name)) node.global = entry->global;
  }
  if (module == "torch" || module == "torch.cuda") {
    if (const ElementType* type = find_storage_type(name)) {
      node.global = Global::storage;
      node.type = type;
    }
  }
  if (module == "torch") {
    if (const ElementType* type = find_element_type(name)) {
      node.global = Global::dtype;
      node.type = type;
    }
  }
  return node;
}

namespace {

/// The length of the printable character at the start of `text`; 0 for a control character or invalid UTF-8.
std::size_t printable_length(std::string_view text) {
  const std::size_t length = utf8_length(text);
  const auto first = static_cast<unsigned char>(text.front());
  const bool control = length == 1 && (first < 0x20 || first == 0x7F);
  const bool control_c1 = length == 2 && first == 0xC2 && static_cast<unsigned char>(text[1]) < 0xA0;
  return control || control_c1 ? 0 : length;
}

}  // namespace

bool is_printable(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = printable_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string printable(std::string_view name) {
  constexpr std::size_t longest = 200;
  std::string text;
  while (!name.empty() && text.size() < longest) {
    const std::size_t length = printable_length(name);
    text += length == 0 ? std::string_view("?") : name.substr(0, length);
    name.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return name.empty() ? text : text + "...";
}

}  // namespace fer::detail
