// PReLU, y = x > 0 ? x : slope[c] * x, with a slope per channel (He et al. 2015).
//   dx = dy * (x > 0 ? 1 : slope[c])        dslope[c] = sum over rows of dy * x where x <= 0
// Forward uses column_map.h. Backward computes both gradients in one pass of column_reduce.h: the term of
// dslope also writes dx. Floor: the bytes, 8 per element forward, 12 backward in float.
#include "cuda/column_map.h"
#include "cuda/column_reduce.h"
#include "cuda/device_backend.h"

namespace fer::FER_DEVICE_NAMESPACE {
namespace {

template <typename S>
struct PReluForward {
  using T = Wide<S>;
  const S* x;
  const T* slope;
  S* y;
  __device__ __forceinline__ T channel(int c) const { return slope[c]; }
  __device__ __forceinline__ T load(index_t i) const { return widen(x[i]); }
  __device__ __forceinline__ void store(T s, index_t i, T v) const { y[i] = narrow<S>(v > T(0) ? v : s * v); }
};

template <typename T>
struct Pair {
  T a, b;
};

template <typename S>
struct PReluBackward {
  using T = Wide<S>;
  const S* x;
  const T* slope;
  const S* dy;
  S* dx;
  __device__ __forceinline__ T channel(int c) const { return slope[c]; }
  __device__ __forceinline__ Pair<T> load(index_t i) const { return {widen(x[i]), widen(dy[i])}; }
  __device__ __forceinline__ void store(T s, index_t i, Pair<T> v) const {
    dx[i] = narrow<S>(v.a > T(0) ? v.b : s * v.b);
  }
};

template <typename S>
struct SlopeTerm {
  using T = Wide<S>;
  const S* x;
  const T* slope;
  const S* dy;
  S* dx;  ///< may be null
  index_t columns;
  __device__ __forceinline__ void operator()(index_t, index_t row, int column, double (&sums)[1]) const {
    const index_t i = row * columns + column;
    const T v = widen(x[i]), g = widen(dy[i]);
    const bool positive = v > T(0);
    if (dx != nullptr) dx[i] = narrow<S>(positive ? g : slope[column] * g);
    if (!positive) sums[0] += static_cast<double>(g) * static_cast<double>(v);
  }
};

}  // namespace

void DeviceBackend::prelu_forward(const Tensor& x, const Tensor& slope, Tensor& y) {
  const index_t rows = x.shape().rows(), channels = x.shape().channels();
  require_size("prelu", "slope", slope, channels);
  require_size("prelu", "y", y, x.numel());
  dispatch_stored(x.dtype(), "prelu", [&]<typename S>() {
    column_map(stream_, rows, channels,
               PReluForward<S>{stored<S>(x), slope.data<Wide<S>>(), mutable_stored<S>(y)});
  });
}

void DeviceBackend::prelu_backward(const Tensor& x, const Tensor& slope, const Tensor& dy, Tensor& dx,
                                   Tensor& dslope) {
  const index_t rows = x.shape().rows(), channels = x.shape().channels();
  require_size("prelu", "slope", slope, channels);
  require_size("prelu", "dy", dy, x.numel());
  if (dx.defined()) require_size("prelu", "dx", dx, x.numel());
  if (dslope.defined()) require_size("prelu", "dslope", dslope, channels);
  dispatch_stored(x.dtype(), "prelu", [&]<typename S>() {
    using T = Wide<S>;
    const S *px = stored<S>(x), *pdy = stored<S>(dy);
    const T* pslope = slope.data<T>();
    S* pdx = mutable_stored_or_null<S>(dx);
    if (dslope.defined()) {
      column_reduce<1>(*this, stream_, 1, rows, channels, SlopeTerm<S>{px, pslope, pdy, pdx, channels},
                       StoreSum<T>{dslope.mutable_data<T>(), channels});
    } else if (pdx != nullptr) {
      column_map(stream_, rows, channels, PReluBackward<S>{px, pslope, pdy, pdx});
    }
  });
}

}  // namespace fer::FER_DEVICE_NAMESPACE
