// Elementwise arithmetic with broadcasting, and its reverse, sum_to. Neighbouring dimensions that broadcast
// alike are merged first. So the usual cases (equal shapes, a scalar, a vector over channels, a column over
// rows) all have one or two dimensions: a loop over rows and a contiguous inner loop, in which operands
// advance by 1 or 0. sum_to merges dimensions in the same way, so that kept and summed ones alternate. It
// sums in double, chunk by chunk.
#include <vector>

#include "cpu/cpu_backend.h"
#include "cpu/parallel.h"
#include "tensor/merged_dims.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/elementwise.cpp"
#include "cpu/simd.h"

#ifndef FER_CPU_ELEMENTWISE_KERNELS
#define FER_CPU_ELEMENTWISE_KERNELS
namespace fer {

/// One operand of a two-dimensional loop. It advances by `row` per row and by `step` (0 or 1) within a row.
template <typename T>
struct Operand {
  const T* data;
  std::int64_t row, step;
};

template <typename T>
struct ElementwiseKernels {
  /// y[i][j] = a[i][j] op b[i][j], rows x n; y's rows are y_row apart. stream: stores to y bypass the cache.
  void (*binary)(BinaryOp op, Operand<T> a, Operand<T> b, T* y, std::int64_t y_row, std::int64_t rows,
                 std::int64_t n, bool stream);
  void (*scale)(const T* x, T alpha, T* y, std::int64_t n);
  void (*accumulate)(const T* x, T alpha, T* y, std::int64_t n);
  void (*lerp)(const T* x, T weight, T* y, std::int64_t n);
  /// sums (n) += columns of x, rows x n.
  void (*column_sums)(const T* x, std::int64_t rows, std::int64_t n, double* sums);
};

}  // namespace fer
#endif

HWY_BEFORE_NAMESPACE();
namespace fer::HWY_NAMESPACE {
namespace {

struct Add {
  template <typename V>
  HWY_INLINE V operator()(V a, V b) const {
    return hn::Add(a, b);
  }
};
struct Sub {
  template <typename V>
  HWY_INLINE V operator()(V a, V b) const {
    return hn::Sub(a, b);
  }
};
struct Mul {
  template <typename V>
  HWY_INLINE V operator()(V a, V b) const {
    return hn::Mul(a, b);
  }
};
struct Div {
  template <typename V>
  HWY_INLINE V operator()(V a, V b) const {
    return hn::Div(a, b);
  }
};

template <typename Op, typename T>
void binary_rows(Op op, Operand<T> a, Operand<T> b, T* y, std::int64_t y_row, std::int64_t rows,
                 std::int64_t n, bool stream) {
  with_stores(stream, y, rows, y_row, [=](auto streamed) HWY_ATTR {
    for (std::int64_t i = 0; i < rows; ++i) {
      const T* pa = a.data + i * a.row;
      const T* pb = b.data + i * b.row;
      T* py = y + i * y_row;
      if (a.step && b.step) {
        for_vectors<T>(n, [=](auto d, std::int64_t j) HWY_ATTR {
          store(streamed, op(hn::LoadU(d, pa + j), hn::LoadU(d, pb + j)), d, py + j);
        });
      } else if (a.step) {
        const T value = *pb;
        for_vectors<T>(n, [=](auto d, std::int64_t j) HWY_ATTR {
          store(streamed, op(hn::LoadU(d, pa + j), hn::Set(d, value)), d, py + j);
        });
      } else {
        const T value = *pa;
        for_vectors<T>(n, [=](auto d, std::int64_t j) HWY_ATTR {
          store(streamed, op(hn::Set(d, value), hn::LoadU(d, pb + j)), d, py + j);
        });
      }
    }
  });
}

template <typename T>
void binary(BinaryOp op, Operand<T> a, Operand<T> b, T* y, std::int64_t y_row, std::int64_t rows,
            std::int64_t n, bool stream) {
  switch (op) {
    case BinaryOp::add:
      return binary_rows(Add(), a, b, y, y_row, rows, n, stream);
    case BinaryOp::sub:
      return binary_rows(Sub(), a, b, y, y_row, rows, n, stream);
    case BinaryOp::mul:
      return binary_rows(Mul(), a, b, y, y_row, rows, n, stream);
    case BinaryOp::div:
      return binary_rows(Div(), a, b, y, y_row, rows, n, stream);
  }
}

// ivdep is safe even if y is x: no iteration reads what another one writes.
template <typename T>
void scale(const T* x, T alpha, T* y, std::int64_t n) {
#pragma GCC ivdep
  for (std::int64_t i = 0; i < n; ++i) y[i] = alpha * x[i];
}

template <typename T>
void accumulate(const T* HWY_RESTRICT x, T alpha, T* HWY_RESTRICT y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) y[i] += alpha * x[i];
}

template <typename T>
void lerp(const T* HWY_RESTRICT x, T weight, T* HWY_RESTRICT y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) y[i] += weight * (x[i] - y[i]);
}

template <typename T>
void column_sums(const T* HWY_RESTRICT x, std::int64_t rows, std::int64_t n, double* HWY_RESTRICT sums) {
  if (n == 1) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t i = 0; i < rows; ++i) sum += static_cast<double>(x[i]);
    sums[0] += sum;
    return;
  }
  std::int64_t i = 0;
  for (; i + 4 <= rows; i += 4, x += 4 * n) {  // four rows for one load and store of the sums
    for (std::int64_t j = 0; j < n; ++j) {
      sums[j] += (static_cast<double>(x[j]) + static_cast<double>(x[j + n])) +
                 (static_cast<double>(x[j + 2 * n]) + static_cast<double>(x[j + 3 * n]));
    }
  }
  for (; i < rows; ++i, x += n) {
    for (std::int64_t j = 0; j < n; ++j) sums[j] += static_cast<double>(x[j]);
  }
}

template <typename T>
ElementwiseKernels<T> table() {
  return {binary<T>, scale<T>, accumulate<T>, lerp<T>, column_sums<T>};
}
ElementwiseKernels<float> kernels_f32() {
  return table<float>();
}
ElementwiseKernels<double> kernels_f64() {
  return table<double>();
}

}  // namespace
}  // namespace fer::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fer {
FER_SIMD_EXPORT(ElementwiseKernels)

namespace {

// Merges dimensions, but returns at least two: the contiguous inner loop and the rows.
BroadcastDims merge(const Shape& full, const Shape& a, const Shape& b) {
  BroadcastDims dims = merge_broadcast(full, a, b);
  if (dims.rank == 0) dims.extent[0] = 1, dims.a[0] = dims.b[0] = 1, dims.rank = 1;
  if (dims.rank == 1) dims.extent[1] = 1, dims.rank = 2;
  return dims;
}

// The offset of row `row` of an operand. Rows are counted over all dimensions but the innermost.
std::int64_t row_offset(const BroadcastDims& dims, const std::int64_t* strides, std::int64_t row) {
  std::int64_t offset = 0;
  for (int i = 1; i < dims.rank; ++i) {
    offset += row % dims.extent[i] * strides[i];
    row /= dims.extent[i];
  }
  return offset;
}

}  // namespace

void CpuBackend::binary(BinaryOp op, const Tensor& a, const Tensor& b, Tensor& y) {
  const Shape full = broadcast_shapes(a.shape(), b.shape(), "binary");
  require<ShapeError>(y.shape() == full, "[binary] y has shape ", y.shape(), ", the operands give ", full);
  const std::int64_t total = full.numel();
  if (total == 0) return;
  dispatch_floating(y.dtype(), "binary", [&]<typename T>() {
    const BroadcastDims dims = merge(full, a.shape(), b.shape());
    const T *pa = a.data<T>(), *pb = b.data<T>();
    T* py = y.mutable_data<T>();
    const auto run = kernels<T>().binary;
    const bool stream = detail::stream_stores(y) && !y.shares_memory_with(a) && !y.shares_memory_with(b);
    const std::int64_t n = dims.extent[0], rows = total / n;

    // Computes rows [row, end) and columns [column, column + width), a run of equally spaced rows at a time.
    const auto rectangle = [&](std::int64_t row, std::int64_t end, std::int64_t column, std::int64_t width) {
      while (row < end) {
        const std::int64_t count = std::min(end - row, dims.extent[1] - row % dims.extent[1]);
        const T* first_a = pa + row_offset(dims, dims.a, row) + column * dims.a[0];
        const T* first_b = pb + row_offset(dims, dims.b, row) + column * dims.b[0];
        run(op, {first_a, dims.a[1], dims.a[0]}, {first_b, dims.b[1], dims.b[0]}, py + row * n + column, n,
            count, width, stream);
        row += count;
      }
    };
    if (n > 4 * detail::kBlock) {  // split long rows: there may be only one
      const std::int64_t pieces = (n + detail::kBlock - 1) / detail::kBlock;
      detail::parallel_for(rows * pieces, 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          const std::int64_t column = i % pieces * detail::kBlock;
          rectangle(i / pieces, i / pieces + 1, column, std::min(detail::kBlock, n - column));
        }
      });
    } else {
      detail::parallel_rows(rows, n,
                            [&](std::int64_t begin, std::int64_t end) { rectangle(begin, end, 0, n); });
    }
  });
}

void CpuBackend::sum_to(const Tensor& x, Tensor& y) {
  require<ShapeError>(broadcast_shapes(x.shape(), y.shape(), "sum_to") == x.shape(), "[sum_to] ", x.shape(),
                      " cannot be summed to ", y.shape());
  if (x.numel() == 0) return fill(y, 0);
  if (x.numel() == y.numel()) return copy(x, y);
  dispatch_floating(x.dtype(), "sum_to", [&]<typename T>() {
    // Merged dimensions alternate between kept (y's stride is not 0) and summed. An extent of 1 is inserted
    // if needed, so that the innermost dimension is kept, the next summed, the next kept, ...
    const BroadcastDims merged = merge(x.shape(), x.shape(), y.shape());
    std::vector<std::int64_t> extent(merged.extent, merged.extent + merged.rank);
    if (merged.b[0] == 0) extent.insert(extent.begin(), 1);
    const int rank = static_cast<int>(extent.size());
    const std::int64_t width = extent[0], run_rows = extent[1];
    std::int64_t summed = 1,
                 kept = 1;  // the rows to add up, and the number of such sums (`width` columns each)
    for (int i = 1; i < rank; ++i) (i % 2 ? summed : kept) *= extent[i];

    // Row `row` of sum number `group`, as an offset in rows of x.
    const auto row_of = [&](std::int64_t group, std::int64_t row) {
      std::int64_t offset = 0, stride = 1;
      for (int i = 1; i < rank; ++i) {
        std::int64_t& index = i % 2 ? row : group;
        offset += index % extent[i] * stride;
        index /= extent[i];
        stride *= extent[i];
      }
      return offset;
    };
    const detail::RowChunks chunks(summed, width);
    std::vector<double> partial(static_cast<std::size_t>(kept * chunks.count * width), 0.0);
    const T* px = x.data<T>();
    const auto column_sums = kernels<T>().column_sums;
    const std::int64_t tasks = kept * chunks.count;
    detail::parallel_rows(tasks, x.numel() / tasks, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task) {
        const std::int64_t group = task / chunks.count, chunk = task % chunks.count;
        std::int64_t row = chunks.begin(chunk);
        const std::int64_t last = row + chunks.length(chunk);
        while (row < last) {
          const std::int64_t count = std::min(last - row, run_rows - row % run_rows);
          column_sums(px + row_of(group, row) * width, count, width, partial.data() + task * width);
          row += count;
        }
      }
    });
    T* py = y.mutable_data<T>();
    detail::parallel_rows(kept, chunks.count * width, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t group = begin; group < end; ++group) {
        for (std::int64_t j = 0; j < width; ++j) {
          double sum = 0;
          for (std::int64_t c = 0; c < chunks.count; ++c)
            sum += partial[(group * chunks.count + c) * width + j];
          py[group * width + j] = static_cast<T>(sum);
        }
      }
    });
  });
}

void CpuBackend::scale(const Tensor& x, double alpha, Tensor& y) {
  detail::require_size("scale", "y", y, x.numel());
  dispatch_floating(x.dtype(), "scale", [&]<typename T>() {
    const T* px = x.data<T>();
    T* py = y.mutable_data<T>();
    const auto run = kernels<T>().scale;
    detail::parallel_for(x.numel(), detail::kBlock, [&](std::int64_t begin, std::int64_t end) {
      run(px + begin, static_cast<T>(alpha), py + begin, end - begin);
    });
  });
}

void CpuBackend::accumulate(const Tensor& x, double alpha, Tensor& y) {
  detail::require_size("accumulate", "y", y, x.numel());
  dispatch_floating(x.dtype(), "accumulate", [&]<typename T>() {
    const T* px = x.data<T>();
    T* py = y.mutable_data<T>();
    const auto run = kernels<T>().accumulate;
    detail::parallel_for(x.numel(), detail::kBlock, [&](std::int64_t begin, std::int64_t end) {
      run(px + begin, static_cast<T>(alpha), py + begin, end - begin);
    });
  });
}

void CpuBackend::lerp(const Tensor& x, double weight, Tensor& y) {
  detail::require_size("lerp", "y", y, x.numel());
  dispatch_floating(x.dtype(), "lerp", [&]<typename T>() {
    const T* px = x.data<T>();
    T* py = y.mutable_data<T>();
    const auto run = kernels<T>().lerp;
    detail::parallel_for(x.numel(), detail::kBlock, [&](std::int64_t begin, std::int64_t end) {
      run(px + begin, static_cast<T>(weight), py + begin, end - begin);
    });
  });
}

}  // namespace fer
#endif
