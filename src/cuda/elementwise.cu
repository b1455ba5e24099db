// Elementwise arithmetic with broadcasting, and its reverse sum_to.
//   binary: operands of equal shape use pointwise.h (16 bytes per thread). Otherwise a thread computes one
// element of y. It finds the operands' elements by dividing its index by the extents. Adjacent dimensions
// that broadcast alike are merged first. A warp writes contiguous memory, and reads contiguous memory along
// an operand's innermost dimension. Floor: the bytes of a, b and y; one operation per element.
//   sum_to: column_reduce.h, on dimensions merged so that kept and summed ones alternate.
//   scale, accumulate, lerp: pointwise.h.
#include <vector>

#include "cuda/column_reduce.h"
#include "cuda/device_backend.h"
#include "cuda/pointwise.h"
#include "tensor/merged_dims.h"

namespace fer::FER_DEVICE_NAMESPACE {
namespace {

constexpr int max_dims = BroadcastDims::most;

struct Add {
  template <typename T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct Sub {
  template <typename T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a - b;
  }
};
struct Mul {
  template <typename T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a * b;
  }
};
struct Div {
  template <typename T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a / b;
  }
};

template <typename Body>
void with_op(BinaryOp op, const Body& body) {
  switch (op) {
    case BinaryOp::add:
      return body(Add{});
    case BinaryOp::sub:
      return body(Sub{});
    case BinaryOp::mul:
      return body(Mul{});
    case BinaryOp::div:
      return body(Div{});
  }
}

/// Index: unsigned 32-bit if the tensor is small enough, because its divisions take a third of the time.
template <typename Index, typename S, typename Op>
__global__ void broadcast_kernel(Op op, const S* a, const S* b, S* y, BroadcastDims dims, index_t n) {
  for (index_t i = first_item(); i < n; i += item_step()) {
    Index rest = static_cast<Index>(i);
    index_t at_a = 0, at_b = 0;
    for (int d = 0; d + 1 < dims.rank; ++d) {
      const Index extent = static_cast<Index>(dims.extent[d]), outer = rest / extent,
                  at = rest - outer * extent;
      at_a += static_cast<index_t>(at) * dims.a[d];
      at_b += static_cast<index_t>(at) * dims.b[d];
      rest = outer;
    }
    at_a += static_cast<index_t>(rest) * dims.a[dims.rank - 1];
    at_b += static_cast<index_t>(rest) * dims.b[dims.rank - 1];
    y[i] = narrow<S>(op(widen(a[at_a]), widen(b[at_b])));
  }
}

template <typename T>
struct Scale {
  T alpha;
  __device__ __forceinline__ T operator()(T x) const { return alpha * x; }
};
template <typename T>
struct Accumulate {
  T alpha;
  __device__ __forceinline__ T operator()(T x, T y) const { return y + alpha * x; }
};
template <typename T>
struct Lerp {
  T weight;
  __device__ __forceinline__ T operator()(T x, T y) const { return y + weight * (x - y); }
};

/// Adds element (row, column) to sum number `group`. Extents alternate, innermost first: columns, summed,
/// kept, summed, ...
template <typename S>
struct SumTerm {
  const S* x;
  index_t columns;
  int rank;
  index_t extent[max_dims + 1];

  __device__ __forceinline__ void operator()(index_t group, index_t row, int column,
                                             double (&sums)[1]) const {
    index_t offset = 0, stride = columns;
    FER_UNROLL
    for (int i = 1; i <= max_dims; ++i) {  // a constant count, so that extents stay out of local memory
      if (i >= rank) break;
      index_t& index = i % 2 ? row : group;
      offset += index % extent[i] * stride;
      index /= extent[i];
      stride *= extent[i];
    }
    sums[0] += widen_to_double(x[offset + column]);
  }
};
/// The usual case of SumTerm: rank 3 at most, groups x rows x columns.
template <typename S>
struct PlainSumTerm {
  const S* x;
  index_t rows, columns;
  __device__ __forceinline__ void operator()(index_t group, index_t row, int column,
                                             double (&sums)[1]) const {
    sums[0] += widen_to_double(x[(group * rows + row) * columns + column]);
  }
};

/// y = x summed over the dimensions in which y's extent is 1 or absent, stored as Y.
template <typename S, typename Y>
void sum_dims(DeviceBackend& owner, gpu::Stream stream, const Tensor& x, Tensor& y) {
  const BroadcastDims merged = merge_broadcast(x.shape(), x.shape(), y.shape());
  std::vector<index_t> extent(merged.extent, merged.extent + merged.rank);
  if (merged.b[0] == 0) extent.insert(extent.begin(), 1);
  index_t rows = 1, groups = 1;
  for (std::size_t i = 1; i < extent.size(); ++i) (i % 2 ? rows : groups) *= extent[i];
  const StoreSum<Y> store{mutable_stored<Y>(y), extent[0]};
  if (extent.size() <= 3) {
    const PlainSumTerm<S> term{stored<S>(x), rows, extent[0]};
    return column_reduce<1>(owner, stream, groups, rows, extent[0], term, store);
  }
  SumTerm<S> term{stored<S>(x), extent[0], static_cast<int>(extent.size()), {}};
  std::copy(extent.begin(), extent.end(), term.extent);
  column_reduce<1>(owner, stream, groups, rows, extent[0], term, store);
}

}  // namespace

void DeviceBackend::binary(BinaryOp op, const Tensor& a, const Tensor& b, Tensor& y) {
  const Shape full = broadcast_shapes(a.shape(), b.shape(), "binary");
  require<ShapeError>(y.shape() == full, "[binary] y has shape ", y.shape(), ", the operands give ", full);
  const index_t n = full.numel();
  if (n == 0) return;
  dispatch_stored(y.dtype(), "binary", [&]<typename S>() {
    const S *pa = stored<S>(a), *pb = stored<S>(b);
    S* py = mutable_stored<S>(y);
    with_op(op, [&](auto f) {
      using Op = decltype(f);
      if (a.numel() == n && b.numel() == n) return pointwise<S, 2>(f, {pa, pb}, py, n, stream_);
      const BroadcastDims dims = merge_broadcast(full, a.shape(), b.shape());
      constexpr int threads = 256;
      const auto kernel =
          n <= 0x7fffffff ? broadcast_kernel<std::uint32_t, S, Op> : broadcast_kernel<std::uint64_t, S, Op>;
      gpu::launch(kernel, blocks_for(n, threads), threads, 0, stream_, f, pa, pb, py, dims, n);
    });
  });
}

void DeviceBackend::sum_to(const Tensor& x, Tensor& y) {
  require<ShapeError>(broadcast_shapes(x.shape(), y.shape(), "sum_to") == x.shape(), "[sum_to] ", x.shape(),
                      " cannot be summed to ", y.shape());
  if (x.numel() == 0) return fill(y, 0);
  if (x.numel() == y.numel()) return cast(x, y);
  if (x.dtype() == DType::bfloat16 && y.dtype() == DType::float32) {
    return sum_dims<bf16, float>(*this, stream_, x, y);
  }
  dispatch_stored(x.dtype(), "sum_to", [&]<typename S>() { sum_dims<S, S>(*this, stream_, x, y); });
}

void DeviceBackend::scale(const Tensor& x, double alpha, Tensor& y) {
  require_size("scale", "y", y, x.numel());
  dispatch_stored(x.dtype(), "scale", [&]<typename S>() {
    const Scale<Wide<S>> scale{static_cast<Wide<S>>(alpha)};
    pointwise<S, 1>(scale, {stored<S>(x)}, mutable_stored<S>(y), x.numel(), stream_);
  });
}

void DeviceBackend::accumulate(const Tensor& x, double alpha, Tensor& y) {
  require_size("accumulate", "y", y, x.numel());
  dispatch_stored(x.dtype(), "accumulate", [&]<typename S>() {
    S* py = mutable_stored<S>(y);
    const Accumulate<Wide<S>> accumulate{static_cast<Wide<S>>(alpha)};
    pointwise<S, 2>(accumulate, {stored<S>(x), py}, py, x.numel(), stream_);
  });
}

void DeviceBackend::lerp(const Tensor& x, double weight, Tensor& y) {
  require_size("lerp", "y", y, x.numel());
  dispatch_floating(x.dtype(), "lerp", [&]<typename T>() {
    T* py = y.mutable_data<T>();
    pointwise<T, 2>(Lerp<T>{static_cast<T>(weight)}, {x.data<T>(), py}, py, x.numel(), stream_);
  });
}

}  // namespace fer::FER_DEVICE_NAMESPACE
