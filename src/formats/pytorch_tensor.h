// A tensor in a storage. Offset, extents and strides are checked against the storage. Contiguous elements
// become a view, others a row-major copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "fer/tensor/tensor.h"
#include "formats/pytorch_tree.h"

namespace fer::detail {

class TensorLoader {
 public:
  TensorLoader(const Pickle& pickle, StorageSource& source, std::uint64_t file_bytes);

  /// Pickle::tensors[index]; always the same memory. `what` names the file and the tensor.
  Tensor load(std::size_t index, const std::string& what);
  /// "2 tensors of bool read as uint8", ...
  std::vector<std::string> widened() const;

 private:
  Tensor make(const TensorRef& tensor, const std::string& what);
  /// The whole storage, of rank 1; as bytes if `type` is to be widened.
  Tensor storage(const StorageRef& storage, const ElementType& type, const std::string& what);

  const Pickle& pickle_;
  StorageSource& source_;
  std::uint64_t storage_budget_;  // bytes that storages may still take, as all of them are in the file
  std::uint64_t copy_budget_;     // bytes that copies of strided tensors may still take
  std::map<std::string, std::pair<Tensor, const ElementType*>> loaded_;  // by the storage's key
  std::map<std::size_t, Tensor> tensors_;
  std::map<const ElementType*, std::size_t> widened_;  // how many tensors of each type
};

}  // namespace fer::detail
