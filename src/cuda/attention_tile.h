// Tiles of the attention kernels (attention.cu): squares of queries and keys, held by a block of 16 x 16
// threads. Thread (tx, ty) has rows ty, ty + 16, ... of a product and these columns:
//   tx, tx + 16, ...                          in a square of scores,
//   the 16-byte packets tx, tx + 16, ...      in a tile of `width` columns.
// The 16 threads of a row are neighbouring lanes, half of a warp. So after a __syncwarp each can read what
// the others wrote to the row's scores, and a row sum takes four shuffles.
// Rows in shared memory are one packet longer than their width, so eight lanes that read packets of
// neighbouring rows hit 32 different banks. With 64 rows in float, four packets of A and four of B serve 64
// multiply-adds, 8 per 16-byte load. With 32 rows it is half of that.
#pragma once

#include "cuda/pointwise.h"

namespace fer::FER_DEVICE_NAMESPACE {

inline constexpr int tile_side = 16;  ///< threads along each side of a block
inline constexpr int tile_threads = tile_side * tile_side;

/// Tiles of `row_count` queries or keys of a head up to `max_width` wide, and their squares of scores. All
/// have the arithmetic's type T: bf16 is widened when it is loaded into shared memory.
template <typename T, int max_width, int row_count>
struct Tile {
  static constexpr int packet = Packet<T>::size;
  static constexpr int rows = row_count;               ///< queries or keys
  static constexpr int per_thread = rows / tile_side;  ///< rows per thread, and columns of scores per thread
  static constexpr int packets = max_width / (tile_side * packet);  ///< per thread, in a row of max_width
  static constexpr int stride = max_width + packet;                 ///< elements from row to row
  static constexpr int score_stride = rows + packet;
  static constexpr int size = rows * stride, score_size = rows * score_stride;
  /// Blocks per multiprocessor that shared memory allows. __launch_bounds__ gets it, so that registers do not
  /// allow fewer.
  static constexpr int blocks_at_once = max_width <= 64 ? 2 : 1;

  using Scores = T[per_thread][per_thread];
  using Columns = Packet<T>[per_thread][packets];

  /// Bytes of shared memory for `tiles` tiles and one square of scores.
  static constexpr std::size_t bytes(int tiles) {
    return sizeof(T) * static_cast<std::size_t>(tiles * size + score_size);
  }
};

/// Part of a tensor N x T x D: one head of one batch element, from one row on.
template <typename S>
struct HeadRows {
  S* data;
  index_t dim;  ///< elements from row to row
  int rows;     ///< rows that exist; a tile may be longer
  int width;
  bool packed;  ///< rows are aligned and consist of whole packets (as many elements as a Packet of the tile)
};

/// Starts copying a tile to shared memory. Elements that do not exist become 0.
template <typename Shape, typename T>
__device__ __forceinline__ void load_async(T* tile, const HeadRows<const T>& from) {
  for (int r = static_cast<int>(threadIdx.y); r < Shape::rows; r += tile_side) {
    const bool exists = r < from.rows;
    const T* row = from.data + (exists ? r : 0) * from.dim;
    if (from.packed) {
      for (int w = static_cast<int>(threadIdx.x) * Shape::packet; w < from.width;
           w += tile_side * Shape::packet) {
        cp_async<16>(tile + r * Shape::stride + w, row + w, exists ? 16 : 0);
      }
    } else {
      const int padded = ceil_div(from.width, Shape::packet) * Shape::packet;
      for (int w = static_cast<int>(threadIdx.x); w < padded; w += tile_side) {
        const bool inside = exists && w < from.width;
        cp_async<sizeof(T)>(tile + r * Shape::stride + w, inside ? row + w : row,
                            inside ? static_cast<int>(sizeof(T)) : 0);
      }
    }
  }
}

/// The same for bf16, but synchronous, because cp.async cannot widen.
template <typename Shape>
__device__ __forceinline__ void load_async(float* tile, const HeadRows<const bf16>& from) {
  using Stored = Pack<bf16, Shape::packet>;
  const int padded = ceil_div(from.width, Shape::packet) * Shape::packet;
  for (int r = static_cast<int>(threadIdx.y); r < Shape::rows; r += tile_side) {
    const bool exists = r < from.rows;
    const bf16* row = from.data + (exists ? r : 0) * from.dim;
    for (int w = static_cast<int>(threadIdx.x) * Shape::packet; w < padded; w += tile_side * Shape::packet) {
      Stored stored;
      if (from.packed) {
        stored = *reinterpret_cast<const Stored*>(row + w);
      } else {
        FER_UNROLL
        for (int f = 0; f < Shape::packet; ++f) stored.v[f] = row[gpu::min(w + f, from.width - 1)];
      }
      Packet<float> wide;
      FER_UNROLL
      for (int f = 0; f < Shape::packet; ++f) {
        wide.v[f] = exists && w + f < from.width ? widen(stored.v[f]) : 0.0f;
      }
      *reinterpret_cast<Packet<float>*>(tile + r * Shape::stride + w) = wide;
    }
  }
}

/// Copies a tile times `factor` to shared memory, synchronously.
template <typename Shape, typename T, typename S>
__device__ __forceinline__ void load_scaled(T* tile, const HeadRows<const S>& from, T factor) {
  const int padded = ceil_div(from.width, Shape::packet) * Shape::packet;
  for (int r = static_cast<int>(threadIdx.y); r < Shape::rows; r += tile_side) {
    const S* row = from.data + r * from.dim;
    for (int w = static_cast<int>(threadIdx.x); w < padded; w += tile_side) {
      tile[r * Shape::stride + w] = r < from.rows && w < from.width ? factor * widen(row[w]) : T(0);
    }
  }
}

/// scores = A B^T: A's rows are the thread's rows, B's rows are its columns. A score is one chain of
/// multiply-adds along the width, so swapping A and B gives the same result.
template <typename Shape, typename T>
__device__ __forceinline__ void multiply_transposed(const T* a, const T* b, int width,
                                                    typename Shape::Scores& scores) {
  FER_UNROLL
  for (int i = 0; i < Shape::per_thread; ++i) {
    FER_UNROLL
    for (int j = 0; j < Shape::per_thread; ++j) scores[i][j] = 0;
  }
  const T* a_row = a + static_cast<int>(threadIdx.y) * Shape::stride;
  const T* b_row = b + static_cast<int>(threadIdx.x) * Shape::stride;
  for (int w = 0; w < width; w += Shape::packet) {
    Packet<T> av[Shape::per_thread], bv[Shape::per_thread];
    FER_UNROLL
    for (int i = 0; i < Shape::per_thread; ++i) {
      av[i] = *reinterpret_cast<const Packet<T>*>(a_row + i * tile_side * Shape::stride + w);
      bv[i] = *reinterpret_cast<const Packet<T>*>(b_row + i * tile_side * Shape::stride + w);
    }
    FER_UNROLL
    for (int e = 0; e < Shape::packet; ++e) {
      FER_UNROLL
      for (int i = 0; i < Shape::per_thread; ++i) {
        FER_UNROLL
        for (int j = 0; j < Shape::per_thread; ++j) {
          scores[i][j] = gpu::fma(av[i].v[e], bv[j].v[e], scores[i][j]);
        }
      }
    }
  }
}

/// sums += S B: S (rows x score_stride) times `depth` rows of B, for the thread's rows and its packets of the
/// width. depth is rounded up to a whole packet; S and B are 0 beyond depth.
template <typename Shape, typename T>
__device__ __forceinline__ void multiply_add(const T* s, const T* b, int depth, int width,
                                             typename Shape::Columns& sums) {
  const T* s_row = s + static_cast<int>(threadIdx.y) * Shape::score_stride;
  const int column = static_cast<int>(threadIdx.x) * Shape::packet;
  if (column >= width) return;
  for (int k = 0; k < depth; k += Shape::packet) {
    Packet<T> sv[Shape::per_thread];
    FER_UNROLL
    for (int i = 0; i < Shape::per_thread; ++i) {
      sv[i] = *reinterpret_cast<const Packet<T>*>(s_row + i * tile_side * Shape::score_stride + k);
    }
    FER_UNROLL
    for (int e = 0; e < Shape::packet; ++e) {
      FER_UNROLL
      for (int p = 0; p < Shape::packets; ++p) {
        const int w = column + p * tile_side * Shape::packet;
        if (w >= width) continue;
        const auto bv = *reinterpret_cast<const Packet<T>*>(b + (k + e) * Shape::stride + w);
        FER_UNROLL
        for (int i = 0; i < Shape::per_thread; ++i) {
          FER_UNROLL
          for (int f = 0; f < Shape::packet; ++f) {
            sums[i][p].v[f] = gpu::fma(sv[i].v[e], bv.v[f], sums[i][p].v[f]);
          }
        }
      }
    }
  }
}

/// Writes the thread's part of a square of scores to shared memory.
template <typename Shape, typename T>
__device__ __forceinline__ void store_scores(const typename Shape::Scores& scores, T* to) {
  FER_UNROLL
  for (int i = 0; i < Shape::per_thread; ++i) {
    FER_UNROLL
    for (int j = 0; j < Shape::per_thread; ++j) {
      to[(static_cast<int>(threadIdx.y) + i * tile_side) * Shape::score_stride +
         static_cast<int>(threadIdx.x) + j * tile_side] = scores[i][j];
    }
  }
}

/// Writes the thread's packets to the tensor, row i multiplied by factor(i).
template <typename Shape, typename S, typename Factor>
__device__ __forceinline__ void store_columns(const typename Shape::Columns& sums, const HeadRows<S>& to,
                                              const Factor& factor) {
  FER_UNROLL
  for (int i = 0; i < Shape::per_thread; ++i) {
    const int r = static_cast<int>(threadIdx.y) + i * tile_side;
    if (r >= to.rows) continue;
    const Wide<S> by = factor(i);
    FER_UNROLL
    for (int p = 0; p < Shape::packets; ++p) {
      const int w = (static_cast<int>(threadIdx.x) + p * tile_side) * Shape::packet;
      if (w >= to.width) continue;
      using Out = Pack<S, Shape::packet>;
      Out out;
      FER_UNROLL
      for (int f = 0; f < Shape::packet; ++f) out.v[f] = narrow<S>(sums[i][p].v[f] * by);
      S* at = to.data + r * to.dim + w;
      if (to.packed) {
        *reinterpret_cast<Out*>(at) = out;
      } else {
        FER_UNROLL
        for (int f = 0; f < Shape::packet; ++f) {
          if (w + f < to.width) at[f] = out.v[f];
        }
      }
    }
  }
}

}  // namespace fer::FER_DEVICE_NAMESPACE
