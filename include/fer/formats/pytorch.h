// Reads and writes PyTorch checkpoints without Python: the zip format of torch.save since 1.6, the legacy
// format before it, and plain pickles of NumPy arrays. A checkpoint is a pickle, that is, a program for a
// small stack machine. pickle_vm.h runs its operations but calls no Python function. It implements the
// functions that rebuild tensors and containers; any other class or function becomes an inert object, which
// keeps its name and arguments. So loading a file can neither run code nor build anything but the values
// below.
//
//   fer::PyValue checkpoint = fer::read_pytorch("model_best.pth.tar").root;
//   const fer::PyValue* epoch = checkpoint.find("epoch");
//
// Tensors keep the file's layout; state_dict.h permutes convolution weights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "fer/formats/state_dict.h"
#include "fer/tensor/tensor.h"

namespace fer {

struct PyItem;
struct PyObject;

/// A value of a checkpoint: Python's None, bool, int, float, str, bytes, list, tuple (also torch.Size), dict
/// (also OrderedDict and defaultdict) or Tensor (also Parameter), or an inert object. A set is read as a
/// list, a frozenset as a tuple, a NumPy number as a number, and a NumPy array as a tensor.
class PyValue {
 public:
  enum class Kind {
    none,
    boolean,
    integer,
    big_integer,
    real,
    text,
    bytes,
    tensor,
    list,
    tuple,
    dict,
    object
  };

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
  static PyValue object(std::shared_ptr<const PyObject> value);

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
  const std::vector<PyItem>& items() const;      ///< of a dict or an inert object, in order
  const PyObject& as_object() const;

  /// The value under the text `key` or, if `key` is a number, under that integer. Null if there is no such
  /// key, or if this is neither a dict nor an inert object.
  const PyValue* find(std::string_view key) const;

 private:
  Kind kind_ = Kind::none;
  std::variant<std::monostate, bool, std::int64_t, double, std::string, Tensor, std::vector<PyValue>,
               std::vector<PyItem>, std::shared_ptr<const PyObject>>
      value_;
};

struct PyItem {
  PyValue key, value;
};

/// What a checkpoint says about an object whose class or function fer does not know. None of its code has
/// run.
struct PyObject {
  std::string type;         ///< "__main__.RecorderMeter"; empty for a tensor that fer cannot read
  std::string description;  ///< "an inert __main__.RecorderMeter", "a tensor of complex64"
  /// A pickled torch.nn.Module: its parameters and persistent buffers under the names that state_dict() gives
  /// them. Otherwise the object's arguments and elements under 0, 1, ..., its items and its attributes.
  std::vector<PyItem> items;
  bool is_module = false;
};

struct PytorchFile {
  PyValue root;
  FileFormat format = FileFormat::pytorch_zip;
  /// The classes and functions that the file names and fer does not know, each once.
  std::vector<std::string> inert;
  std::vector<std::string> widened;  ///< "2 tensors of bool read as uint8"
};

/// Reads a checkpoint of either format, or a plain pickle, onto the CPU. Contiguous tensors of one storage
/// share its memory, as in PyTorch; others are copied into row-major order.
/// - Kept: float64, float32, float16, bfloat16, int64, int32 and uint8.
/// - Widened: bool to uint8; int8, int16 and uint16 to int32; uint32 to int64; float8 (e4m3fn and e5m2) to
///   float32.
/// - Read as inert objects: complex, quantised and sparse tensors.
/// IoError if the file cannot be read. FormatError, naming the file and, if known, the tensor, if the file is
/// truncated or inconsistent, or would expand to far more memory than its size.
PytorchFile read_pytorch(const std::filesystem::path& path);
/// The same from memory; messages call the file `name`.
PytorchFile read_pytorch(std::span<const std::byte> bytes, const std::string& name);

/// Writes PyTorch's zip format, which torch.load reads with weights_only=True: an OrderedDict of the tensors
/// in their own layout, or {"state_dict": that, "metadata": {...}} if there is metadata. Storages are aligned
/// to 64 bytes, tensors with identical memory share a storage, and equal input gives equal bytes. Atomic, see
/// atomic_file.h.
void write_pytorch(const std::filesystem::path& path, const StateDict& tensors,
                   const Metadata& metadata = {});

}  // namespace fer
