// Inner loops of batch norm, vectorised over channels and compiled once per instruction set. batch_norm.cpp
// has the equations.
#pragma once

#include <cstdint>

namespace fer {

/// z = (x - mean) scale + bias, and y = prelu(z, slope), or y = z if slope is null. All have C elements.
template <typename T>
struct NormLine {
  const T *mean, *scale, *bias, *slope;
};

/// The destinations of a chunk's sums, C elements each. slope is null if there is none.
struct GradientSums {
  double *dy, *product, *slope;
};

/// x, y, dy, dx, residual, addend: rows x C; everything else: C.
template <typename T>
struct BatchNormKernels {
  /// The mean of one chunk, and squares = sum of (x - mean)^2. scratch: 3 C.
  void (*moments)(const T* x, std::int64_t rows, std::int64_t channels, T* scratch, double* mean,
                  double* squares);
  /// sums.dy += sum of dz, sums.product += sum of dz (x - mean), sums.slope += dslope. scratch: 3 C.
  void (*gradient_sums)(const T* x, const T* dy, const NormLine<T>& line, std::int64_t rows,
                        std::int64_t channels, T* scratch, const GradientSums& sums);
  /// y = prelu(line(x)) + residual (or null). stream, here and below: the stores bypass the cache.
  void (*normalise)(const T* x, const NormLine<T>& line, const T* residual, T* y, std::int64_t rows,
                    std::int64_t channels, bool stream);
  /// dx = line.scale dz + (factor (x - mean) + offset) + addend (or null)
  void (*backward)(const T* x, const T* dy, const NormLine<T>& line, const T* factor, const T* offset,
                   const T* addend, T* dx, std::int64_t rows, std::int64_t channels, bool stream);
  /// dx = scale dy
  void (*eval_backward)(const T* dy, const T* scale, T* dx, std::int64_t rows, std::int64_t channels,
                        bool stream);
};

template <typename T>
BatchNormKernels<T> batch_norm_kernels();

}  // namespace fer
