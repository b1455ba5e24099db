// StateDict: the named tensors of a model, and the functions that load and save them in any file format.
//
//   fer::StateDict weights = fer::load_state_dict("mobilefacenet_model_best.pth.tar");
//   fer::save_state_dict("mobilefacenet.safetensors", weights);
//
// Layout. Files hold convolution weights in PyTorch's layout, O x I x kh x kw; fer computes with
// O x kh x kw x I. Only load_state_dict, read_state_file and save_state_dict permute them. They permute every
// tensor of rank 4: in a model's state those are convolution weights and the optimizer's state for them.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "fer/tensor/tensor.h"

namespace fer {

/// Free text beside the tensors of a file. Its meaning is up to the program that wrote it.
using Metadata = std::map<std::string, std::string>;

/// Names and tensors in the order in which they were inserted.
class StateDict {
 public:
  using Item = std::pair<std::string, Tensor>;

  /// ConfigError if the name is taken or the tensor undefined.
  void insert(std::string name, Tensor tensor);
  bool contains(std::string_view name) const { return find(name) != nullptr; }
  /// Null if absent.
  const Tensor* find(std::string_view name) const;
  /// ConfigError if absent.
  const Tensor& at(std::string_view name) const;

  std::size_t size() const { return items_.size(); }
  bool empty() const { return items_.empty(); }
  /// Elements of all tensors together.
  std::int64_t element_count() const;
  std::vector<Item>::const_iterator begin() const { return items_.begin(); }
  std::vector<Item>::const_iterator end() const { return items_.end(); }

 private:
  std::vector<Item> items_;
  std::unordered_map<std::string, std::size_t> index_;
};

enum class FileFormat { safetensors, pytorch_zip, pytorch_legacy, pickle };
/// "safetensors", "PyTorch (zip)", "PyTorch (legacy)", "Python pickle".
std::string_view name_of(FileFormat format);

/// Detects the format by content, whatever the file is called. FormatError if the format is unknown, IoError
/// if the file cannot be read.
FileFormat detect_format(const std::filesystem::path& path);

struct LoadOptions {
  bool from_pytorch_layout = true;  ///< false: tensors as they are in the file
  bool widen_halves = true;         ///< float16 and bfloat16 become float32; false: kept
  /// The dotted path ("ema.model") of the dictionary or pickled module in a nested PyTorch checkpoint that
  /// holds the tensors. Empty: the first of `state_dict`, `model_state_dict`, `model` and other usual names
  /// that exists, or else the dictionary with the most tensors, except optimizers and averages.
  std::string key;
  /// Prefixes ("student.") to remove from the names that begin with them, in this order.
  std::vector<std::string> strip;
};

/// A prefix, and from how many names it was removed.
struct TakenOff {
  std::string prefix;
  std::size_t names = 0;
  bool operator==(const TakenOff&) const = default;
};

/// The tensors of a file, and how they were found.
struct StateFile {
  StateDict tensors;
  /// safetensors: its metadata. PyTorch: the dictionary `metadata` as written by save_state_dict, and the
  /// texts and numbers beside the tensors' dictionary ("epoch", "arch"), as text.
  Metadata metadata;
  FileFormat format = FileFormat::safetensors;
  std::string found_under;  ///< "state_dict"; empty if the tensors were at the top
  std::string module;       ///< the class of the pickled module whose tensors these are; usually empty
  std::vector<TakenOff> taken_off;   ///< prefixes that were removed from the names
  std::vector<std::string> skipped;  ///< entries beside the tensors that are not read: "n (an int)"
  std::vector<std::string> inert;    ///< classes and functions that the file names; none of them was called
  std::vector<std::string> widened;  ///< "2 tensors of bool read as uint8"
  std::vector<std::string> others;   ///< keys of other weights of the same network: "ema_state_dict"
};

/// What a user should know about how the file was read, one line each: removed prefixes, entries left aside,
/// other weights in the file. At most ten names are listed, and the others counted.
std::vector<std::string> notes(const StateFile& file);

/// "a, b and 5 more".
std::string some_of(const std::vector<std::string>& names, std::size_t most = 10);

/// Reads a file of any format onto the CPU. Removes the prefixes that only wrappers use: in front of all
/// names (`module.` of DataParallel) or anywhere (`_orig_mod.` of torch.compile, those of FSDP). Prefixes
/// that some networks have themselves (`model.`) are left to match() and free_names() in matching.h, which
/// know the network.
/// - IoError, FormatError: see safetensors.h and pytorch.h.
/// - FormatError, listing the keys, if the checkpoint has no tensors at the place described by LoadOptions.
/// - FormatError if two names become equal without their prefixes, or no name begins with a prefix of
///   `strip`.
StateFile read_state_file(const std::filesystem::path& path, const LoadOptions& options = {});

/// As read_state_file(), but returns only the tensors.
StateDict load_state_dict(const std::filesystem::path& path, const LoadOptions& options = {});

/// Writes the tensors, which may be on any device, in PyTorch's layout: .safetensors, or .pth, .pt and .tar
/// in PyTorch's zip format. Atomic (see atomic_file.h). ConfigError for another extension.
/// A safetensors file says in its metadata which layout it has ("layout": "O x I x kh x kw"). A PyTorch file
/// is the plain state dictionary, or {"state_dict": ..., "metadata": ...} if there is metadata.
void save_state_dict(const std::filesystem::path& path, const StateDict& tensors,
                     const Metadata& metadata = {});

/// O x I x kh x kw -> O x kh x kw x I for rank 4 (a copy, on the CPU); any other tensor as it is.
Tensor from_pytorch_layout(const Tensor& tensor);
/// O x kh x kw x I -> O x I x kh x kw for rank 4 (a copy, on the CPU); any other tensor as it is.
Tensor to_pytorch_layout(const Tensor& tensor);

}  // namespace fer
