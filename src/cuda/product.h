// The matrix product that matmul, linear and all convolutions are: y(m, n) = sum_k A(m, k) B(k, n), where a
// loader says where in memory A's and B's elements are and a store where y's go (product_operands.h).
//   A block makes a tile of y, 128 x 128 where there are enough of them, else 64 x 64, walking along k in
//   steps of 8 or 16. It copies its part of A and of B into shared memory, neighbouring threads along
//   whichever of the two dimensions is contiguous; the next step's elements are read into registers while the
//   present one is multiplied. A thread makes 8 x 8 of the tile in registers (4 x 4 in float64) as 2 x 2
//   pieces of 16 bytes, so that per step of k it reads 16 elements from shared memory, in 16-byte words
//   without bank conflicts, for 64 multiply-adds. Floor: 2 M N K operations; bytes M K + K N + M N elements
//   if each were moved once; a tile of size s moves 2 s elements per k and makes s^2 multiply-adds of them, s
//   operations an element: 128 or 64.
// bf16 operands, and float32 ones in the precision tf32, go to the tensor cores (tensor_product.h).
#pragma once

#include <cstdint>

#include "cuda/product_operands.h"
#include "cuda/tensor_product.h"

namespace fer::FER_DEVICE_NAMESPACE {

/// The tile and who makes which part of it.
template <typename T, int size_>
struct ProductTile {
  static constexpr int size = size_, depth = size_ > 64 ? 8 : 16;  ///< what is staged fits the registers
  static constexpr int side = size / 2 / piece<T>;                 ///< side x side threads, 2 x 2 pieces each
  static constexpr int threads = side * side;
  static constexpr int staged = size * depth / threads;  ///< elements of an operand that a thread copies
  static constexpr int least_part = 128;                 ///< of k, worth a block of its own
};

/// Reads a thread's share of size x depth elements of one operand, from k on. places: the tile's outer
/// places.
template <typename Tile, typename Loader>
__device__ __forceinline__ void fetch(const Loader& loader, const typename Loader::Outer* places, int k,
                                      int end, typename Loader::Element (&stage)[Tile::staged]) {
  using T = typename Loader::Element;
  const int thread = static_cast<int>(threadIdx.x);
  if constexpr (Loader::inner_contiguous) {
    const auto inner = loader.inner(k + thread % Tile::depth, end);
    FER_UNROLL
    for (int j = 0; j < Tile::staged; ++j) {
      const auto& outer = places[thread / Tile::depth + j * (Tile::threads / Tile::depth)];
      stage[j] = loader.inside(outer, inner) ? *loader.address(outer, inner) : T(0);
    }
  } else {
    const auto outer = places[thread % Tile::size];
    auto inner = loader.inner(k + thread / Tile::size * Tile::staged, end);
    FER_UNROLL
    for (int j = 0; j < Tile::staged; ++j) {
      stage[j] = loader.inside(outer, inner) ? *loader.address(outer, inner) : T(0);
      loader.next(inner, end);
    }
  }
}

/// Puts them in shared memory, k by k. Rows are one piece longer than a tile: fewer bank conflicts, still
/// aligned.
template <typename Tile, bool inner_contiguous, typename T>
__device__ __forceinline__ void put(const T (&stage)[Tile::staged],
                                    T (&to)[Tile::depth][Tile::size + piece<T>]) {
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

/// sums(i, j) += a(i) b(j) for one k; a, b: this thread's first piece, the second is half a tile further.
template <typename Tile, typename T>
__device__ __forceinline__ void multiply(const T* a, const T* b, T (&sums)[2 * piece<T>][2 * piece<T>]) {
  constexpr int p = piece<T>;
  using Piece = Pack<T, p>;
  const Piece a0 = *reinterpret_cast<const Piece*>(a);
  const Piece a1 = *reinterpret_cast<const Piece*>(a + Tile::size / 2);
  const Piece b0 = *reinterpret_cast<const Piece*>(b);
  const Piece b1 = *reinterpret_cast<const Piece*>(b + Tile::size / 2);
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

template <typename T, int size, typename LoaderA, typename LoaderB, typename Store>
__global__ void __launch_bounds__(ProductTile<T, size>::threads)
    product_kernel(LoaderA a, LoaderB b, Store store, ProductShape shape, T* partial) {
  using Tile = ProductTile<T, size>;
  constexpr int p = piece<T>;
  FER_SHARED(T, tile_a, [Tile::depth][Tile::size + p]);
  FER_SHARED(T, tile_b, [Tile::depth][Tile::size + p]);
  FER_SHARED(typename LoaderA::Outer, rows, [Tile::size]);
  FER_SHARED(typename LoaderB::Outer, columns, [Tile::size]);
  const int thread = static_cast<int>(threadIdx.x);
  const BlockPlace place(shape, size);

  a.select(place.batch);
  b.select(place.batch);
  for (int i = thread; i < Tile::size; i += Tile::threads) {
    rows[i] = a.outer(place.m0 + i);
    columns[i] = b.outer(place.n0 + i);
  }
  __syncthreads();

  const int row = thread / Tile::side * p, column = thread % Tile::side * p;
  const bool useful = place.m0 + row < shape.m && place.n0 + column < shape.n;
  T sums[2 * p][2 * p] = {};
  T stage_a[Tile::staged], stage_b[Tile::staged];
  if (place.begin < place.end) {
    fetch<Tile>(a, rows, place.begin, place.end, stage_a);
    fetch<Tile>(b, columns, place.begin, place.end, stage_b);
  }
  for (int k = place.begin; k < place.end; k += Tile::depth) {
    put<Tile, LoaderA::inner_contiguous>(stage_a, tile_a);
    put<Tile, LoaderB::inner_contiguous>(stage_b, tile_b);
    __syncthreads();
    if (k + Tile::depth < place.end) {
      fetch<Tile>(a, rows, k + Tile::depth, place.end, stage_a);
      fetch<Tile>(b, columns, k + Tile::depth, place.end, stage_b);
    }
    if (useful) {
      for (int i = 0; i < Tile::depth; ++i) multiply<Tile>(&tile_a[i][row], &tile_b[i][column], sums);
    }
    __syncthreads();
  }
  if (!useful) return;
  const T* bias = partial == nullptr ? store.bias(place.batch) : nullptr;
  FER_UNROLL
  for (int i = 0; i < 2 * p; ++i) {
    const int m = place.m0 + row + i % p + i / p * (Tile::size / 2);
    if (m >= shape.m) continue;
    T* y = row_of(store, shape, place, partial, m);
    FER_UNROLL
    for (int j = 0; j < 2 * p; ++j) {
      const int n = place.n0 + column + j % p + j / p * (Tile::size / 2);
      if (n < shape.n) y[n] = bias == nullptr ? sums[i][j] : sums[i][j] + bias[n];
    }
  }
}

/// The same with tiles of one size.
template <typename T, int size, typename LoaderA, typename LoaderB, typename Store>
void product_in_tiles(Backend& owner, gpu::Stream stream, index_t m, index_t n, index_t k, index_t batches,
                      const LoaderA& a, const LoaderB& b, const Store& store) {
  using Tile = ProductTile<T, size>;
  const ProductShape shape = cut_product(m, n, k, batches, size, Tile::depth, Tile::least_part);
  launch_product<T>(owner, stream, shape, store, [&](T* partial) {
    gpu::launch(product_kernel<T, size, LoaderA, LoaderB, Store>, shape.grid(), Tile::threads, 0, stream, a,
                b, store, shape, partial);
  });
}

/// y(m, n) = sum over k of A(m, k) B(k, n) for all batches, m and n.
template <typename LoaderA, typename LoaderB, typename Store>
void product(Backend& owner, gpu::Stream stream, index_t m, index_t n, index_t k, index_t batches,
             const LoaderA& a, const LoaderB& b, const Store& store) {
  using T = typename LoaderA::Element;
  if (m == 0 || n == 0 || batches == 0) return;
  if constexpr (std::is_same_v<T, double>) {
    product_in_tiles<T, 64>(owner, stream, m, n, k, batches, a, b, store);
  } else if constexpr (std::is_same_v<T, bf16>) {
    tensor_product(owner, stream, m, n, k, batches, a, b, store);
  } else if (precision(owner.device()) != Precision::float32) {
    tensor_product(owner, stream, m, n, k, batches, a, b, store);
  } else if (large_tile_pays(m, n, k, batches, 128, ProductTile<T, 128>::least_part)) {
    product_in_tiles<T, 128>(owner, stream, m, n, k, batches, a, b, store);
  } else {
    product_in_tiles<T, 64>(owner, stream, m, n, k, batches, a, b, store);
  }
}

}  // namespace fer::FER_DEVICE_NAMESPACE
