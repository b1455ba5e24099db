// The operands of a matrix product y(m, n) = sum_k A(m, k) B(k, n). Loaders locate the elements of A and B in
// memory. Stores locate those of y and say what is added to them. This file also cuts the work into blocks.
// product.h and tensor_product.h multiply; matmul.cu and conv2d.cu describe their operands.
//
// A Loader describes an operand. `outer` is its dimension m or n, `inner` is k:
//   Element                          the type in memory
//   struct Outer, Inner              a position along either dimension; positions beyond the end are invalid
//   static constexpr bool inner_contiguous   whether k (else m or n) is the contiguous dimension
//   void select(batch)               advances from batch 0 to this batch
//   Outer outer(int i)               position i of m or n
//   Inner inner(int k, int end)      position k, invalid from `end` on
//   void next(Inner&, int end)       advances to k + 1
//   bool inside(outer, inner)        whether there is an element; if not, it counts as zero
//   const Element* address(outer, inner)     the address of an element that is inside
//   const Element* origin()          any valid address in the operand
//   bool in_pieces(k)                whether `piece` elements (16 bytes) along the contiguous dimension, from
//                                    a multiple of `piece` on, are adjacent, aligned, and all inside or all
//                                    outside
// A Store writes y of type S, whose sums have type T = Wide<S>:
//   Element                          S
//   S* row(batch, m)                 the address of y(m, 0)
//   const T* bias(batch)             n elements, or nullptr
//   void put(S* at, int n, T value)  writes a finished sum of column n, bias included, to its place in y
//   static constexpr bool sums_a     whether there is a member T* sums for sum_k A(m, k), which may be null;
//                                    for a single batch only
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "cuda/device_backend.h"
#include "cuda/op_support.h"
#include "cuda/storage.h"
#include "fer/tensor/precision.h"

namespace fer::FER_DEVICE_NAMESPACE {

/// Whether a product uses bf16 operands: if one of its three tensors is bf16, or if the result is float32 and
/// the device's precision is bf16.
inline bool multiplies_bf16(const Backend& owner, DType result, const Tensor& a, const Tensor& b) {
  const auto is_bf16 = [](DType dtype) { return dtype == DType::bfloat16; };
  return is_bf16(result) || is_bf16(a.dtype()) || is_bf16(b.dtype()) ||
         (result == DType::float32 && precision(owner.device()) == Precision::bf16);
}

/// Calls body.operator()<S>(a's elements, b's elements) for a gradient of parameters of type S, float or
/// double. The operands have the same type, or bf16 if S is float.
template <typename Body>
void dispatch_gradient_product(const Backend& owner, const char* op, DType result, const Tensor& a,
                               const Tensor& b, const Body& body) {
  if (!multiplies_bf16(owner, result, a, b)) {
    return dispatch_floating(result, op,
                             [&]<typename T>() { body.template operator()<T>(a.data<T>(), b.data<T>()); });
  }
  require<TypeError>(result == DType::float32, "[", op,
                     "] of operands in bfloat16 needs a result in float32, got ", result);
  const Tensor x = product_operand(a).to(DType::bfloat16), y = product_operand(b).to(DType::bfloat16);
  body.template operator()<float>(stored<bf16>(x), stored<bf16>(y));
}

/// The same for a result that may also be bf16.
template <typename Body>
void dispatch_product(const Backend& owner, const char* op, DType result, const Tensor& a, const Tensor& b,
                      const Body& body) {
  if (result != DType::bfloat16) return dispatch_gradient_product(owner, op, result, a, b, body);
  const Tensor x = product_operand(a).to(DType::bfloat16), y = product_operand(b).to(DType::bfloat16);
  body.template operator()<bf16>(stored<bf16>(x), stored<bf16>(y));
}

/// The number of elements in 16 bytes, the most that one instruction moves per thread.
template <typename T>
inline constexpr int piece = 16 / static_cast<int>(sizeof(T));

inline bool is_piece_aligned(const void* data) {
  return reinterpret_cast<std::uintptr_t>(data) % 16 == 0;
}

/// A strided matrix per batch.
template <typename T, bool inner_contiguous_>
struct MatrixLoader {
  using Element = T;
  static constexpr bool inner_contiguous = inner_contiguous_;
  struct Outer {
    index_t offset;  ///< negative: beyond the end
  };
  struct Inner {
    index_t offset;
    int k;
    bool valid;
  };
  const T* data;
  int extent;
  index_t outer_stride, inner_stride, batch_stride;

  __device__ __forceinline__ void select(index_t batch) { data += batch * batch_stride; }
  __device__ __forceinline__ Outer outer(int i) const { return {i < extent ? i * outer_stride : -1}; }
  __device__ __forceinline__ Inner inner(int k, int end) const { return {k * inner_stride, k, k < end}; }
  __device__ __forceinline__ void next(Inner& in, int end) const {
    in.offset += inner_stride;
    in.valid = ++in.k < end;
  }
  __device__ __forceinline__ bool inside(const Outer& o, const Inner& in) const {
    return in.valid && o.offset >= 0;
  }
  __device__ __forceinline__ const T* address(const Outer& o, const Inner& in) const {
    return data + o.offset + in.offset;
  }
  __device__ __forceinline__ const T* origin() const { return data; }
  bool in_pieces(int k) const {
    const index_t line = inner_contiguous ? outer_stride : inner_stride;
    return is_piece_aligned(data) && line % piece<T> == 0 && batch_stride % piece<T> == 0 &&
           (inner_contiguous ? k : extent) % piece<T> == 0;
  }
};

/// y(m, n) at data[batch * batch_stride + m * line + n], plus all_bias[batch * bias_stride + n] if there is
/// one.
template <typename S>
struct MatrixStore {
  using Element = S;
  S* data;
  index_t line, batch_stride;
  const Wide<S>* all_bias;
  index_t bias_stride;

  __device__ __forceinline__ S* row(index_t batch, int m) const {
    return data + batch * batch_stride + m * line;
  }
  __device__ __forceinline__ const Wide<S>* bias(index_t batch) const {
    return all_bias == nullptr ? nullptr : all_bias + batch * bias_stride;
  }
  __device__ __forceinline__ void put(S* at, int, Wide<S> value) const { *at = narrow<S>(value); }
  static constexpr bool sums_a = false;
};

/// Extents, and how the product is cut: m and n into tiles, k into `splits` parts. `batches` is the number of
/// independent products, which loaders and store locate.
struct ProductShape {
  int m = 0, n = 0, k = 0;
  index_t batches = 1;
  int splits = 1, k_per_split = 0;
  int tiles_m = 0, tiles_n = 0;

  __host__ __device__ index_t outputs() const { return batches * m * n; }
  /// x runs over batches, tiles of m and tiles of n (fastest), y over the parts of k.
  dim3 grid() const {
    return dim3(static_cast<unsigned>(batches * tiles_m * tiles_n), static_cast<unsigned>(splits));
  }
};

/// An extent as the kernels take it. Throws ShapeError if it is too large.
inline int product_extent(index_t extent) {
  constexpr index_t largest_tile = 128;
  require<ShapeError>(extent <= 0x7fffffff - largest_tile, "a product with an extent of ", extent,
                      " is beyond this device's kernels");
  return static_cast<int>(extent);
}

/// A tile of y, and the steps along k.
struct TileShape {
  int m, n;
  int depth;       ///< length of a step along k
  int least_part;  ///< shortest part of k that is worth its own block
};

/// Cuts a product into tiles. If these are too few to fill a GPU, also cuts k into parts of at least
/// `least_part`. Their sums go to a workspace, and a second kernel adds them in order. The cut depends only
/// on the shape, so it is the same on every GPU.
inline ProductShape cut_product(index_t m, index_t n, index_t k, index_t batches, const TileShape& tile) {
  constexpr index_t enough_blocks = 132 * 2;
  ProductShape shape{product_extent(m), product_extent(n), product_extent(k), batches};
  shape.tiles_m = ceil_div(shape.m, tile.m);
  shape.tiles_n = ceil_div(shape.n, tile.n);
  const index_t tiles = index_t{shape.tiles_m} * shape.tiles_n * batches;
  const index_t parts =
      std::clamp<index_t>(enough_blocks / tiles, 1, std::max<index_t>(1, k / tile.least_part));
  shape.k_per_split =
      static_cast<int>(ceil_div(std::max<index_t>(1, ceil_div(k, parts)), tile.depth)) * tile.depth;
  shape.splits = std::max(1, ceil_div(shape.k, shape.k_per_split));
  return shape;
}

/// Whether tiles of size x size are enough blocks to fill a GPU, and a tile is not mostly beyond the edge.
inline bool large_tile_pays(index_t m, index_t n, index_t k, index_t batches, int size, int least_part) {
  const index_t tiles = ceil_div(m, size) * ceil_div(n, size) * batches;
  return m > size / 2 && n > size / 2 && tiles * std::max<index_t>(1, k / least_part) >= 132;
}

/// The tile and the part of k that a block works on.
struct BlockPlace {
  int m0, n0, split, begin, end;
  index_t batch;

  __device__ __forceinline__ BlockPlace(const ProductShape& shape, int tile_m, int tile_n) {
    unsigned rest = blockIdx.x;
    n0 = static_cast<int>(rest % static_cast<unsigned>(shape.tiles_n)) * tile_n;
    rest /= static_cast<unsigned>(shape.tiles_n);
    m0 = static_cast<int>(rest % static_cast<unsigned>(shape.tiles_m)) * tile_m;
    batch = rest / static_cast<unsigned>(shape.tiles_m);
    split = static_cast<int>(blockIdx.y);
    begin = split * shape.k_per_split;
    end = gpu::min(shape.k, begin + shape.k_per_split);
  }
};

/// Where a block writes row m from column n on: y (elements of y's type), or its part of the workspace (sums
/// of type T, without bias).
template <typename T, typename Store>
__device__ __forceinline__ void* row_of(const Store& store, const ProductShape& shape,
                                        const BlockPlace& place, T* partial, int m, int n) {
  if (partial == nullptr) return store.row(place.batch, m) + n;
  return partial + ((place.split * shape.batches + place.batch) * shape.m + m) * shape.n + n;
}

/// Writes a sum of column n to element `at` of `row`, which row_of() returned. A sum for y includes the bias.
template <typename T, typename Store>
__device__ __forceinline__ void put(const Store& store, const T* partial, void* row, int at, int n, T value) {
  if (partial == nullptr) {
    store.put(static_cast<typename Store::Element*>(row) + at, n, value);
  } else {
    static_cast<T*>(row)[at] = value;
  }
}

/// Where a part's sums of A go: store.sums, or the workspace behind all parts of y.
template <typename T, typename Store>
__device__ __forceinline__ T* sums_of(const Store& store, const ProductShape& shape, int split, T* partial) {
  if (partial == nullptr) return store.sums;
  return partial + shape.splits * shape.outputs() + index_t{split} * shape.m;
}

/// Adds the parts of k in order; one thread per element of y.
template <typename T, typename Store>
__global__ void add_splits_kernel(T* partial, Store store, ProductShape shape) {
  const index_t size = shape.outputs();
  for (index_t i = first_item(); i < size; i += item_step()) {
    T sum = 0;
    for (int split = 0; split < shape.splits; ++split) sum += partial[split * size + i];
    const index_t row = i / shape.n, batch = row / shape.m;
    const int n = static_cast<int>(i - row * shape.n);
    const T* bias = store.bias(batch);
    auto* y = store.row(batch, static_cast<int>(row - batch * shape.m));
    store.put(y + n, n, bias == nullptr ? sum : sum + bias[n]);
  }
  if constexpr (Store::sums_a) {
    if (store.sums == nullptr) return;
    for (index_t m = first_item(); m < shape.m; m += item_step()) {
      T sum = 0;
      for (int split = 0; split < shape.splits; ++split) sum += sums_of(store, shape, split, partial)[m];
      store.sums[m] = sum;
    }
  }
}

/// launch(partial) launches the product kernel, which writes to the workspace `partial` unless it is null.
/// Then adds the parts, if there are several.
template <typename T, typename Store, typename Launch>
void launch_product(Backend& owner, gpu::Stream stream, const ProductShape& shape, const Store& store,
                    const Launch& launch) {
  index_t part = shape.outputs();
  if constexpr (Store::sums_a) part += shape.m;
  const DeviceArray<T> partial(owner, shape.splits > 1 ? shape.splits * part : 0);
  launch(partial.data());
  if (shape.splits > 1) {
    gpu::launch(add_splits_kernel<T, Store>, blocks_for(shape.outputs(), 256), 256, 0, stream, partial.data(),
                store, shape);
  }
}

}  // namespace fer::FER_DEVICE_NAMESPACE
