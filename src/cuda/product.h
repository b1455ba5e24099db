// The matrix product behind matmul, linear and all convolutions: y(m, n) = sum_k A(m, k) B(k, n). A loader
// knows where A's or B's elements are in memory, and a store knows where y's are (product_operands.h).
//   Tiles: a block computes a tile of y. It is 128 x 128 if there are enough of them, else 64 x 64. If y has
// at most 32 columns (rows), it is 128 x 16 (16 x 128), as a square tile would be mostly empty.
//   Steps: the block walks along k in steps of 8 or 16. It copies its part of A and B into shared memory,
// with neighbouring threads along the contiguous dimension. The next step's elements are read into registers
// while the current step is multiplied.
//   Threads: a thread computes 8 x 8 of the tile in registers (4 x 4 in float64) as 2 x 2 pieces of 16 bytes.
// So per step of k it reads 16 elements from shared memory, in 16-byte words without bank conflicts, for 64
// multiply-adds.
//   Floor: 2 M N K operations, and M K + K N + M N elements if each is moved once. A tile of m x n moves m +
// n elements per k for m n multiply-adds: 128, 64 or 28 operations per element.
// bf16 operands, and float32 operands with precision tf32, use the tensor cores (tensor_product.h).
#pragma once

#include <cstdint>

#include "cuda/product_operands.h"
#include "cuda/tensor_product.h"

namespace fer::FER_DEVICE_NAMESPACE {

/// The tile and its distribution over threads.
template <typename T, int m_, int n_>
struct ProductTile {
  static constexpr int m = m_, n = n_;
  static constexpr int depth = m == 64 && n == 64 ? 16 : 8;  ///< so that staged elements fit the registers
  static constexpr int side_m = m / 2 / piece<T>, side_n = n / 2 / piece<T>;
  static constexpr int threads = side_m * side_n;  ///< side_m x side_n, 2 x 2 pieces each
  static constexpr int least_part = 128;           ///< TileShape::least_part
};

/// How a block's threads copy `size` x depth elements of an operand.
template <typename Tile, int size_>
struct ProductSide {
  static constexpr int size = size_, depth = Tile::depth, threads = Tile::threads;
  static constexpr int staged = size * depth / threads;  ///< elements per thread
  /// If the outer dimension is contiguous, threads lie along it, `lines` at a time, and each takes `run`
  /// values of k.
  static constexpr int lines = threads < size ? threads : size, run = depth * lines / threads;
  static_assert(staged * threads == size * depth && threads % depth == 0 && run * threads == depth * lines);
};

/// Reads a thread's share of one operand, from k on. places: the tile's outer places.
template <typename Side, typename Loader>
__device__ __forceinline__ void fetch(const Loader& loader, const typename Loader::Outer* places, int k,
                                      int end, typename Loader::Element (&stage)[Side::staged]) {
  using T = typename Loader::Element;
  const int thread = static_cast<int>(threadIdx.x);
  if constexpr (Loader::inner_contiguous) {
    const auto inner = loader.inner(k + thread % Side::depth, end);
    FER_UNROLL
    for (int j = 0; j < Side::staged; ++j) {
      const auto& outer = places[thread / Side::depth + j * (Side::threads / Side::depth)];
      stage[j] = loader.inside(outer, inner) ? *loader.address(outer, inner) : T(0);
    }
  } else {
    auto inner = loader.inner(k + thread / Side::lines * Side::run, end);
    FER_UNROLL
    for (int i = 0; i < Side::run; ++i) {
      FER_UNROLL
      for (int j = 0; j < Side::size / Side::lines; ++j) {
        const auto& outer = places[thread % Side::lines + j * Side::lines];
        stage[i + j * Side::run] = loader.inside(outer, inner) ? *loader.address(outer, inner) : T(0);
      }
      loader.next(inner, end);
    }
  }
}

/// Writes a thread's fetched elements to shared memory, k by k. Rows are one piece longer than a tile, which
/// avoids bank conflicts and keeps rows aligned.
template <typename Side, bool inner_contiguous, typename T>
__device__ __forceinline__ void put_stage(const T (&stage)[Side::staged],
                                          T (&to)[Side::depth][Side::size + piece<T>]) {
  const int thread = static_cast<int>(threadIdx.x);
  FER_UNROLL
  for (int j = 0; j < Side::staged; ++j) {
    if constexpr (inner_contiguous) {
      to[thread % Side::depth][thread / Side::depth + j * (Side::threads / Side::depth)] = stage[j];
    } else {
      to[thread / Side::lines * Side::run + j % Side::run]
        [thread % Side::lines + j / Side::run * Side::lines] = stage[j];
    }
  }
}

/// sums(i, j) += a(i) b(j) for one k; a, b: this thread's first piece, the second is half a tile further.
template <typename Tile, typename T>
__device__ __forceinline__ void multiply(const T* a, const T* b, T (&sums)[2 * piece<T>][2 * piece<T>]) {
  constexpr int p = piece<T>;
  using Piece = Pack<T, p>;
  const Piece a0 = *reinterpret_cast<const Piece*>(a);
  const Piece a1 = *reinterpret_cast<const Piece*>(a + Tile::m / 2);
  const Piece b0 = *reinterpret_cast<const Piece*>(b);
  const Piece b1 = *reinterpret_cast<const Piece*>(b + Tile::n / 2);
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

template <typename Tile, typename T, typename LoaderA, typename LoaderB, typename Store>
__global__ void __launch_bounds__(Tile::threads)
    product_kernel(LoaderA a, LoaderB b, Store store, ProductShape shape, T* partial) {
  using SideA = ProductSide<Tile, Tile::m>;
  using SideB = ProductSide<Tile, Tile::n>;
  constexpr int p = piece<T>;
  FER_SHARED(T, tile_a, [Tile::depth][Tile::m + p]);
  FER_SHARED(T, tile_b, [Tile::depth][Tile::n + p]);
  FER_SHARED(typename LoaderA::Outer, rows, [Tile::m]);
  FER_SHARED(typename LoaderB::Outer, columns, [Tile::n]);
  const int thread = static_cast<int>(threadIdx.x);
  const BlockPlace place(shape, Tile::m, Tile::n);

  a.select(place.batch);
  b.select(place.batch);
  for (int i = thread; i < Tile::m; i += Tile::threads) rows[i] = a.outer(place.m0 + i);
  for (int i = thread; i < Tile::n; i += Tile::threads) columns[i] = b.outer(place.n0 + i);
  __syncthreads();

  const int row = thread / Tile::side_n * p, column = thread % Tile::side_n * p;
  const bool useful = place.m0 + row < shape.m && place.n0 + column < shape.n;
  T sums[2 * p][2 * p] = {};
  constexpr int sums_a = Store::sums_a ? (Tile::m + Tile::threads - 1) / Tile::threads : 1;
  T of_a[sums_a] = {};  // the sums of rows thread + i * threads of the tile of A
  bool wants_a = false;
  if constexpr (Store::sums_a) wants_a = store.sums != nullptr && place.n0 == 0;
  T stage_a[SideA::staged], stage_b[SideB::staged];
  if (place.begin < place.end) {
    fetch<SideA>(a, rows, place.begin, place.end, stage_a);
    fetch<SideB>(b, columns, place.begin, place.end, stage_b);
  }
  for (int k = place.begin; k < place.end; k += Tile::depth) {
    put_stage<SideA, LoaderA::inner_contiguous>(stage_a, tile_a);
    put_stage<SideB, LoaderB::inner_contiguous>(stage_b, tile_b);
    __syncthreads();
    if (k + Tile::depth < place.end) {
      fetch<SideA>(a, rows, k + Tile::depth, place.end, stage_a);
      fetch<SideB>(b, columns, k + Tile::depth, place.end, stage_b);
    }
    if constexpr (Store::sums_a) {
      FER_UNROLL
      for (int j = 0; j < sums_a; ++j) {
        const int m = thread + j * Tile::threads;
        if (!wants_a || m >= Tile::m) continue;
        for (int i = 0; i < Tile::depth; ++i) of_a[j] += tile_a[i][m];
      }
    }
    if (useful) {
      for (int i = 0; i < Tile::depth; ++i) multiply<Tile>(&tile_a[i][row], &tile_b[i][column], sums);
    }
    __syncthreads();
  }
  if constexpr (Store::sums_a) {
    FER_UNROLL
    for (int j = 0; j < sums_a; ++j) {
      const int in_tile = thread + j * Tile::threads, m = place.m0 + in_tile;
      if (wants_a && in_tile < Tile::m && m < shape.m)
        sums_of(store, shape, place.split, partial)[m] = of_a[j];
    }
  }
  if (!useful) return;
  const T* bias = partial == nullptr ? store.bias(place.batch) : nullptr;
  FER_UNROLL
  for (int i = 0; i < 2 * p; ++i) {
    const int m = place.m0 + row + i % p + i / p * (Tile::m / 2);
    if (m >= shape.m) continue;
    void* const y = row_of(store, shape, place, partial, m, 0);
    FER_UNROLL
    for (int j = 0; j < 2 * p; ++j) {
      const int n = place.n0 + column + j % p + j / p * (Tile::n / 2);
      if (n < shape.n) put(store, partial, y, n, n, bias == nullptr ? sums[i][j] : sums[i][j] + bias[n]);
    }
  }
}

/// The product with tiles of one shape.
template <typename T, int tile_m, int tile_n, typename LoaderA, typename LoaderB, typename Store>
void product_in_tiles(Backend& owner, gpu::Stream stream, index_t m, index_t n, index_t k, index_t batches,
                      const LoaderA& a, const LoaderB& b, const Store& store) {
  using Tile = ProductTile<T, tile_m, tile_n>;
  const ProductShape shape = cut_product(m, n, k, batches, {tile_m, tile_n, Tile::depth, Tile::least_part});
  launch_product<T>(owner, stream, shape, store, [&](T* partial) {
    gpu::launch(product_kernel<Tile, T, LoaderA, LoaderB, Store>, shape.grid(), Tile::threads, 0, stream, a,
                b, store, shape, partial);
  });
}

/// y(m, n) = sum over k of A(m, k) B(k, n) for all batches, m and n.
template <typename LoaderA, typename LoaderB, typename Store>
void product(Backend& owner, gpu::Stream stream, index_t m, index_t n, index_t k, index_t batches,
             const LoaderA& a, const LoaderB& b, const Store& store) {
  using T = typename LoaderA::Element;
  if (m == 0 || n == 0 || batches == 0) return;
  if constexpr (std::is_same_v<T, bf16>) {
    tensor_product(owner, stream, m, n, k, batches, a, b, store);
  } else {
    if constexpr (std::is_same_v<T, float>) {
      if (precision(owner.device()) != Precision::float32)
        return tensor_product(owner, stream, m, n, k, batches, a, b, store);
      if (large_tile_pays(m, n, k, batches, 128, ProductTile<T, 128, 128>::least_part))
        return product_in_tiles<T, 128, 128>(owner, stream, m, n, k, batches, a, b, store);
    }
    constexpr index_t narrow = 32;
    if (n <= narrow && m > n) {
      product_in_tiles<T, 128, 16>(owner, stream, m, n, k, batches, a, b, store);
    } else if (m <= narrow && n > m) {
      product_in_tiles<T, 16, 128>(owner, stream, m, n, k, batches, a, b, store);
    } else {
      product_in_tiles<T, 64, 64>(owner, stream, m, n, k, batches, a, b, store);
    }
  }
}

}  // namespace fer::FER_DEVICE_NAMESPACE
