// The CPU's matrix products: packed, register-tiled and threaded, for any strides. Results do not depend on
// the number of threads, because the split of K and the order of sums are fixed.
#pragma once

#include <cstdint>
#include <functional>

#include "cpu/gemm_kernels.h"

namespace fer::detail {

/// A matrix somewhere in memory: element (i, j) is data[i * row_stride + j * col_stride].
template <typename T>
struct MatrixRef {
  const T* data = nullptr;
  std::int64_t rows = 0, cols = 0;
  std::int64_t row_stride = 0, col_stride = 1;

  MatrixRef transposed() const { return {data, cols, rows, col_stride, row_stride}; }
};

/// Row-major and contiguous.
template <typename T>
MatrixRef<T> matrix(const T* data, std::int64_t rows, std::int64_t cols) {
  return {data, rows, cols, cols, 1};
}

/// What is applied to C before it is written: c = prelu(c + bias, slope) + residual. A null pointer leaves
/// its part out.
template <typename T>
struct Epilogue {
  const T *bias = nullptr, *slope = nullptr;  ///< N
  const T* residual = nullptr;                ///< M x N, with C's row stride
};

/// C = A B + bias; A: M x K, B: K x N, C: M x N with rows `c_stride` apart, bias: N or null.
/// Uses OpenMP's threads (only the caller's inside a parallel region).
template <typename T>
void gemm(const MatrixRef<T>& a, const MatrixRef<T>& b, T* c, std::int64_t c_stride, const T* bias = nullptr);

/// The number of elements of a packed k x n matrix B.
template <typename T>
std::int64_t packed_size(std::int64_t k, std::int64_t n);
/// Packs B in the layout of the kernels, to reuse it in several products.
template <typename T>
void pack(const MatrixRef<T>& b, T* packed);
/// gemm with a packed B and n columns.
template <typename T>
void gemm_packed(const MatrixRef<T>& a, const T* packed_b, std::int64_t n, T* c, std::int64_t c_stride,
                 const Epilogue<T>& epilogue);

/// Like gemm, for `batch` products of one shape whose matrices are *_pitch elements apart.
template <typename T>
void gemm_batched(std::int64_t batch, const MatrixRef<T>& a, std::int64_t a_pitch, const MatrixRef<T>& b,
                  std::int64_t b_pitch, T* c, std::int64_t c_stride, std::int64_t c_pitch);

/// A product with a long inner dimension and a small result, such as a weight gradient: C = sum over k of
/// A[k][:]^T B[k][:]. B is produced panel by panel as it is needed.
template <typename T>
struct LongProduct {
  std::int64_t m = 0, n = 0, k = 0;
  const T* a = nullptr;       ///< k x m
  std::int64_t a_stride = 0;  ///< elements between its rows
  /// Writes rows [k0, k0 + count) and columns [column, column + nr) of B to panel[count][nr], zero beyond n.
  std::function<void(std::int64_t k0, std::int64_t count, std::int64_t column, T* panel)> pack_b;
  T* c = nullptr;  ///< m x n
  std::int64_t c_stride = 0;
};
template <typename T>
void long_product(const LongProduct<T>& product);

/// C = A^T B over many rows: A rows x M, B rows x N, both with contiguous rows.
template <typename T>
void product_over_rows(const MatrixRef<T>& a, const MatrixRef<T>& b, T* c, std::int64_t c_stride);

/// Packs columns [panel * nr, panel * nr + nr) of b as [b.rows][nr], with zeros beyond b's last column.
template <typename T>
void pack_panel(const MatrixRef<T>& b, std::int64_t panel, T* packed);

/// y[c] = sum over rows of x (rows x channels).
template <typename T>
void column_sums(const T* x, std::int64_t rows, std::int64_t channels, T* y);

/// The K extent of one pass over C, during which the sums stay in registers. A panel of B of this depth is
/// read from the second-level cache, at about 9 bytes per cycle. That costs less than shorter passes, which
/// write and reread C more often.
constexpr std::int64_t kPanelDepth = 800;

inline std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}
inline std::int64_t round_up(std::int64_t a, std::int64_t b) {
  return ceil_div(a, b) * b;
}
/// Splits `extent` into equal pieces no longer than `limit` and returns their length.
inline std::int64_t even_split(std::int64_t extent, std::int64_t limit) {
  return ceil_div(extent, ceil_div(extent, limit));
}

}  // namespace fer::detail
