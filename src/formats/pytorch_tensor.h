// A tensor out of a storage: offset, extents and strides checked against the storage, then a view of it
// where the elements are contiguous, a copy in row-major order where they are not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "fer/tensor/tensor.h"
#include "formats/pytorch_tree.h"

namespace fer::detail {

class TensorLoader {
 public:
  TensorLoader(const Pickle& pickle, StorageSource& source, std::uint64_t file_bytes);

  /// `what` names the file and the tensor.
  Tensor load(const TensorRef& tensor, const std::string& what);

 private:
  Tensor storage(const StorageRef& storage, DType dtype, const std::string& what);

  const Pickle& pickle_;
  StorageSource& source_;
  std::uint64_t storage_budget_;          // bytes that storages may still take: all of them are in the file
  std::uint64_t copy_budget_;             // bytes that copies of strided tensors may still take
  std::map<std::string, Tensor> loaded_;  // rank 1, by key
};

}  // namespace fer::detail
