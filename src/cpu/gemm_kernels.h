// The inner kernels of every product and convolution: a block of rows times packed panels of B, a register
// tile at a time. They are compiled once per instruction set (highway_targets.h) and chosen at run time.
// Their drivers (gemm.cpp, conv2d.cpp, ...) are plain C++.
#pragma once

#include <cstdint>

namespace fer::detail {

/// C (rows x n) = A B, or C += A B, where the K dimension of A is given in segments of contiguous elements
/// (the taps of a convolution; a plain matrix has one segment) and B is packed.
template <typename T>
struct BlockProduct {
  std::int64_t rows = 0;
  std::int64_t n = 0;
  std::int64_t segments = 1;
  std::int64_t segment_k = 0;  ///< K = segments * segment_k
  // A is one of the following three:
  const T* a = nullptr;  ///< rows a_stride apart; one segment
  std::int64_t a_stride = 0;
  const T* a_panels = nullptr;       ///< [tile of mr rows][K][mr]; one segment
  std::int64_t a_panel_pitch = 0;    ///< elements from one tile's panel to the next
  const T* const* a_rows = nullptr;  ///< [segments][a_rows_pitch]: the start of each row's segment
  std::int64_t a_rows_pitch = 0;     ///< at least `rows`
  std::int64_t a_offset = 0;         ///< added to each a_rows pointer
  const T* b = nullptr;              ///< [panel of nr columns][K][nr], zero beyond column n
  std::int64_t b_panel_pitch = 0;    ///< elements from one panel to the next; at least K * nr
  T* const* c_rows = nullptr;        ///< [rows]: the first of a row's n contiguous elements
  bool accumulate = false;           ///< C += instead of C =
  // What is applied to C before it is written: c = prelu(c + bias, slope) + residual. A null pointer leaves
  // its part out. If several products accumulate into C, only the last one has these.
  const T *bias = nullptr, *slope = nullptr;  ///< n
  const T* const* residual_rows = nullptr;    ///< [rows]
};

/// `count` products C = A B that differ only in their numbers of rows. Rows of A and C are evenly spaced, so
/// no row pointers are needed. All panels of B are full. At least mr / 2 rows are read and written, even if a
/// product has fewer.
template <typename T>
struct StridedProducts {
  std::int64_t count = 0, k = 0, panels = 0;
  const std::int64_t* rows = nullptr;  ///< [count]
  const T* a = nullptr;                ///< [count: a_pitch][rows: a_stride][k]
  std::int64_t a_pitch = 0, a_stride = 0;
  const T* b = nullptr;  ///< [panels: b_panel_pitch][count: b_pitch][k][nr]
  std::int64_t b_pitch = 0, b_panel_pitch = 0;
  T* c = nullptr;  ///< [count: c_pitch][rows: c_stride][panels * nr], aligned to vectors
  std::int64_t c_pitch = 0, c_stride = 0;
  std::int64_t depth = 0;  ///< k is summed in pieces of this length to reduce rounding errors
};

/// C (m x n) = A^T B, or C += A^T B, summed over k rows of A and B. A is stored in blocks of 16 columns, B in
/// panels.
template <typename T>
struct TallProduct {
  std::int64_t k = 0, m = 0, n = 0;
  const T* a = nullptr;  ///< [ceil(m / 16): a_block_pitch][k][16]; columns beyond m are readable but unused
  std::int64_t a_block_pitch = 0;
  const T* b = nullptr;  ///< [panels: b_panel_pitch][k][nr]
  std::int64_t b_panel_pitch = 0;
  T* c = nullptr;
  std::int64_t c_stride = 0;
  bool accumulate = false;
};

/// The kernels of one instruction set.
template <typename T>
struct ProductKernels {
  const char* name;  ///< "AVX2", ...
  int mr;            ///< rows of a register tile
  int nr;            ///< columns of a register tile and of a packed panel
  bool fused;        ///< multiply-adds round once
  void (*block_product)(const BlockProduct<T>& product);
  void (*strided_products)(const StridedProducts<T>& products);
  void (*tall_product)(const TallProduct<T>& product);
  /// panel[k][0..nr) = source[k * stride + 0..nr): `count` rows of a panel of B whose columns are contiguous.
  void (*copy_panel)(const T* source, std::int64_t stride, std::int64_t count, T* panel);
  /// panel[k][j] = source[j * stride + k] for j < nr: a panel of B whose rows are contiguous.
  void (*transpose_panel)(const T* source, std::int64_t stride, std::int64_t count, T* panel);
  /// panel[k][0..mr) = source[k * stride + 0..mr): a full tile of A whose rows are contiguous in memory.
  void (*copy_tile)(const T* source, std::int64_t stride, std::int64_t count, T* panel);
  /// Runs `rounds` rounds of 2 * mr - 2 vector multiply-adds on registers and returns the number of flops.
  /// Its speed is the machine's peak, with which the products are compared.
  double (*peak)(std::int64_t rounds);
};

/// The kernels of the best instruction set of this machine; T is float or double.
template <typename T>
const ProductKernels<T>& product_kernels();

}  // namespace fer::detail
