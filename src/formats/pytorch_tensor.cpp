#include "formats/pytorch_tensor.h"

#include <array>
#include <cstring>
#include <limits>

#include "fer/error.h"

namespace fer::detail {
namespace {

/// The number of elements. Extents are not negative, and their product, zeros left out, fits into 62 bits.
std::int64_t count_elements(const TensorRef& tensor, const std::string& what) {
  std::int64_t product = 1;
  bool empty = false;
  for (const std::int64_t extent : tensor.size) {
    require<FormatError>(extent >= 0, what, " has the negative extent ", extent);
    empty = empty || extent == 0;
    const bool fits = extent == 0 || product <= (std::int64_t{1} << 56) / extent;
    require<FormatError>(fits, what, " is larger than any memory");
    if (extent > 0) product *= extent;
  }
  return empty ? 0 : product;
}

/// How many elements there are from the tensor's first to its farthest, both counted.
std::int64_t reach_of(const TensorRef& tensor, const std::string& what) {
  std::int64_t total = 1;
  for (std::size_t i = 0; i < tensor.size.size(); ++i) {
    require<FormatError>(tensor.stride[i] >= 0, what, " has the negative stride ", tensor.stride[i]);
    std::int64_t reach = 0;
    const bool fits = !__builtin_mul_overflow(tensor.size[i] - 1, tensor.stride[i], &reach) &&
                      !__builtin_add_overflow(total, reach, &total);
    require<FormatError>(fits, what, " reaches beyond any memory");
  }
  return total;
}

bool is_contiguous(const TensorRef& tensor) {
  std::int64_t expected = 1;
  for (std::size_t i = tensor.size.size(); i-- > 0;) {
    if (tensor.size[i] != 1 && tensor.stride[i] != expected) return false;
    expected *= tensor.size[i];
  }
  return true;
}

/// Copies the strided elements of `from` into row-major order.
template <std::size_t element_bytes>
void gather(const std::byte* from, const TensorRef& tensor, std::int64_t count, std::byte* to) {
  std::array<std::int64_t, Shape::max_rank> index{};
  const int rank = static_cast<int>(tensor.size.size());
  std::int64_t at = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    std::memcpy(to + i * static_cast<std::int64_t>(element_bytes),
                from + at * static_cast<std::int64_t>(element_bytes), element_bytes);
    for (int d = rank - 1; d >= 0; --d) {
      const auto u = static_cast<std::size_t>(d);
      at += tensor.stride[u];
      if (++index[u] < tensor.size[u]) break;
      at -= tensor.stride[u] * tensor.size[u];
      index[u] = 0;
    }
  }
}

}  // namespace

TensorLoader::TensorLoader(const Pickle& pickle, StorageSource& source, std::uint64_t file_bytes)
    : pickle_(pickle),
      source_(source),
      storage_budget_(file_bytes),
      copy_budget_(4 * file_bytes + (std::uint64_t{256} << 20)) {}

Tensor TensorLoader::storage(const StorageRef& storage, DType dtype, const std::string& what) {
  const std::uint64_t unit = storage.untyped ? 1 : size_of(storage.dtype);
  const std::uint64_t count = static_cast<std::uint64_t>(storage.count);
  if (const auto found = loaded_.find(storage.key); found != loaded_.end()) {
    const Tensor& known = found->second;
    require<FormatError>(known.dtype() == dtype, what, " takes the storage '", storage.key, "' as ", dtype,
                         ", another tensor took it as ", known.dtype());
    require<FormatError>(known.bytes() / unit == count, what, " gives the storage '", storage.key, "' ",
                         count, " elements, another tensor gave it ", known.bytes() / unit);
    return known;
  }
  const std::uint64_t bytes = source_.size(storage.key);
  require<FormatError>(bytes / unit == count && bytes % unit == 0, what, " needs the ", count,
                       storage.untyped ? " bytes" : " elements", " of the storage '", storage.key,
                       "', which has ", bytes, " bytes");
  require<FormatError>(bytes % size_of(dtype) == 0, what, " is of ", dtype, ", but its storage '",
                       storage.key, "' has ", bytes, " bytes");
  require<FormatError>(bytes <= storage_budget_, what, " is in a storage that overlaps others");
  storage_budget_ -= bytes;
  Tensor made = Tensor::empty({static_cast<std::int64_t>(bytes / size_of(dtype))}, dtype);
  if (bytes > 0) source_.read(storage.key, {static_cast<std::byte*>(made.mutable_raw()), bytes});
  loaded_.emplace(storage.key, made);
  return made;
}

Tensor TensorLoader::load(const TensorRef& tensor, const std::string& what) {
  const int rank = static_cast<int>(tensor.size.size());
  require<FormatError>(rank <= Shape::max_rank, what, " has ", rank, " dimensions; at most ", Shape::max_rank,
                       " are supported");
  const Shape shape{std::span<const std::int64_t>(tensor.size)};
  const StorageRef& ref = pickle_.storages[tensor.storage];
  const Tensor elements = storage(ref, tensor.dtype, what);
  const std::int64_t count = count_elements(tensor, what);
  if (count == 0) return elements.slice(0, 0).reshape(shape);

  std::int64_t first = 0, end = 0;
  const bool fits = tensor.offset >= 0 && ref.view_offset >= 0 &&
                    !__builtin_add_overflow(tensor.offset, ref.view_offset, &first) &&
                    !__builtin_add_overflow(first, reach_of(tensor, what), &end) && end <= elements.numel();
  require<FormatError>(fits, what, " of shape ", shape, " at element ", tensor.offset, " reaches beyond the ",
                       elements.numel(), " elements of its storage");
  if (is_contiguous(tensor)) return elements.slice(first, count).reshape(shape);

  const std::size_t element_bytes = size_of(tensor.dtype);
  const std::uint64_t bytes = static_cast<std::uint64_t>(count) * element_bytes;
  require<FormatError>(bytes <= copy_budget_, what, " of shape ", shape,
                       " would expand to far more memory than the file has");
  copy_budget_ -= bytes;
  Tensor copy = Tensor::empty(shape, tensor.dtype);
  const auto* from =
      static_cast<const std::byte*>(elements.raw()) + first * static_cast<std::int64_t>(element_bytes);
  auto* to = static_cast<std::byte*>(copy.mutable_raw());
  switch (element_bytes) {
    case 1:
      gather<1>(from, tensor, count, to);
      break;
    case 2:
      gather<2>(from, tensor, count, to);
      break;
    case 4:
      gather<4>(from, tensor, count, to);
      break;
    default:
      gather<8>(from, tensor, count, to);
  }
  return copy;
}

}  // namespace fer::detail
