// StateDict: the named tensors of a model, and the one pair of functions by which they come from and go to
// files of any format.
//
//   fer::StateDict weights = fer::load_state_dict("mobilefacenet_model_best.pth.tar");
//   fer::save_state_dict("mobilefacenet.safetensors", weights);
//
// Layout. Files hold convolution weights as PyTorch does, O x I x kh x kw; fer computes with
// O x kh x kw x I. The permutation happens in load_state_dict, read_state_file and save_state_dict and
// nowhere else. It applies to every tensor of rank 4: in a model's state those are convolution weights and
// what optimizers keep for them.
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

/// Free text beside the tensors of a file; its meaning belongs to whoever wrote it.
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

enum class FileFormat { safetensors, pytorch_zip, pytorch_legacy };
/// "safetensors", "PyTorch (zip)", "PyTorch (legacy)".
std::string_view name_of(FileFormat format);

/// By content, whatever the file is called. FormatError if it is none of them, IoError if it cannot be read.
FileFormat detect_format(const std::filesystem::path& path);

struct LoadOptions {
  bool from_pytorch_layout = true;  ///< false: tensors as they are in the file
  bool widen_halves = true;         ///< float16 and bfloat16 become float32; false: kept
  /// Which dictionary of a nested PyTorch checkpoint holds the tensors, components joined by dots
  /// ("ema.model"). Empty: `state_dict`, `model_state_dict` or `model`, the first that is there, or else the
  /// checkpoint itself.
  std::string key;
};

/// The tensors of a file, and what there is to say about where they were.
struct StateFile {
  StateDict tensors;
  /// safetensors: its metadata. PyTorch: the dictionary `metadata` as written by save_state_dict, and the
  /// texts and numbers beside the tensors' dictionary ("epoch", "arch"), as text.
  Metadata metadata;
  FileFormat format = FileFormat::safetensors;
  std::string found_under;           ///< "state_dict"; empty if the tensors were at the top
  std::string stripped_prefix;       ///< "module." if every name began with it; empty if none was taken off
  std::vector<std::string> skipped;  ///< entries of the tensors' dictionary that are no tensors
};

/// Reads a file of any format onto the CPU. Prefixes that all names share because a wrapper put them there
/// (`module.` of DataParallel, `_orig_mod.` of torch.compile) are taken off.
/// IoError, FormatError: see safetensors.h and pytorch.h. FormatError if the checkpoint holds no tensors
/// where they are looked for, listing its keys.
StateFile read_state_file(const std::filesystem::path& path, const LoadOptions& options = {});

/// The tensors alone.
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
