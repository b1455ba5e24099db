// Writes torch.save's zip format: a pickle of protocol 2 that rebuilds the tensors, and one record per
// storage.
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fer/formats/atomic_file.h"
#include "fer/formats/pytorch.h"
#include "formats/stored_zip.h"

namespace fer {
namespace {

/// Appends pickle operations.
class Pickler {
 public:
  const std::string& program() const { return program_; }

  void op(std::string_view code) { program_ += code; }
  void global(std::string_view module, std::string_view name) {
    program_ += concat("c", module, "\n", name, "\n");
  }
  void text(const std::string& value) {
    program_ += 'X';
    little(value.size(), 4);
    program_ += value;
  }
  void integer(std::int64_t value) {
    if (value >= 0 && value < 256) {
      program_ += 'K';
      little(static_cast<std::uint64_t>(value), 1);
    } else {
      program_ += "\x8a\x08";  // LONG1 with eight bytes
      little(static_cast<std::uint64_t>(value), 8);
    }
  }
  void integers(const std::vector<std::int64_t>& values) {
    op("(");
    for (const std::int64_t value : values) integer(value);
    op("t");
  }
  void empty_ordered_dict() {
    global("collections", "OrderedDict");
    op(")R");
  }

 private:
  void little(std::uint64_t value, int count) {
    for (int i = 0; i < count; ++i) program_ += static_cast<char>(value >> (8 * i) & 255);
  }
  std::string program_ = "\x80\x02";
};

std::string_view storage_class(DType dtype) {
  switch (dtype) {
    case DType::float64:
      return "DoubleStorage";
    case DType::float32:
      return "FloatStorage";
    case DType::float16:
      return "HalfStorage";
    case DType::bfloat16:
      return "BFloat16Storage";
    case DType::int64:
      return "LongStorage";
    case DType::int32:
      return "IntStorage";
    case DType::uint8:
      return "ByteStorage";
  }
  throw TypeError("write_pytorch: unknown element type");
}

std::vector<std::int64_t> strides_of(const Shape& shape) {
  std::vector<std::int64_t> strides(static_cast<std::size_t>(shape.rank()));
  std::int64_t step = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    strides[static_cast<std::size_t>(i)] = step;
    step *= shape[i];
  }
  return strides;
}

/// _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)
void write_tensor(Pickler& p, const Tensor& tensor, std::size_t storage) {
  p.global("torch._utils", "_rebuild_tensor_v2");
  p.op("((");
  p.text("storage");
  p.global("torch", storage_class(tensor.dtype()));
  p.text(std::to_string(storage));
  p.text("cpu");
  p.integer(tensor.numel());
  p.op("tQ");  // the tuple is a persistent id, which the reader resolves to the storage
  p.integer(0);
  p.integers({tensor.shape().begin(), tensor.shape().end()});
  p.integers(strides_of(tensor.shape()));
  p.op("\x89");  // requires_grad: False
  p.empty_ordered_dict();
  p.op("tR");
}

/// The tensors on the host, and the storage of each. Tensors with identical memory share a storage.
struct Storages {
  explicit Storages(const StateDict& state) {
    std::map<std::pair<const void*, std::size_t>, std::size_t> known;
    for (const auto& [name, tensor] : state) {
      tensors.push_back(tensor.to(Device::cpu));
      const std::size_t bytes = tensors.back().bytes();
      std::size_t storage = unique.size();
      if (bytes > 0) storage = known.emplace(std::pair(tensors.back().raw(), bytes), storage).first->second;
      if (storage == unique.size()) unique.push_back(tensors.size() - 1);
      storage_of.push_back(storage);
    }
  }
  std::span<const std::byte> bytes(std::size_t storage) const {
    const Tensor& tensor = tensors[unique[storage]];
    if (tensor.bytes() == 0) return {};
    return {static_cast<const std::byte*>(tensor.raw()), tensor.bytes()};
  }

  std::vector<Tensor> tensors;
  std::vector<std::size_t> storage_of;  // by tensor
  std::vector<std::size_t> unique;      // for each storage, the index of a tensor with its memory
};

void write_state(Pickler& p, const StateDict& state, const Storages& storages) {
  p.empty_ordered_dict();
  p.op("(");
  std::size_t i = 0;
  for (const auto& [name, tensor] : state) {
    p.text(name);
    write_tensor(p, storages.tensors[i], storages.storage_of[i]);
    ++i;
  }
  p.op("u");
}

std::string pickle_of(const StateDict& state, const Storages& storages, const Metadata& metadata) {
  Pickler p;
  if (metadata.empty()) {
    write_state(p, state, storages);
  } else {
    p.op("}(");
    p.text("state_dict");
    write_state(p, state, storages);
    p.text("metadata");
    p.op("}(");
    for (const auto& [key, value] : metadata) {
      p.text(key);
      p.text(value);
    }
    p.op("uu");
  }
  p.op(".");
  return p.program();
}

}  // namespace

void write_pytorch(const std::filesystem::path& path, const StateDict& tensors, const Metadata& metadata) {
  const Storages storages(tensors);
  const std::string pickle = pickle_of(tensors, storages, metadata);
  constexpr std::string_view byte_order = "little", version = "3\n";
  // torch.load accepts any folder name; a fixed one keeps the bytes independent of the path.
  const std::string folder = "archive/";
  detail::StoredZip zip;
  zip.add(folder + "data.pkl", std::as_bytes(std::span(pickle)));
  zip.add(folder + "byteorder", std::as_bytes(std::span(byte_order)));
  for (std::size_t i = 0; i < storages.unique.size(); ++i) {
    zip.add(folder + "data/" + std::to_string(i), storages.bytes(i));
  }
  zip.add(folder + "version", std::as_bytes(std::span(version)));
  write_file_atomically(path, zip.finish());
}

}  // namespace fer
