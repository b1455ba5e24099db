#include "fer/formats/state_dict.h"

#include <algorithm>
#include <array>
#include <span>

#include "fer/formats/half.h"
#include "fer/formats/pytorch.h"
#include "fer/formats/safetensors.h"
#include "fer/tensor/backend.h"
#include "formats/element_type.h"
#include "formats/input_file.h"
#include "formats/pytorch_formats.h"
#include "formats/pytorch_state.h"
#include "formats/wrappers.h"

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

/// Checks and removes the entry that save_state_dict adds to a safetensors file.
void check_layout(const std::string& name, Metadata& metadata) {
  const auto layout = metadata.find(layout_key);
  if (layout == metadata.end()) return;
  require<FormatError>(layout->second == pytorch_layout, name, ": its layout is '", layout->second,
                       "', only '", pytorch_layout, "' is read");
  metadata.erase(layout);
}

/// Notes tensors that are read as another type, or not at all.
void note_types(const SafetensorsFile& opened, StateFile& file) {
  std::map<const detail::ElementType*, std::size_t> widened;
  for (const SafetensorsEntry& entry : opened.entries()) {
    if (!entry.dtype) {
      file.skipped.push_back(concat(entry.name, " (a tensor of ", entry.type->name, ")"));
    } else if (entry.type->widen) {
      ++widened[entry.type];
    }
  }
  file.widened = detail::widened_text(widened);
}

}  // namespace

void StateDict::insert(std::string name, Tensor tensor) {
  require<ConfigError>(tensor.defined(), "[state] '", name, "' is an undefined tensor");
  require<ConfigError>(index_.emplace(name, items_.size()).second, "[state] '", name, "' exists already");
  items_.emplace_back(std::move(name), std::move(tensor));
}

const Tensor* StateDict::find(std::string_view name) const {
  const auto found = index_.find(std::string(name));
  return found == index_.end() ? nullptr : &items_[found->second].second;
}

const Tensor& StateDict::at(std::string_view name) const {
  const Tensor* found = find(name);
  require<ConfigError>(found != nullptr, "[state] there is no tensor '", name, "'");
  return *found;
}

std::int64_t StateDict::element_count() const {
  std::int64_t count = 0;
  for (const auto& [name, tensor] : items_) count += tensor.numel();
  return count;
}

std::string_view name_of(FileFormat format) {
  switch (format) {
    case FileFormat::safetensors:
      return "safetensors";
    case FileFormat::pytorch_zip:
      return "PyTorch (zip)";
    case FileFormat::pytorch_legacy:
      return "PyTorch (legacy)";
    case FileFormat::pickle:
      return "Python pickle";
  }
  throw TypeError("name_of: unknown file format");
}

FileFormat detect_format(const std::filesystem::path& path) {
  const detail::InputFile file(path);
  std::array<std::byte, 16> bytes{};
  const auto head = std::span(bytes).first(std::min<std::uint64_t>(bytes.size(), file.size()));
  file.read(head, 0);
  return detail::detect_format(head, path.string());
}

StateFile read_state_file(const std::filesystem::path& path, const LoadOptions& options) {
  StateFile file;
  file.format = detect_format(path);
  if (file.format == FileFormat::safetensors) {
    const SafetensorsFile opened(path);
    file.tensors = opened.read_all();
    note_types(opened, file);
    file.metadata = opened.metadata();
    if (options.from_pytorch_layout) check_layout(path.string(), file.metadata);
  } else {
    PytorchFile read = read_pytorch(path);
    file.format = read.format;
    file.inert = std::move(read.inert);
    file.widened = std::move(read.widened);
    detail::take_tensors(read.root, options.key, path.string(), file);
  }
  detail::strip_wrappers(file, path.string());
  for (const std::string& prefix : options.strip) detail::strip_prefix(file, prefix, path.string());
  StateDict converted;
  for (const auto& [name, tensor] : file.tensors) {
    const bool half = tensor.dtype() == DType::float16 || tensor.dtype() == DType::bfloat16;
    const Tensor widened = half && options.widen_halves ? convert_floating(tensor, DType::float32) : tensor;
    converted.insert(name, options.from_pytorch_layout ? from_pytorch_layout(widened) : widened);
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
    throw ConfigError(concat("cannot tell the format of '", path.string(),
                             "' by its name: end it in .safetensors, .pth, .pt or .tar"));
  }
}

Tensor from_pytorch_layout(const Tensor& tensor) {
  return permuted(tensor, {0, 2, 3, 1});
}
Tensor to_pytorch_layout(const Tensor& tensor) {
  return permuted(tensor, {0, 3, 1, 2});
}

}  // namespace fer
