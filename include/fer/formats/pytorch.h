// PyTorch checkpoints without Python: the zip format of torch.save since 1.6, and the legacy format before
// it. A checkpoint is a pickle, that is, a program for a small stack machine; pickle_vm.h runs the few
// operations that tensors and containers need, and refuses by name every function and class that is not on
// its list, so that loading a file can neither run code nor build anything but the values below.
//
//   fer::PyValue checkpoint = fer::read_pytorch("model_best.pth.tar").root;
//   const fer::PyValue* epoch = checkpoint.find("epoch");
//
// Tensors are read and written as they are; layout is state_dict.h's business.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "fer/formats/state_dict.h"
#include "fer/tensor/tensor.h"

namespace fer {

struct PyItem;

/// A value of a checkpoint: what Python's None, bool, int, float, str, bytes, list, tuple (torch.Size too),
/// dict (OrderedDict and defaultdict too) and Tensor (Parameter too) hold.
class PyValue {
 public:
  enum class Kind { none, boolean, integer, big_integer, real, text, bytes, tensor, list, tuple, dict };

  PyValue() = default;  ///< None
  static PyValue boolean(bool value);
  static PyValue integer(std::int64_t value);
  static PyValue big_integer(std::string little_endian);  ///< two's complement, more than 64 bits
  static PyValue real(double value);
  static PyValue text(std::string value);
  static PyValue bytes(std::string value);
  static PyValue tensor(Tensor value);
  static PyValue list(std::vector<PyValue> elements);
  static PyValue tuple(std::vector<PyValue> elements);
  static PyValue dict(std::vector<PyItem> items);

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  /// "a dict of 3", "a float", ... for messages.
  std::string describe() const;

  // Each of these throws TypeError if the value is of another kind.
  bool as_boolean() const;
  std::int64_t as_integer() const;
  double as_real() const;              ///< a float or an int
  const std::string& as_text() const;  ///< str, bytes or the bytes of a big integer
  const Tensor& as_tensor() const;
  const std::vector<PyValue>& elements() const;  ///< of a list or tuple
  const std::vector<PyItem>& items() const;      ///< of a dict, in order

  /// The value under a text key; null if this is no dict or has no such key.
  const PyValue* find(std::string_view key) const;

 private:
  Kind kind_ = Kind::none;
  std::variant<std::monostate, bool, std::int64_t, double, std::string, Tensor, std::vector<PyValue>,
               std::vector<PyItem>>
      value_;
};

struct PyItem {
  PyValue key, value;
};

struct PytorchFile {
  PyValue root;
  FileFormat format = FileFormat::pytorch_zip;
};

/// Reads a checkpoint of either format onto the CPU. Contiguous tensors of one storage share its memory, as
/// they did in PyTorch; others are copied into row-major order. Storages of float64, float32, float16,
/// bfloat16, int64, int32 and uint8, in little byte order.
/// IoError if the file cannot be read. FormatError, naming the file and where it is known the tensor, if it
/// is truncated or inconsistent, names a function or class that tensors do not need ("refuses the global
/// os.system"), or would expand to far more memory than the file has.
PytorchFile read_pytorch(const std::filesystem::path& path);
/// The same from memory; `name` stands for the file in messages.
PytorchFile read_pytorch(std::span<const std::byte> bytes, const std::string& name);

/// Writes PyTorch's zip format, which torch.load reads with weights_only=True: an OrderedDict of the tensors
/// in their own layout, or {"state_dict": that, "metadata": {...}} if there is metadata. Storages are aligned
/// to 64 bytes, tensors that are one and the same memory share a storage, and equal input gives equal bytes.
/// Atomic, see atomic_file.h.
void write_pytorch(const std::filesystem::path& path, const StateDict& tensors,
                   const Metadata& metadata = {});

}  // namespace fer
