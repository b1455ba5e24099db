// Writing torch.save's zip format. The archive is laid out here rather than by libzip because PyTorch maps
// storages straight from the file: entries are stored, not deflated, and each begins at a multiple of 64
// bytes.

#include <array>
#include <map>
#include <memory>

#include "fer/formats/atomic_file.h"
#include "fer/formats/pytorch.h"

namespace fer {
namespace {

/// The pickle (protocol 2) of the checkpoint's object.
class Pickler {
 public:
  Pickler() { bytes_ = "\x80\x02"; }

  std::string finish() { return bytes_ + "."; }
  void global(const std::string& module, const std::string& name) {
    bytes_ += "c" + module + "\n" + name + "\n";
  }
  void op(char code) { bytes_ += code; }
  void text(const std::string& value) {
    bytes_ += 'X';
    little(value.size(), 4);
    bytes_ += value;
  }
  void integer(std::int64_t value) {
    bytes_ += "\x8a\x08";  // LONG1 of eight bytes
    little(static_cast<std::uint64_t>(value), 8);
  }
  void boolean(bool value) { bytes_ += value ? '\x88' : '\x89'; }
  void empty_ordered_dict() {
    global("collections", "OrderedDict");
    bytes_ += ")R";
  }
  void tuple(const std::vector<std::int64_t>& values) {
    bytes_ += '(';
    for (std::int64_t value : values) integer(value);
    bytes_ += 't';
  }

 private:
  void little(std::uint64_t value, int count) {
    for (int i = 0; i < count; ++i) bytes_ += static_cast<char>(value >> (8 * i) & 255);
  }
  std::string bytes_;
};

const char* storage_class(DType dtype) {
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

void write_tensor(Pickler& p, const Tensor& tensor, std::size_t key) {
  std::vector<std::int64_t> size(tensor.shape().begin(), tensor.shape().end()), stride(size.size());
  std::int64_t step = 1;
  for (std::size_t i = size.size(); i-- > 0;) {
    stride[i] = step;
    step *= size[i];
  }
  p.global("torch._utils", "_rebuild_tensor_v2");
  p.op('(');
  p.op('(');
  p.text("storage");
  p.global("torch", storage_class(tensor.dtype()));
  p.text(std::to_string(key));
  p.text("cpu");
  p.integer(tensor.numel());
  p.op('t');
  p.op('Q');  // persistent id
  p.integer(0);
  p.tuple(size);
  p.tuple(stride);
  p.boolean(false);
  p.empty_ordered_dict();
  p.op('t');
  p.op('R');
}

std::uint32_t crc_of(std::span<const std::byte> bytes) {
  std::uint32_t crc = 0xFFFFFFFFu;
  static const auto table = [] {
    std::array<std::uint32_t, 256> t{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t c = i;
      for (int bit = 0; bit < 8; ++bit) c = c & 1 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
      t[i] = c;
    }
    return t;
  }();
  for (std::byte b : bytes) crc = table[(crc ^ static_cast<std::uint32_t>(b)) & 255] ^ (crc >> 8);
  return ~crc;
}

/// A zip archive of stored entries in memory; parts are views that must outlive it.
class ZipWriter {
 public:
  void add(const std::string& name, std::span<const std::byte> data) {
    require<FormatError>(offset_ + data.size() < 0xFFFFFF00ull,
                         "a PyTorch file of 4 GiB or more is not supported; use .safetensors");
    const std::uint32_t crc = crc_of(data);
    // The extra field pads the header so that the data begins at a multiple of 64.
    const std::size_t fixed = 30 + name.size() + 4;
    const std::size_t pad = (64 - (offset_ + fixed) % 64) % 64;
    std::string header = "PK\x03\x04";
    fields(header, {{10, 2},
                    {0, 2},
                    {0, 2},
                    {0, 2},
                    {0x21, 2},
                    {crc, 4},
                    {data.size(), 4},
                    {data.size(), 4},
                    {name.size(), 2},
                    {pad + 4, 2}});
    header += name;
    header += "FB";
    fields(header, {{pad, 2}});
    header.append(pad, 'Z');
    std::string entry = "PK\x01\x02";
    fields(entry, {{10, 2},
                   {10, 2},
                   {0, 2},
                   {0, 2},
                   {0, 2},
                   {0x21, 2},
                   {crc, 4},
                   {data.size(), 4},
                   {data.size(), 4},
                   {name.size(), 2},
                   {0, 2},
                   {0, 2},
                   {0, 2},
                   {0, 2},
                   {0, 4},
                   {offset_, 4}});
    directory_ += entry + name;
    ++count_;
    offset_ += header.size() + data.size();
    headers_.push_back(std::make_unique<std::string>(std::move(header)));
    parts_.push_back(std::as_bytes(std::span(headers_.back()->data(), headers_.back()->size())));
    if (!data.empty()) parts_.push_back(data);
  }

  const std::vector<std::span<const std::byte>>& finish() {
    require<FormatError>(count_ < 0xFFFF, "a PyTorch file of ", count_,
                         " tensors is not supported; use .safetensors");
    std::string end = "PK\x05\x06";
    fields(end, {{0, 2}, {0, 2}, {count_, 2}, {count_, 2}, {directory_.size(), 4}, {offset_, 4}, {0, 2}});
    directory_ += end;
    parts_.push_back(std::as_bytes(std::span(directory_.data(), directory_.size())));
    return parts_;
  }

 private:
  static void fields(std::string& out, std::initializer_list<std::pair<std::uint64_t, int>> values) {
    for (const auto& [value, bytes] : values) {
      for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 255);
    }
  }

  std::vector<std::unique_ptr<std::string>> headers_;
  std::vector<std::span<const std::byte>> parts_;
  std::string directory_;
  std::uint64_t offset_ = 0, count_ = 0;
};

}  // namespace

void write_pytorch(const std::filesystem::path& path, const StateDict& tensors, const Metadata& metadata) {
  std::vector<Tensor> host;
  std::map<std::pair<const void*, std::size_t>, std::size_t> shared;  // memory -> storage key
  std::vector<std::size_t> key_of;
  std::vector<const Tensor*> storages;
  host.reserve(tensors.size());
  for (const auto& [name, tensor] : tensors) host.push_back(tensor.to(Device::cpu));
  for (const Tensor& tensor : host) {
    const auto [entry, is_new] = shared.emplace(
        std::make_pair(tensor.bytes() ? tensor.raw() : &tensor, tensor.bytes()), storages.size());
    if (is_new) storages.push_back(&tensor);
    key_of.push_back(entry->second);
  }
  Pickler pickler;
  if (!metadata.empty()) {
    pickler.op('}');
    pickler.op('(');
    pickler.text("state_dict");
  }
  pickler.empty_ordered_dict();
  pickler.op('(');
  std::size_t i = 0;
  for (const auto& [name, tensor] : tensors) {
    pickler.text(name);
    write_tensor(pickler, host[i], key_of[i]);
    ++i;
  }
  pickler.op('u');
  if (!metadata.empty()) {
    pickler.text("metadata");
    pickler.op('}');
    pickler.op('(');
    for (const auto& [key, value] : metadata) {
      pickler.text(key);
      pickler.text(value);
    }
    pickler.op('u');
    pickler.op('u');
  }
  const std::string pickle = pickler.finish(), folder = path.stem().string() + "/", order = "little",
                    version = "3\n";
  const auto bytes_of = [](const std::string& text) {
    return std::as_bytes(std::span(text.data(), text.size()));
  };
  ZipWriter zip;
  zip.add(folder + "data.pkl", bytes_of(pickle));
  zip.add(folder + "byteorder", bytes_of(order));
  for (std::size_t s = 0; s < storages.size(); ++s) {
    const Tensor& tensor = *storages[s];
    zip.add(folder + "data/" + std::to_string(s),
            tensor.bytes() ? std::span(static_cast<const std::byte*>(tensor.raw()), tensor.bytes())
                           : std::span<const std::byte>());
  }
  zip.add(folder + "version", bytes_of(version));
  write_file_atomically(path, zip.finish());
}

}  // namespace fer
