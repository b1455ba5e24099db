#include "fer/formats/state_dict.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "fer/formats/half.h"
#include "fer/formats/pytorch.h"
#include "fer/formats/safetensors.h"
#include "fer/tensor/backend.h"

namespace fer {
namespace {

constexpr const char* layout_key = "layout";
constexpr const char* pytorch_layout = "O x I x kh x kw";

Tensor permuted(const Tensor& tensor, const std::array<int, 4>& order) {
  if (tensor.rank() != 4) return tensor;
  const Tensor host = tensor.to(Device::cpu);
  Shape shape = host.shape();
  for (int i = 0; i < 4; ++i) shape.set(i, host.dim(order[static_cast<std::size_t>(i)]));
  Tensor result = Tensor::empty_like(host, shape);
  if (host.numel() > 0) backend(Device::cpu).permute(host, order, result);
  return result;
}

std::string plain_text(const PyValue& value) {
  switch (value.kind()) {
    case PyValue::Kind::text:
      return value.as_text();
    case PyValue::Kind::boolean:
      return value.as_boolean() ? "true" : "false";
    case PyValue::Kind::integer:
      return std::to_string(value.as_integer());
    case PyValue::Kind::real:
      return concat(value.as_real());
    default:
      return {};
  }
}

/// The dictionary that holds the tensors: under the asked-for key, or one of the usual ones, or the root
/// itself.
const PyValue& tensor_dictionary(const PyValue& root, const std::string& key, const std::string& file,
                                 std::string& under) {
  const auto keys_of = [](const PyValue& value) {
    std::string keys;
    if (!value.is(PyValue::Kind::dict)) return keys;
    for (const PyItem& item : value.items()) {
      if (item.key.is(PyValue::Kind::text)) keys += (keys.empty() ? "'" : ", '") + item.key.as_text() + "'";
    }
    return keys;
  };
  require<FormatError>(root.is(PyValue::Kind::dict), file, ": holds ", root.describe(),
                       ", not a dictionary of tensors");
  if (!key.empty()) {
    const PyValue* value = &root;
    std::istringstream parts(key);
    for (std::string part; std::getline(parts, part, '.');) {
      const PyValue* next = value->find(part);
      require<FormatError>(next != nullptr, file, ": has no '", key, "'; its keys are ", keys_of(*value));
      value = next;
    }
    under = key;
    require<FormatError>(value->is(PyValue::Kind::dict), file, ": '", key, "' is ", value->describe(),
                         ", not a dictionary");
    return *value;
  }
  for (const char* usual : {"state_dict", "model_state_dict", "model"}) {
    const PyValue* value = root.find(usual);
    if (value && value->is(PyValue::Kind::dict)) {
      under = usual;
      return *value;
    }
  }
  return root;
}

void take_tensors(const PyValue& root, const LoadOptions& options, const std::string& file,
                  StateFile& result) {
  const PyValue& dictionary = tensor_dictionary(root, options.key, file, result.found_under);
  for (const PyItem& item : dictionary.items()) {
    const std::string name = item.key.is(PyValue::Kind::text) ? item.key.as_text() : item.key.describe();
    if (item.value.is(PyValue::Kind::tensor)) {
      result.tensors.insert(name, item.value.as_tensor());
    } else {
      result.skipped.push_back(name);
    }
  }
  if (!result.found_under.empty()) {
    for (const PyItem& item : root.items()) {
      if (!item.key.is(PyValue::Kind::text)) continue;
      if (item.key.as_text() == "metadata" && item.value.is(PyValue::Kind::dict)) {
        for (const PyItem& entry : item.value.items()) {
          if (entry.key.is(PyValue::Kind::text))
            result.metadata[entry.key.as_text()] = plain_text(entry.value);
        }
      } else if (const std::string text = plain_text(item.value); !text.empty()) {
        result.metadata[item.key.as_text()] = text;
      }
    }
  }
  if (result.tensors.empty()) {
    std::string keys;
    for (const PyItem& item : root.items())
      keys += (keys.empty() ? "" : ", ") +
              (item.key.is(PyValue::Kind::text) ? "'" + item.key.as_text() + "'" : item.key.describe());
    throw FormatError(concat(file, ": no tensors where they are looked for; its keys are ", keys));
  }
}

void strip_wrappers(StateFile& file) {
  for (const std::string prefix : {"module.", "_orig_mod."}) {
    bool all = !file.tensors.empty();
    for (const auto& [name, tensor] : file.tensors) all = all && name.rfind(prefix, 0) == 0;
    if (!all) continue;
    StateDict stripped;
    for (const auto& [name, tensor] : file.tensors) stripped.insert(name.substr(prefix.size()), tensor);
    file.tensors = std::move(stripped);
    file.stripped_prefix += prefix;
  }
}

}  // namespace

void StateDict::insert(std::string name, Tensor tensor) {
  require<ConfigError>(tensor.defined(), "state: '", name, "' is undefined");
  require<ConfigError>(index_.emplace(name, items_.size()).second, "state: '", name, "' is there twice");
  items_.emplace_back(std::move(name), std::move(tensor));
}

const Tensor* StateDict::find(std::string_view name) const {
  const auto found = index_.find(std::string(name));
  return found == index_.end() ? nullptr : &items_[found->second].second;
}

const Tensor& StateDict::at(std::string_view name) const {
  const Tensor* found = find(name);
  require<ConfigError>(found != nullptr, "state: '", name, "' is not there");
  return *found;
}

std::string_view name_of(FileFormat format) {
  switch (format) {
    case FileFormat::safetensors:
      return "safetensors";
    case FileFormat::pytorch_zip:
      return "PyTorch (zip)";
    case FileFormat::pytorch_legacy:
      return "PyTorch (legacy)";
  }
  throw TypeError("name_of: unknown file format");
}

FileFormat detect_format(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  require<IoError>(in.good() && !std::filesystem::is_directory(path), "cannot open '", path.string(),
                   "': ", std::filesystem::is_directory(path) ? "it is a folder" : std::strerror(errno));
  std::array<unsigned char, 9> head{};
  in.read(reinterpret_cast<char*>(head.data()), head.size());
  const auto count = in.gcount();
  if (count >= 4 && head[0] == 'P' && head[1] == 'K' && head[2] == 3 && head[3] == 4)
    return FileFormat::pytorch_zip;
  if (count >= 2 && head[0] == 0x80 && head[1] >= 2 && head[1] <= 5) return FileFormat::pytorch_legacy;
  if (count >= 9 && head[8] == '{') return FileFormat::safetensors;
  throw FormatError(concat(path.string(), ": is neither safetensors nor a PyTorch checkpoint"));
}

StateFile read_state_file(const std::filesystem::path& path, const LoadOptions& options) {
  StateFile file;
  file.format = detect_format(path);
  if (file.format == FileFormat::safetensors) {
    const SafetensorsFile opened(path);
    file.tensors = opened.read_all();
    file.metadata = opened.metadata();
  } else {
    take_tensors(read_pytorch(path).root, options, path.string(), file);
  }
  strip_wrappers(file);
  StateDict converted;
  for (const auto& [name, tensor] : file.tensors) {
    Tensor value = tensor;
    const bool half = value.dtype() == DType::float16 || value.dtype() == DType::bfloat16;
    if (half && options.widen_halves) value = convert_floating(value, DType::float32);
    if (options.from_pytorch_layout) value = from_pytorch_layout(value);
    converted.insert(name, std::move(value));
  }
  file.tensors = std::move(converted);
  return file;
}

StateDict load_state_dict(const std::filesystem::path& path, const LoadOptions& options) {
  return read_state_file(path, options).tensors;
}

void save_state_dict(const std::filesystem::path& path, const StateDict& tensors, const Metadata& metadata) {
  StateDict stored;
  for (const auto& [name, tensor] : tensors) stored.insert(name, to_pytorch_layout(tensor));
  const std::string extension = path.extension().string();
  if (extension == ".safetensors") {
    Metadata with_layout = metadata;
    with_layout[layout_key] = pytorch_layout;
    write_safetensors(path, stored, with_layout);
  } else if (extension == ".pth" || extension == ".pt" || extension == ".tar") {
    write_pytorch(path, stored, metadata);
  } else {
    throw ConfigError(
        concat("cannot tell the format of '", path.string(), "': use .safetensors, .pth, .pt or .tar"));
  }
}

Tensor from_pytorch_layout(const Tensor& tensor) {
  return permuted(tensor, {0, 2, 3, 1});
}
Tensor to_pytorch_layout(const Tensor& tensor) {
  return permuted(tensor, {0, 3, 1, 2});
}

}  // namespace fer
