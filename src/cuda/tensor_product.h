// The matrix product on tensor cores: mma.sync multiplies float32 operands rounded to tf32, or operands
// stored as bf16, and sums in float32. docs/kernels/tensor-cores.md has drawings.
//   Blocks: a block computes a tile of y, 128 x 128 with 8 warps or 64 x 64 with 4. It walks along k in steps
// of 64 bytes: 16 float32 or 32 bf16. Shared memory has four stages, so cp.async loads the operands of later
// steps while the current step is multiplied. A thread copies 16 bytes along the contiguous dimension, so
// that a warp reads whole lines of 32 to 512 bytes. Unaligned rows are copied element by element, and
// elements beyond an edge become 0. There is one barrier per step.
//   Warps: a warp computes 64 x 32 (32 x 32) of the tile in pieces of 16 x 8, the accumulators of mma. Lane
// 4 g + t holds elements k = 4 t ... 4 t + 3 of rows g and g + 8 of A and of column g of B. mma numbers k
// differently, but the order does not matter as long as both operands use the same one. So one word of 16
// (bf16: 8) bytes holds what a lane needs of a row or column for 16 k: two mma in tf32, one in bf16.
//   Bank conflicts: if k is contiguous, a slice of 16 k is stored as [outer][16], and the lanes that are
// served together read 128 adjacent bytes. If the outer dimension is contiguous, it is stored as [16][outer].
// In float32, 8 elements of padding after every 4 rows spread a warp's 4 x 8 words over all banks. In bf16,
// 8 elements after every row and 16 more in the middle do the same for the 8 rows of an ldmatrix matrix.
//   Floor: 2 M N K operations, M K + K N + M N elements. A tile of size s moves 2 s elements per k for s^2
// multiply-adds: s operations per element, s / 4 per byte of float32 (32 or 16), s / 2 per byte of bf16 (64
// or 32). A warp reads 96 elements of shared memory per k for 2048 multiply-adds (64 for 1024).
#pragma once

#include <cstdint>
#include <type_traits>

#include "cuda/product_operands.h"

// The large tile uses all registers, so loops over slices must not be unrolled.
#if FER_GPU_SIMT
#define FER_NO_UNROLL
#else
#define FER_NO_UNROLL _Pragma("unroll 1")
#endif

namespace fer::FER_DEVICE_NAMESPACE {

template <typename Element, int size_>
struct TensorTile {
  static constexpr int size = size_, stages = 4;
  static constexpr int slice = 16;  ///< values of k per call of mma() below
  static constexpr int slices = 64 / static_cast<int>(sizeof(Element)) / slice;  ///< per stage
  static constexpr int depth = slices * slice;
  static constexpr int warp_m = size / 2, warp_n = 32;  ///< a warp's part of the tile
  static constexpr int warps_n = size / warp_n;
  static constexpr int threads = 2 * warps_n * warp_size;
  static constexpr int blocks_m = warp_m / 16, blocks_n = warp_n / 8;  ///< pieces of 16 x 8 per warp
  static constexpr int least_part = 256;                               ///< TileShape::least_part
  static constexpr bool halves = sizeof(Element) == 2;                 ///< bf16
  static constexpr int padding = halves ? slice * 8 + 16 : slice / 4 * 8;
  static constexpr int slice_elements = size * slice + padding;  ///< per operand
  static constexpr int elements = slices * slice_elements;       ///< of a stage, per operand
};

/// The index of element (outer, k) in a slice. Aligned pieces of 16 bytes in memory stay contiguous.
template <typename Tile, bool inner_contiguous>
__device__ __forceinline__ int staged_at(int outer, int k) {
  if constexpr (inner_contiguous) return outer * Tile::slice + k;
  if constexpr (Tile::halves) return k * (Tile::size + 8) + k / 8 * 16 + outer;
  return k * Tile::size + k / 4 * 8 + outer;
}

/// Starts an asynchronous copy to = from, or to = 0 if not `inside`. A single bf16 is too small for cp.async
/// and is copied immediately.
template <int width, typename Element>
__device__ __forceinline__ void start_copy(Element* to, const Element* from, bool inside) {
  constexpr int bytes = width * static_cast<int>(sizeof(Element));
  if constexpr (bytes >= 4) {
    cp_async<bytes>(to, from, inside ? bytes : 0);
  } else {
    *to = inside ? *from : to_bf16(0.0f);
  }
}

/// Starts the copies of a thread's share of one operand's slice, `width` elements at a time, from k on.
template <typename Tile, int width, typename Loader>
__device__ __forceinline__ void start_slice(const Loader& loader, const typename Loader::Outer* places, int k,
                                            int end, typename Loader::Element* slice) {
  constexpr bool inner_contiguous = Loader::inner_contiguous;
  constexpr int line = (inner_contiguous ? Tile::slice : Tile::size) / width;  // copies per line
  constexpr int each = Tile::size * Tile::slice / width / Tile::threads;
  static_assert(each * width * Tile::threads == Tile::size * Tile::slice && Tile::threads % line == 0);
  const int thread = static_cast<int>(threadIdx.x);
  const auto start = [&](const auto& outer, const auto& inner, int at) {
    const bool inside = loader.inside(outer, inner);
    start_copy<width>(slice + at, inside ? loader.address(outer, inner) : loader.origin(), inside);
  };
  if constexpr (inner_contiguous) {
    const int at = thread % line * width;
    const auto inner = loader.inner(k + at, end);
    FER_UNROLL
    for (int j = 0; j < each; ++j) {
      const int outer = thread / line + j * (Tile::threads / line);
      start(places[outer], inner, staged_at<Tile, true>(outer, at));
    }
  } else {
    const int outer = thread % line * width, first = thread / line * each;
    const auto place = places[outer];
    auto inner = loader.inner(k + first, end);
    FER_UNROLL
    for (int j = 0; j < each; ++j) {
      start(place, inner, staged_at<Tile, false>(outer, first + j));
      loader.next(inner, end);
    }
  }
}

/// The same for a whole stage. pieces: whether to copy 16 bytes at a time.
template <typename Tile, typename Loader>
__device__ __forceinline__ void start_stage(const Loader& loader, const typename Loader::Outer* places, int k,
                                            int end, bool pieces, typename Loader::Element* stage) {
  FER_NO_UNROLL
  for (int i = 0; i < Tile::slices; ++i) {
    if (pieces) {
      start_slice<Tile, piece<typename Loader::Element>>(loader, places, k + i * Tile::slice, end,
                                                         stage + i * Tile::slice_elements);
    } else {
      start_slice<Tile, 1>(loader, places, k + i * Tile::slice, end, stage + i * Tile::slice_elements);
    }
  }
}

/// A lane's registers for one row of A or column of B and 16 k: four tf32 or two pairs of bf16.
template <typename Element>
struct alignas(8) Operand {
  std::uint32_t r[std::is_same_v<Element, bf16> ? 2 : 4];
};

/// A lane's operand for row or column `outer`.
template <typename Tile, typename Loader>
__device__ __forceinline__ Operand<typename Loader::Element> operand_of(const typename Loader::Element* slice,
                                                                        int outer, int t) {
  using Element = typename Loader::Element;
  Operand<Element> x;
  if constexpr (Tile::halves) {
    x = *reinterpret_cast<const Operand<Element>*>(slice + staged_at<Tile, true>(outer, 4 * t));
  } else {
    Pack<float, 4> four;
    if constexpr (Loader::inner_contiguous) {
      four = *reinterpret_cast<const Pack<float, 4>*>(slice + staged_at<Tile, true>(outer, 4 * t));
    } else {
      const float* column = slice + staged_at<Tile, false>(outer, 4 * t);
      FER_UNROLL
      for (int i = 0; i < 4; ++i) four.v[i] = column[i * Tile::size];
    }
    FER_UNROLL
    for (int i = 0; i < 4; ++i) x.r[i] = to_tf32(four.v[i]);
  }
  return x;
}

/// A lane's operands for rows (or columns) first + g and first + 8 + g. If k is not contiguous, ldmatrix
/// gathers the pairs of bf16: one matrix for each of the two groups of rows and two registers.
template <typename Tile, typename Loader>
__device__ __forceinline__ void operands_of(const typename Loader::Element* slice, int first, int lane,
                                            Operand<typename Loader::Element>& low,
                                            Operand<typename Loader::Element>& high) {
  if constexpr (Tile::halves && !Loader::inner_contiguous) {
    const int matrix = lane / 8, line = lane % 8;
    const int k = line / 2 * 4 + line % 2 + matrix / 2 * 2;
    std::uint32_t r[4];
    ldmatrix_x4_trans(r, slice + staged_at<Tile, false>(first + matrix % 2 * 8, k));
    low.r[0] = r[0], high.r[0] = r[1], low.r[1] = r[2], high.r[1] = r[3];
  } else {
    low = operand_of<Tile, Loader>(slice, first + lane / 4, lane % 4);
    high = operand_of<Tile, Loader>(slice, first + 8 + lane / 4, lane % 4);
  }
}

/// sums += (rows low and high of A) (columns of B), for 16 k.
__device__ __forceinline__ void mma(float (&sums)[4], const Operand<float>& low, const Operand<float>& high,
                                    const Operand<float>& column) {
  FER_UNROLL
  for (int i = 0; i < 4; i += 2) {
    const std::uint32_t a[4] = {low.r[i], high.r[i], low.r[i + 1], high.r[i + 1]};
    const std::uint32_t b[2] = {column.r[i], column.r[i + 1]};
    mma_m16n8k8_tf32(sums, a, b, sums);
  }
}
__device__ __forceinline__ void mma(float (&sums)[4], const Operand<bf16>& low, const Operand<bf16>& high,
                                    const Operand<bf16>& column) {
  const std::uint32_t a[4] = {low.r[0], high.r[0], low.r[1], high.r[1]};
  mma_m16n8k16_bf16(sums, a, column.r, sums);
}

/// pieces_a, pieces_b: whether to copy the operand in pieces of 16 bytes.
template <int size, typename LoaderA, typename LoaderB, typename Store>
__global__ void __launch_bounds__(TensorTile<typename LoaderA::Element, size>::threads, 2)
    tensor_product_kernel(LoaderA a, LoaderB b, Store store, ProductShape shape, bool pieces_a, bool pieces_b,
                          float* partial) {
  using Element = typename LoaderA::Element;
  static_assert(std::is_same_v<Element, typename LoaderB::Element>, "operands of one type");
  using Tile = TensorTile<Element, size>;
  FER_SHARED(typename LoaderA::Outer, rows, [size]);
  FER_SHARED(typename LoaderB::Outer, columns, [size]);
  // Where each row's sums go, and the bias, from the tile's first column on. nullptr: no such row, no bias.
  FER_SHARED(void*, outputs, [size]);
  FER_SHARED(const float*, bias, [1]);
  FER_DYNAMIC_SHARED(Element, stages_a);
  Element* const stages_b = stages_a + Tile::stages * Tile::elements;
  const int thread = static_cast<int>(threadIdx.x);
  const BlockPlace place(shape, size, size);

  a.select(place.batch);
  b.select(place.batch);
  for (int i = thread; i < size; i += Tile::threads) {
    const int m = place.m0 + i;
    rows[i] = a.outer(m);
    columns[i] = b.outer(place.n0 + i);
    outputs[i] = m < shape.m ? row_of(store, shape, place, partial, m, place.n0) : nullptr;
  }
  if (thread == 0) {
    const float* all = partial == nullptr ? store.bias(place.batch) : nullptr;
    bias[0] = all == nullptr ? nullptr : all + place.n0;
  }
  __syncthreads();

  const int steps = place.begin < place.end ? ceil_div(place.end - place.begin, Tile::depth) : 0;
  const auto start = [&](int step) {  // one group of copies per step, an empty one after the last step
    if (step < steps) {
      const int k = place.begin + step * Tile::depth, at = step % Tile::stages * Tile::elements;
      start_stage<Tile>(a, rows, k, place.end, pieces_a, stages_a + at);
      start_stage<Tile>(b, columns, k, place.end, pieces_b, stages_b + at);
    }
    cp_async_commit();
  };

  const int lane = thread % warp_size, warp = thread / warp_size, g = lane / 4, t = lane % 4;
  const int row = warp / Tile::warps_n * Tile::warp_m, column = warp % Tile::warps_n * Tile::warp_n;
  const int width = shape.n - place.n0;                           // columns from the tile's first on
  const bool useful = outputs[row] != nullptr && column < width;  // the same for the whole warp
  float sums[Tile::blocks_m][Tile::blocks_n][4] = {};
  float of_a = 0;  // the sum of row `thread` of the tile of A; shared memory holds it unrounded
  for (int step = 0; step < Tile::stages - 1; ++step) start(step);
  for (int step = 0; step < steps; ++step) {
    cp_async_wait<Tile::stages - 2>();  // this thread's copies of this step have arrived
    __syncthreads();                    // all threads' copies have; the stage to be filled next is free
    start(step + Tile::stages - 1);
    if constexpr (Store::sums_a) {
      if (thread < size && place.n0 == 0 && store.sums != nullptr) {
        const Element* stage = stages_a + step % Tile::stages * Tile::elements;
        FER_NO_UNROLL
        for (int k = 0; k < Tile::depth; ++k) {
          of_a += widen(stage[k / Tile::slice * Tile::slice_elements +
                              staged_at<Tile, LoaderA::inner_contiguous>(thread, k % Tile::slice)]);
        }
      }
    }
    if (!useful) continue;
    FER_NO_UNROLL
    for (int i = 0; i < Tile::slices; ++i) {
      const int at = step % Tile::stages * Tile::elements + i * Tile::slice_elements;
      Operand<Element> right[Tile::blocks_n];
      FER_UNROLL
      for (int j = 0; j < Tile::blocks_n; j += 2) {
        operands_of<Tile, LoaderB>(stages_b + at, column + 8 * j, lane, right[j], right[j + 1]);
      }
      FER_UNROLL
      for (int l = 0; l < Tile::blocks_m; ++l) {
        Operand<Element> low, high;
        operands_of<Tile, LoaderA>(stages_a + at, row + 16 * l, lane, low, high);
        FER_UNROLL
        for (int j = 0; j < Tile::blocks_n; ++j) mma(sums[l][j], low, high, right[j]);
      }
    }
  }
  if constexpr (Store::sums_a) {
    const int m = place.m0 + thread;
    if (thread < size && place.n0 == 0 && store.sums != nullptr && m < shape.m)
      sums_of(store, shape, place.split, partial)[m] = of_a;
  }
  if (!useful) return;

  // Lane 4 g + t has columns 2 t and 2 t + 1 of rows g and g + 8. Four lanes write one sector of 32 bytes.
  const float* added = bias[0];
  FER_UNROLL
  for (int i = 0; i < 2 * Tile::blocks_m; ++i) {
    void* const y = outputs[row + 8 * i + g];
    if (y == nullptr) continue;
    FER_UNROLL
    for (int j = 0; j < 2 * Tile::blocks_n; ++j) {
      const int n = column + j / 2 * 8 + 2 * t + j % 2;
      const float sum = sums[i / 2][j / 2][i % 2 * 2 + j % 2];
      if (n < width) {
        put(store, partial, y, n, shape.n - width + n, added == nullptr ? sum : sum + added[n]);
      }
    }
  }
}

/// The product with tiles of one size.
template <int size, typename LoaderA, typename LoaderB, typename Store>
void tensor_product_in_tiles(Backend& owner, gpu::Stream stream, index_t m, index_t n, index_t k,
                             index_t batches, const LoaderA& a, const LoaderB& b, const Store& store) {
  using Tile = TensorTile<typename LoaderA::Element, size>;
  const ProductShape shape = cut_product(m, n, k, batches, {size, size, Tile::depth, Tile::least_part});
  constexpr std::size_t shared = 2 * Tile::stages * Tile::elements * sizeof(typename LoaderA::Element);
  launch_product<float>(owner, stream, shape, store, [&](float* partial) {
    gpu::launch(tensor_product_kernel<size, LoaderA, LoaderB, Store>, shape.grid(), Tile::threads, shared,
                stream, a, b, store, shape, a.in_pieces(shape.k), b.in_pieces(shape.k), partial);
  });
}

/// y(m, n) = sum over k of A(m, k) B(k, n) for all batches, m and n. A and B are float32, rounded to tf32, or
/// bf16.
template <typename LoaderA, typename LoaderB, typename Store>
void tensor_product(Backend& owner, gpu::Stream stream, index_t m, index_t n, index_t k, index_t batches,
                    const LoaderA& a, const LoaderB& b, const Store& store) {
  if (m == 0 || n == 0 || batches == 0) return;
  if (large_tile_pays(m, n, k, batches, 128, TensorTile<typename LoaderA::Element, 128>::least_part)) {
    tensor_product_in_tiles<128>(owner, stream, m, n, k, batches, a, b, store);
  } else {
    tensor_product_in_tiles<64>(owner, stream, m, n, k, batches, a, b, store);
  }
}

}  // namespace fer::FER_DEVICE_NAMESPACE

#undef FER_NO_UNROLL
