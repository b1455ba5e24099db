#include "formats/pytorch_tensor.h"

#include <array>
#include <cstring>
#include <limits>

#include "fer/error.h"

namespace fer::detail {
namespace {

/// The number of elements. FormatError unless extents are non-negative and the product of the non-zero ones
/// fits into 62 bits.
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

/// The number of elements from the tensor's first to its farthest, inclusive.
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
void gather_elements(const std::byte* from, const TensorRef& tensor, std::int64_t count, std::byte* to) {
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

void gather(const std::byte* from, const TensorRef& tensor, std::size_t element_bytes, std::int64_t count,
            std::byte* to) {
  switch (element_bytes) {
    case 1:
      return gather_elements<1>(from, tensor, count, to);
    case 2:
      return gather_elements<2>(from, tensor, count, to);
    case 4:
      return gather_elements<4>(from, tensor, count, to);
    default:
      return gather_elements<8>(from, tensor, count, to);
  }
}

}  // namespace

TensorLoader::TensorLoader(const Pickle& pickle, StorageSource& source, std::uint64_t file_bytes)
    : pickle_(pickle),
      source_(source),
      storage_budget_(file_bytes),
      copy_budget_(4 * file_bytes + (std::uint64_t{256} << 20)) {}

Tensor TensorLoader::storage(const StorageRef& storage, const ElementType& type, const std::string& what) {
  const std::uint64_t unit = storage.type ? storage.type->bytes : 1;
  const std::uint64_t count = static_cast<std::uint64_t>(storage.count);
  if (const auto found = loaded_.find(storage.key); found != loaded_.end()) {
    const auto& [known, known_type] = found->second;
    require<FormatError>(known_type == &type, what, " takes the storage '", storage.key, "' as ", type.name,
                         ", another tensor took it as ", known_type->name);
    require<FormatError>(known.bytes() / unit == count, what, " gives the storage '", storage.key, "' ",
                         count, " elements, another tensor gave it ", known.bytes() / unit);
    return known;
  }
  const std::string* inline_bytes =
      storage.bytes_node >= 0 ? &pickle_.node(static_cast<NodeId>(storage.bytes_node)).text : nullptr;
  const std::uint64_t bytes = inline_bytes ? inline_bytes->size() : source_.size(storage.key);
  require<FormatError>(bytes / unit == count && bytes % unit == 0, what, " needs the ", count,
                       storage.type ? " elements" : " bytes", " of the storage '", storage.key,
                       "', which has ", bytes, " bytes");
  require<FormatError>(bytes % type.bytes == 0, what, " is of ", type.name, ", but its storage '",
                       storage.key, "' has ", bytes, " bytes");
  require<FormatError>(bytes <= storage_budget_, what, " is in a storage that overlaps others");
  storage_budget_ -= bytes;
  // Values of a type that must be widened stay raw bytes here; make() widens them.
  const DType dtype = type.widen ? DType::uint8 : *type.read_as;
  Tensor made = Tensor::empty({static_cast<std::int64_t>(bytes / size_of(dtype))}, dtype);
  const std::span<std::byte> values(static_cast<std::byte*>(made.mutable_raw()), bytes);
  if (inline_bytes && bytes > 0) {
    std::memcpy(values.data(), inline_bytes->data(), bytes);
  } else if (bytes > 0) {
    source_.read(storage.key, values);
  }
  loaded_.emplace(storage.key, std::pair(made, &type));
  return made;
}

Tensor TensorLoader::load(std::size_t index, const std::string& what) {
  const auto [known, is_new] = tensors_.try_emplace(index);
  if (is_new) known->second = make(pickle_.tensors[index], what);
  return known->second;
}

Tensor TensorLoader::make(const TensorRef& tensor, const std::string& what) {
  const int rank = static_cast<int>(tensor.size.size());
  require<FormatError>(rank <= Shape::max_rank, what, " has ", rank, " dimensions; at most ", Shape::max_rank,
                       " are supported");
  const Shape shape{std::span<const std::int64_t>(tensor.size)};
  const StorageRef& ref = pickle_.storages[tensor.storage];
  const ElementType& type = *tensor.type;
  const Tensor values = storage(ref, type, what);
  const std::int64_t count = count_elements(tensor, what);
  if (count == 0) return Tensor::empty(shape, *type.read_as);

  const std::int64_t held = static_cast<std::int64_t>(values.bytes() / type.bytes);
  std::int64_t first = 0, end = 0;
  const bool fits = tensor.offset >= 0 && ref.view_offset >= 0 &&
                    !__builtin_add_overflow(tensor.offset, ref.view_offset, &first) &&
                    !__builtin_add_overflow(first, reach_of(tensor, what), &end) && end <= held;
  require<FormatError>(fits, what, " of shape ", shape, " at element ", tensor.offset, " reaches beyond the ",
                       held, " elements of its storage");
  if (is_contiguous(tensor) && !type.widen) return values.slice(first, count).reshape(shape);

  const std::size_t result_bytes = size_of(*type.read_as);
  const std::uint64_t bytes =
      static_cast<std::uint64_t>(count) * (type.bytes + (type.widen ? result_bytes : 0));
  require<FormatError>(bytes <= copy_budget_, what, " of shape ", shape,
                       " would expand to far more memory than the file has");
  copy_budget_ -= bytes;
  const auto* from =
      static_cast<const std::byte*>(values.raw()) + first * static_cast<std::int64_t>(type.bytes);
  Tensor copy = Tensor::empty(shape, *type.read_as);
  if (!type.widen) {
    gather(from, tensor, type.bytes, count, static_cast<std::byte*>(copy.mutable_raw()));
    return copy;
  }
  std::vector<std::byte> narrow(static_cast<std::size_t>(count) * type.bytes);
  gather(from, tensor, type.bytes, count, narrow.data());
  type.widen(narrow.data(), copy.mutable_raw(), count);
  ++widened_[&type];
  return copy;
}

std::vector<std::string> TensorLoader::widened() const {
  return widened_text(widened_);
}

}  // namespace fer::detail
