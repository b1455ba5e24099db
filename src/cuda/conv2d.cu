// Convolution of NHWC images as an implicit matrix product: the matrix of patches is never stored, and only
// the loaders know that an operand's rows are patches. product.h explains blocks and threads. A group is a
// batch.
//   forward   y[pixel, o]  = sum over (r, s, i) of patch(pixel; r, s, i) w[o; r, s, i]
//   dx        dx[pixel, i] = sum over (r, s, o) of dy[q(pixel; r, s), o] w[o; r, s, i],
//             where q(pixel; r, s) is the output pixel that reads `pixel` with tap (r, s).
//             With a stride, a pixel's row and column modulo the stride decide which taps read it. Each such
//             class of pixels is a separate product over its own taps, so nothing is multiplied by 0.
//   dw        dw[o; r, s, i] = sum over output pixels of dy[pixel, o] patch(pixel; r, s, i)
//             The inner dimension is all output pixels. It is split into parts, which are added in order.
// Channels are innermost in memory, so 16 neighbouring threads read 16 neighbouring channels of a pixel, or
// 64 threads read 64. A 1x1 convolution with stride 1 is a plain product with the matrix of pixels.
// Floor: 2 taps I/groups operations per output element; each image and weight is read once.
#include "cuda/column_reduce.h"
#include "cuda/conv2d_product.h"
#include "cuda/device_backend.h"
#include "cuda/matrix_product.h"

namespace fer::FER_DEVICE_NAMESPACE {
namespace {

/// Operand of dw: n is the element of the window, k is the output pixel.
template <typename T>
struct PatchColumns {
  using Element = T;
  static constexpr bool inner_contiguous = false;
  using Outer = WindowPlace;
  struct Inner {
    WindowPlace place;
    int pixel, n, oh, ow;
  };
  Windows<T> windows;

  __device__ __forceinline__ void select(index_t group) { windows.x += group * windows.s.in_group; }
  __device__ __forceinline__ Outer outer(int element) const {
    const ConvShape& s = windows.s;
    return element < s.taps() * s.in_group ? windows.element(element) : WindowPlace{0, nowhere, nowhere};
  }
  __device__ __forceinline__ Inner inner(int pixel, int end) const {
    const ConvShape& s = windows.s;
    const int line = pixel / s.out_w, n = line / s.out_h;
    Inner in{{}, pixel, n, line - n * s.out_h, pixel - line * s.out_w};
    place(in, end);
    return in;
  }
  __device__ __forceinline__ void next(Inner& in, int end) const {
    const ConvShape& s = windows.s;
    ++in.pixel;
    if (++in.ow == s.out_w) {
      in.ow = 0;
      if (++in.oh == s.out_h) {
        in.oh = 0;
        ++in.n;
      }
    }
    place(in, end);
  }
  __device__ __forceinline__ void place(Inner& in, int end) const {
    in.place = in.pixel < end ? windows.corner(in.n, in.oh, in.ow) : WindowPlace{0, nowhere, nowhere};
  }
  __device__ __forceinline__ bool inside(const Outer& o, const Inner& in) const {
    return windows.inside(in.place, o);
  }
  __device__ __forceinline__ const T* address(const Outer& o, const Inner& in) const {
    return windows.address(in.place, o);
  }
  __device__ __forceinline__ const T* origin() const { return windows.x; }
  bool in_pieces(int) const { return windows.in_pieces(); }
};

/// The pixels of x at rows first_row + a stride and columns first_column + a stride, and the taps that read
/// them: first_r + q stride and first_c + q stride. Along each axis, output base + a - q reads pixel number a
/// with tap number q.
struct PixelClass {
  int rows = 0, columns = 0, first_row = 0, first_column = 0;
  int taps_r = 0, taps_c = 0, first_r = 0, first_c = 0;
  int base_row = 0, base_column = 0;
};

/// Operand of dx: m is the pixel's number in its class, k is (tap of the class, output channel).
template <typename T>
struct GradientRows {
  using Element = T;
  static constexpr bool inner_contiguous = true;
  using Outer = WindowPlace;
  using Inner = WindowPlace;
  const T* dy;
  ConvShape s;
  PixelClass c;

  __device__ __forceinline__ void select(index_t group) { dy += group * s.out_group; }
  __device__ __forceinline__ Outer outer(int m) const {
    if (m >= s.n * c.rows * c.columns) return {0, nowhere, nowhere};
    const int line = m / c.columns, n = line / c.rows;
    const int row = c.base_row + line - n * c.rows, column = c.base_column + m - line * c.columns;
    return {((static_cast<index_t>(n) * s.out_h + row) * s.out_w + column) * s.out, row, column};
  }
  __device__ __forceinline__ Inner inner(int k, int end) const {
    if (k >= end) return {0, nowhere, nowhere};
    const int tap = k / s.out_group, channel = k - tap * s.out_group;
    const int r = tap / c.taps_c, column = tap - r * c.taps_c;
    return {channel - (static_cast<index_t>(r) * s.out_w + column) * s.out, -r, -column};
  }
  __device__ __forceinline__ bool inside(const Outer& o, const Inner& in) const {
    return in_image(o, in, s.out_h, s.out_w);
  }
  __device__ __forceinline__ const T* address(const Outer& o, const Inner& in) const {
    return dy + o.offset + in.offset;
  }
  __device__ __forceinline__ const T* origin() const { return dy; }
  bool in_pieces(int) const {
    return is_piece_aligned(dy) && s.out % piece<T> == 0 && s.out_group % piece<T> == 0;
  }
};

/// The weights for the same k; n is the input channel.
template <typename T>
struct GradientWeights {
  using Element = T;
  static constexpr bool inner_contiguous = false;
  using Outer = int;
  struct Inner {
    index_t offset;
    int k, o, r, column;
  };
  const T* w;
  ConvShape s;
  PixelClass c;

  __device__ __forceinline__ void select(index_t group) { w += group * s.out_group * s.taps() * s.in_group; }
  __device__ __forceinline__ Outer outer(int channel) const { return channel < s.in_group ? channel : -1; }
  __device__ __forceinline__ Inner inner(int k, int end) const {
    const int tap = k / s.out_group, r = tap / c.taps_c;
    Inner in{0, k, k - tap * s.out_group, r, tap - r * c.taps_c};
    place(in, end);
    return in;
  }
  __device__ __forceinline__ void next(Inner& in, int end) const {
    ++in.k;
    if (++in.o == s.out_group) {
      in.o = 0;
      if (++in.column == c.taps_c) {
        in.column = 0;
        ++in.r;
      }
    }
    place(in, end);
  }
  __device__ __forceinline__ void place(Inner& in, int end) const {
    const int r = c.first_r + in.r * s.stride, column = c.first_c + in.column * s.stride;
    const index_t tap = (static_cast<index_t>(in.o) * s.kh + r) * s.kw + column;
    in.offset = in.k < end ? tap * s.in_group : -1;
  }
  __device__ __forceinline__ bool inside(Outer channel, const Inner& in) const {
    return channel >= 0 && in.offset >= 0;
  }
  __device__ __forceinline__ const T* address(Outer channel, const Inner& in) const {
    return w + in.offset + channel;
  }
  __device__ __forceinline__ const T* origin() const { return w; }
  bool in_pieces(int) const { return is_piece_aligned(w) && s.in_group % piece<T> == 0; }
};

template <typename S>
struct ClassStore {
  using Element = S;
  S* dx;
  ConvShape s;
  PixelClass c;
  __device__ __forceinline__ S* row(index_t group, int m) const {
    const int line = m / c.columns, n = line / c.rows;
    const int h = c.first_row + (line - n * c.rows) * s.stride;
    const int w = c.first_column + (m - line * c.columns) * s.stride;
    return dx + ((static_cast<index_t>(n) * s.h + h) * s.w + w) * s.in + group * s.in_group;
  }
  __device__ __forceinline__ const Wide<S>* bias(index_t) const { return nullptr; }
  __device__ __forceinline__ void put(S* at, int, Wide<S> value) const { *at = narrow<S>(value); }
  static constexpr bool sums_a = false;
};

/// One axis of a class: the taps r that read pixels h = first + a stride are those with r = first + padding
/// modulo the stride.
void plan_axis(int extent, int kernel, int stride, int padding, int first, int& count, int& taps,
               int& first_tap, int& base) {
  count = (extent - first + stride - 1) / stride;
  first_tap = (first + padding) % stride;
  taps = kernel > first_tap ? (kernel - first_tap + stride - 1) / stride : 0;
  base = (first + padding - first_tap) / stride;
}

template <typename T, typename S>
void backward_input(DeviceBackend& owner, gpu::Stream stream, const ConvShape& s, const T* dy,
                    const T* weight, S* dx) {
  if (is_product(s)) {
    return matrix_product<T, S>(owner, stream, s.pixels(), s.in, s.out, 1, {dy}, {weight, true},
                                {dx, s.in, 0, nullptr, 0});
  }
  for (int first_row = 0; first_row < std::min(s.stride, s.h); ++first_row) {
    for (int first_column = 0; first_column < std::min(s.stride, s.w); ++first_column) {
      PixelClass c;
      c.first_row = first_row, c.first_column = first_column;
      plan_axis(s.h, s.kh, s.stride, s.padding, first_row, c.rows, c.taps_r, c.first_r, c.base_row);
      plan_axis(s.w, s.kw, s.stride, s.padding, first_column, c.columns, c.taps_c, c.first_c, c.base_column);
      product(owner, stream, s.n * c.rows * c.columns, s.in_group, index_t{c.taps_r} * c.taps_c * s.out_group,
              s.groups, GradientRows<T>{dy, s, c}, GradientWeights<T>{weight, s, c}, ClassStore<S>{dx, s, c});
    }
  }
}

template <typename T>
void backward_weight(DeviceBackend& owner, gpu::Stream stream, const ConvShape& s, const T* x, const T* dy,
                     Wide<T>* dweight) {
  const index_t k = s.out_pixels(), elements = s.taps() * s.in_group;
  const MatrixStore<Wide<T>> store{dweight, elements, s.out_group * elements, nullptr, 0};
  if (is_product(s)) {
    return matrix_product<T>(owner, stream, s.out, s.in, k, 1, {dy, true}, {x, true}, store);
  }
  const MatrixLoader<T, false> gradients{dy, s.out_group, 1, s.out, s.out_group};
  product(owner, stream, s.out_group, elements, k, s.groups, gradients, PatchColumns<T>{{x, s}}, store);
}

template <typename S>
struct BiasTerm {
  const S* dy;
  index_t columns;
  __device__ __forceinline__ void operator()(index_t, index_t row, int column, double (&sums)[1]) const {
    sums[0] += widen_to_double(dy[row * columns + column]);
  }
};

}  // namespace

void DeviceBackend::conv2d_forward(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                   const Conv2dOptions& options, Tensor& y) {
  const ConvShape s = conv_shape("conv2d", x, weight, options, y);
  require<ShapeError>(!bias.defined() || bias.numel() == s.out, "[conv2d] bias ", bias.shape(), " for ",
                      s.out, " output channels");
  dispatch_product(*this, "conv2d", y.dtype(), x, weight,
                   [&]<typename S, typename T>(const T* from, const T* by) {
                     const MatrixStore<S> store{mutable_stored<S>(y), s.out, s.out_group,
                                                data_or_null<Wide<S>>(bias), s.out_group};
                     if (is_product(s)) {
                       matrix_product<T>(*this, stream_, s.out_pixels(), s.out, s.in, 1, {from}, {by}, store);
                     } else {
                       conv2d_product(*this, stream_, s, PatchRows<T>{{from, s}}, by, store);
                     }
                   });
}

void DeviceBackend::conv2d_backward_input(const Tensor& dy, const Tensor& weight,
                                          const Conv2dOptions& options, Tensor& dx) {
  const ConvShape s = conv_shape("conv2d_backward_input", dx, weight, options, dy);
  dispatch_product(*this, "conv2d_backward_input", dx.dtype(), dy, weight,
                   [&]<typename S>(auto* from, auto* by) {
                     backward_input(*this, stream_, s, from, by, mutable_stored<S>(dx));
                   });
}

void DeviceBackend::conv2d_backward_weight(const Tensor& x, const Tensor& dy, const Conv2dOptions& options,
                                           Tensor& dweight, Tensor& dbias) {
  const ConvShape s = conv_shape("conv2d_backward_weight", x, dweight, options, dy);
  require<ShapeError>(!dbias.defined() || dbias.numel() == s.out, "[conv2d_backward_weight] dbias ",
                      dbias.shape(), " for ", s.out, " output channels");
  dispatch_gradient_product(*this, "conv2d_backward_weight", dweight.dtype(), x, dy,
                            [&]<typename S>(auto* from, auto* gradients) {
                              backward_weight(*this, stream_, s, from, gradients, dweight.mutable_data<S>());
                            });
  if (!dbias.defined()) return;
  dispatch_stored(dy.dtype(), "conv2d_backward_weight", [&]<typename S>() {
    using T = Wide<S>;
    column_reduce<1>(*this, stream_, 1, s.out_pixels(), s.out, BiasTerm<S>{stored<S>(dy), s.out},
                     StoreSum<T>{dbias.mutable_data<T>(), s.out});
  });
}

}  // namespace fer::FER_DEVICE_NAMESPACE
