// The matrix product that matmul, linear and all convolutions are: y(m, n) = sum_k A(m, k) B(k, n), where a
// loader says where in memory A's and B's elements are and an epilogue what becomes of y's.
//   A block makes a 64 x 64 tile of y, walking along k in steps of 16. It copies 64 x 16 of A and of B into
//   shared memory, neighbouring threads along whichever of the two dimensions is contiguous; the next step's
//   elements are read into registers while the present one is multiplied. A thread makes 8 x 8 of the tile in
//   registers (4 x 4 in float64) as 2 x 2 pieces of 16 bytes, so that per step of k it reads 16 elements from
//   shared memory, in 16-byte words without bank conflicts, for 64 multiply-adds.
//   Where the tiles are too few to fill a GPU, k is cut in parts (by the shape alone), whose products go to a
//   workspace and are added in order by a second kernel.
//   Floor: 2 M N K operations; bytes M K + K N + M N if each were moved once; a tile moves 64 / 16 elements
//   of each operand per k and makes 4096 multiply-adds of them, 32 operations an element.
#pragma once

#include <cstdint>

#include "cuda/device_backend.h"
#include "cuda/op_support.h"

namespace fer::FER_DEVICE_NAMESPACE {

/// The tile and who makes which part of it.
template <typename T>
struct ProductTile {
  static constexpr int size = 64, depth = 16;
  static constexpr int piece = 16 / static_cast<int>(sizeof(T));  ///< elements of 16 bytes
  static constexpr int side = size / 2 / piece;                   ///< side x side threads, 2 x 2 pieces each
  static constexpr int threads = side * side;
  static constexpr int staged = size * depth / threads;  ///< elements of an operand that a thread copies
};

/// Extents, and how k is cut. batches: independent products, of which loaders and epilogue know the places.
struct ProductShape {
  int m = 0, n = 0, k = 0;
  index_t batches = 1;
  int splits = 1, k_per_split = 0;
  int tiles_m = 0, tiles_n = 0;
};

// A Loader describes an operand: `outer` is its dimension m or n, `inner` is k.
//   struct Outer, Inner: what is known of a place along either, with invalid ones for beyond the end
//   static constexpr bool inner_contiguous
//   void select(batch); Outer outer(int i) const; Inner inner(int k, int end) const;
//   void next(Inner&, int end) const: k + 1;  T load(const Outer&, const Inner&) const: zero where invalid

/// A matrix with strides, one a batch.
template <typename T, bool inner_contiguous_>
struct MatrixLoader {
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
  __device__ __forceinline__ T load(const Outer& o, const Inner& in) const {
    return in.valid && o.offset >= 0 ? data[o.offset + in.offset] : T(0);
  }
};

/// y(m, n) at data[batch * batch_stride + m * row + n], plus bias[batch * bias_stride + n] if there is one.
template <typename T>
struct MatrixStore {
  T* data;
  index_t row, batch_stride;
  const T* bias;
  index_t bias_stride;

  __device__ __forceinline__ void operator()(index_t batch, int m, int n, T value) const {
    if (bias != nullptr) value += bias[batch * bias_stride + n];
    data[batch * batch_stride + m * row + n] = value;
  }
};

/// Reads a thread's share of 64 x 16 elements of one operand, from k on. places: the tile's 64 outer places.
template <typename T, typename Loader>
__device__ __forceinline__ void fetch(const Loader& loader, const typename Loader::Outer* places, int k,
                                      int end, T (&stage)[ProductTile<T>::staged]) {
  using Tile = ProductTile<T>;
  const int thread = static_cast<int>(threadIdx.x);
  if constexpr (Loader::inner_contiguous) {
    const auto inner = loader.inner(k + thread % Tile::depth, end);
    FER_UNROLL
    for (int j = 0; j < Tile::staged; ++j) {
      stage[j] = loader.load(places[thread / Tile::depth + j * (Tile::threads / Tile::depth)], inner);
    }
  } else {
    const auto outer = places[thread % Tile::size];
    auto inner = loader.inner(k + thread / Tile::size * Tile::staged, end);
    FER_UNROLL
    for (int j = 0; j < Tile::staged; ++j) {
      stage[j] = loader.load(outer, inner);
      loader.next(inner, end);
    }
  }
}

/// Puts them in shared memory, k by k. Rows of 64 are one piece longer: fewer bank conflicts, still aligned.
template <typename T, bool inner_contiguous>
__device__ __forceinline__ void put(
    const T (&stage)[ProductTile<T>::staged],
    T (&to)[ProductTile<T>::depth][ProductTile<T>::size + ProductTile<T>::piece]) {
  using Tile = ProductTile<T>;
  const int thread = static_cast<int>(threadIdx.x);
  FER_UNROLL
  for (int j = 0; j < Tile::staged; ++j) {
    if constexpr (inner_contiguous) {
      to[thread % Tile::depth][thread / Tile::depth + j * (Tile::threads / Tile::depth)] = stage[j];
    } else {
      to[thread / Tile::size * Tile::staged + j][thread % Tile::size] = stage[j];
    }
  }
}

template <typename T>
struct alignas(16) Piece {
  T v[ProductTile<T>::piece];
};

/// sums(i, j) += a(i) b(j) for one k; a, b: this thread's first piece, the second is half a tile further.
template <typename T>
__device__ __forceinline__ void multiply(const T* a, const T* b,
                                         T (&sums)[2 * ProductTile<T>::piece][2 * ProductTile<T>::piece]) {
  using Tile = ProductTile<T>;
  constexpr int p = Tile::piece;
  const Piece<T> a0 = *reinterpret_cast<const Piece<T>*>(a);
  const Piece<T> a1 = *reinterpret_cast<const Piece<T>*>(a + Tile::size / 2);
  const Piece<T> b0 = *reinterpret_cast<const Piece<T>*>(b);
  const Piece<T> b1 = *reinterpret_cast<const Piece<T>*>(b + Tile::size / 2);
  FER_UNROLL
  for (int i = 0; i < p; ++i) {
    FER_UNROLL
    for (int j = 0; j < p; ++j) {
      sums[i][j] = gpu::fma(a0.v[i], b0.v[j], sums[i][j]);
      sums[i][p + j] = gpu::fma(a0.v[i], b1.v[j], sums[i][p + j]);
      sums[p + i][j] = gpu::fma(a1.v[i], b0.v[j], sums[p + i][j]);
      sums[p + i][p + j] = gpu::fma(a1.v[i], b1.v[j], sums[p + i][p + j]);
    }
  }
}

/// Blocks: x runs over batches, tiles of m, tiles of n (fastest); y over the parts of k.
template <typename T, typename LoaderA, typename LoaderB, typename Store>
__global__ void __launch_bounds__(ProductTile<T>::threads)
    product_kernel(LoaderA a, LoaderB b, Store store, ProductShape shape, T* partial) {
  using Tile = ProductTile<T>;
  constexpr int p = Tile::piece;
  FER_SHARED(T, tile_a, [Tile::depth][Tile::size + Tile::piece]);
  FER_SHARED(T, tile_b, [Tile::depth][Tile::size + Tile::piece]);
  FER_SHARED(typename LoaderA::Outer, rows, [Tile::size]);
  FER_SHARED(typename LoaderB::Outer, columns, [Tile::size]);
  const int thread = static_cast<int>(threadIdx.x);
  unsigned rest = blockIdx.x;
  const int n0 = static_cast<int>(rest % static_cast<unsigned>(shape.tiles_n)) * Tile::size;
  rest /= static_cast<unsigned>(shape.tiles_n);
  const int m0 = static_cast<int>(rest % static_cast<unsigned>(shape.tiles_m)) * Tile::size;
  const index_t batch = rest / static_cast<unsigned>(shape.tiles_m);
  const int split = static_cast<int>(blockIdx.y);
  const int begin = split * shape.k_per_split, end = gpu::min(shape.k, begin + shape.k_per_split);

  a.select(batch);
  b.select(batch);
  for (int i = thread; i < Tile::size; i += Tile::threads) {
    rows[i] = a.outer(m0 + i);
    columns[i] = b.outer(n0 + i);
  }
  __syncthreads();

  const int row = thread / Tile::side * p, column = thread % Tile::side * p;
  const bool useful = m0 + row < shape.m && n0 + column < shape.n;
  T sums[2 * p][2 * p] = {};
  T stage_a[Tile::staged], stage_b[Tile::staged];
  if (begin < end) {
    fetch(a, rows, begin, end, stage_a);
    fetch(b, columns, begin, end, stage_b);
  }
  for (int k = begin; k < end; k += Tile::depth) {
    put<T, LoaderA::inner_contiguous>(stage_a, tile_a);
    put<T, LoaderB::inner_contiguous>(stage_b, tile_b);
    __syncthreads();
    if (k + Tile::depth < end) {
      fetch(a, rows, k + Tile::depth, end, stage_a);
      fetch(b, columns, k + Tile::depth, end, stage_b);
    }
    if (useful) {
      for (int i = 0; i < Tile::depth; ++i) multiply(&tile_a[i][row], &tile_b[i][column], sums);
    }
    __syncthreads();
  }
  if (!useful) return;
  FER_UNROLL
  for (int i = 0; i < 2 * p; ++i) {
    const int m = m0 + row + i % p + i / p * (Tile::size / 2);
    FER_UNROLL
    for (int j = 0; j < 2 * p; ++j) {
      const int n = n0 + column + j % p + j / p * (Tile::size / 2);
      if (m >= shape.m || n >= shape.n) continue;
      if (partial != nullptr) {
        partial[((split * shape.batches + batch) * shape.m + m) * shape.n + n] = sums[i][j];
      } else {
        store(batch, m, n, sums[i][j]);
      }
    }
  }
}

/// Adds the parts of k in order; a thread an element of y.
template <typename T, typename Store>
__global__ void add_splits_kernel(const T* partial, Store store, ProductShape shape) {
  const index_t size = shape.batches * shape.m * shape.n;
  for (index_t i = first_item(); i < size; i += item_step()) {
    T sum = 0;
    for (int split = 0; split < shape.splits; ++split) sum += partial[split * size + i];
    const index_t row = i / shape.n;
    store(row / shape.m, static_cast<int>(row % shape.m), static_cast<int>(i % shape.n), sum);
  }
}

/// Extents as the kernels take them.
inline int product_extent(index_t extent) {
  require<ShapeError>(extent <= 0x7fffffff - ProductTile<float>::size, "a product with an extent of ", extent,
                      " is beyond this device's kernels");
  return static_cast<int>(extent);
}

/// store(batch, m, n, sum over k of A(m, k) B(k, n)) for all batches, m and n.
template <typename T, typename LoaderA, typename LoaderB, typename Store>
void product(DeviceBackend& owner, gpu::Stream stream, index_t m, index_t n, index_t k, index_t batches,
             const LoaderA& a, const LoaderB& b, const Store& store) {
  if (m == 0 || n == 0 || batches == 0) return;
  using Tile = ProductTile<T>;
  constexpr index_t enough_blocks = 132 * 2, least_part = 8 * Tile::depth;
  ProductShape shape{product_extent(m), product_extent(n), product_extent(k), batches};
  shape.tiles_m = ceil_div(shape.m, Tile::size);
  shape.tiles_n = ceil_div(shape.n, Tile::size);
  const index_t tiles = index_t{shape.tiles_m} * shape.tiles_n * batches;
  const index_t parts = std::clamp<index_t>(enough_blocks / tiles, 1, std::max<index_t>(1, k / least_part));
  shape.k_per_split =
      static_cast<int>(ceil_div(std::max<index_t>(1, ceil_div(k, parts)), Tile::depth)) * Tile::depth;
  shape.splits = std::max(1, ceil_div(shape.k, shape.k_per_split));
  const dim3 grid(static_cast<unsigned>(tiles), static_cast<unsigned>(shape.splits));
  const DeviceArray<T> partial(owner, shape.splits > 1 ? shape.splits * batches * m * n : 0);
  gpu::launch(product_kernel<T, LoaderA, LoaderB, Store>, grid, Tile::threads, 0, stream, a, b, store, shape,
              partial.data());
  if (shape.splits > 1) {
    gpu::launch(add_splits_kernel<T, Store>, blocks_for(batches * m * n, 256), 256, 0, stream,
                static_cast<const T*>(partial.data()), store, shape);
  }
}

}  // namespace fer::FER_DEVICE_NAMESPACE
