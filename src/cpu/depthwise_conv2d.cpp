// Depthwise convolution: every channel has its own kernel,
//   y[n,oh,ow,c] = sum_{r,s} x[n,ih,iw,c] w[c,r,s].
// All passes run over lines of the image, vectorised over channels. The input gradient at stride 1 is the
// forward pass with the kernel rotated by 180 degrees. At other strides it gathers the taps that reach a
// pixel. The weight gradient sums fixed groups of lines, then adds the groups in order.
#include <algorithm>
#include <vector>

#include "cpu/conv2d.h"
#include "cpu/cpu_backend.h"
#include "cpu/depthwise_kernels.h"
#include "cpu/gemm.h"
#include "cpu/scratch.h"

namespace fer {
namespace {

using detail::ConvShape;
using detail::DepthwiseEpilogue;
using detail::DepthwiseKernels;
using detail::ScratchUse;

ConvShape depthwise_shape(const char* op, const Tensor& x, const Tensor& weight, const Conv2dOptions& options,
                          const Tensor& y) {
  Conv2dOptions depthwise = options;
  depthwise.groups = static_cast<int>(std::max<std::int64_t>(1, x.shape().channels()));
  ConvShape s = detail::conv_shape(op, x, weight, depthwise, y);
  require<ShapeError>(s.in == s.out, "[", op, "] needs as many output as input channels, got ", s.in, " and ",
                      s.out);
  return s;
}

// Reorders [channel][tap] to [tap][channel], and rotates the kernel by 180 degrees if `turned`.
template <typename T>
void by_tap(const ConvShape& s, const T* weight, bool turned, T* w) {
  for (std::int64_t c = 0; c < s.in; ++c)
    for (std::int64_t tap = 0; tap < s.taps(); ++tap)
      w[(turned ? s.taps() - 1 - tap : tap) * s.in + c] = weight[c * s.taps() + tap];
}
template <typename T>
T* by_tap(const ConvShape& s, const T* weight, bool turned) {
  T* w = detail::scratch<T>(ScratchUse::transforms, s.taps() * s.in);
  by_tap(s, weight, turned, w);
  return w;
}

// The outputs [first, last) of a line whose kernels reach into neither the left nor the right padding.
struct Interior {
  std::int64_t first, last;
  explicit Interior(const ConvShape& s) {
    first = std::min(s.out_w, detail::ceil_div(s.padding, s.stride));
    const std::int64_t room = s.w + s.padding - s.kw;  // >= 0: the last fitting column, in input pixels
    last = room < 0 ? first : std::clamp(room / s.stride + 1, first, s.out_w);
  }
};

// Computes one output pixel from the taps inside the image.
template <typename T>
void border_pixel(const ConvShape& s, const T* image, const T* w, std::int64_t oh, std::int64_t ow,
                  const DepthwiseEpilogue<T>& epilogue, T* y) {
  const T** x_taps = detail::scratch<const T*>(ScratchUse::pointers, 2 * s.taps());
  const T** w_taps = x_taps + s.taps();
  std::int64_t terms = 0;
  for (std::int64_t r = 0; r < s.kh; ++r) {
    const std::int64_t h = oh * s.stride + r - s.padding;
    if (h < 0 || h >= s.h) continue;
    for (std::int64_t c = 0; c < s.kw; ++c) {
      const std::int64_t column = ow * s.stride + c - s.padding;
      if (column < 0 || column >= s.w) continue;
      x_taps[terms] = image + (h * s.w + column) * s.in;
      w_taps[terms++] = w + (r * s.kw + c) * s.in;
    }
  }
  detail::depthwise_kernels<T>().weighted_sum(x_taps, w_taps, terms, s.in, epilogue, y);
}

constexpr std::int64_t kMostRows = 7;  // the most rows of a kernel that has fast lines

// Pointers to the input rows under the kernel of output `ow` of line `oh`; null in the padding.
template <typename T>
void rows_under(const ConvShape& s, const T* image, std::int64_t oh, std::int64_t ow,
                const T* (&rows)[kMostRows]) {
  for (std::int64_t r = 0; r < s.kh; ++r) {
    const std::int64_t h = oh * s.stride + r - s.padding;
    rows[r] = h < 0 || h >= s.h ? nullptr : image + (h * s.w + ow * s.stride - s.padding) * s.in;
  }
}

bool has_fast_lines(const ConvShape& s) {
  return s.kh == s.kw && s.kh <= kMostRows;
}

// w: [tap][channel].
template <typename T>
void forward(const ConvShape& s, const T* x, const T* w, const DepthwiseEpilogue<T>& epilogue, T* y) {
  const DepthwiseKernels<T>& kernels = detail::depthwise_kernels<T>();
  const Interior interior(s);
#pragma omp parallel for schedule(dynamic, 4)
  for (std::int64_t line = 0; line < s.n * s.out_h; ++line) {
    const std::int64_t oh = line % s.out_h;
    const T* image = x + line / s.out_h * s.h * s.w * s.in;
    T* y_line = y + line * s.out_w * s.out;
    const T* rows[kMostRows];
    std::int64_t first = interior.first, last = interior.last;
    if (has_fast_lines(s)) rows_under(s, image, oh, first, rows);
    if (first == last || !has_fast_lines(s) ||
        !kernels.line(rows, s.kh, s.stride, w, last - first, s.in, epilogue, y_line + first * s.out))
      first = last = s.out_w;
    for (std::int64_t ow = 0; ow < first; ++ow)
      border_pixel(s, image, w, oh, ow, epilogue, y_line + ow * s.out);
    for (std::int64_t ow = last; ow < s.out_w; ++ow)
      border_pixel(s, image, w, oh, ow, epilogue, y_line + ow * s.out);
  }
}

// Input gradient at any stride: tap (r, c) reaches pixel (h, w) from output ((h + p - r) / stride, ...).
template <typename T>
void gather_gradient(const ConvShape& s, const T* dy, const T* w, T* dx) {
#pragma omp parallel for schedule(dynamic, 4)
  for (std::int64_t line = 0; line < s.n * s.h; ++line) {
    const std::int64_t h = line % s.h;
    const T* image = dy + line / s.h * s.out_h * s.out_w * s.out;
    const T** dy_taps = detail::scratch<const T*>(ScratchUse::pointers, 2 * s.taps());
    const T** w_taps = dy_taps + s.taps();
    for (std::int64_t column = 0; column < s.w; ++column) {
      std::int64_t terms = 0;
      for (std::int64_t r = 0; r < s.kh; ++r) {
        const std::int64_t oh = h + s.padding - r;
        if (oh < 0 || oh % s.stride != 0 || oh / s.stride >= s.out_h) continue;
        for (std::int64_t c = 0; c < s.kw; ++c) {
          const std::int64_t ow = column + s.padding - c;
          if (ow < 0 || ow % s.stride != 0 || ow / s.stride >= s.out_w) continue;
          dy_taps[terms] = image + (oh / s.stride * s.out_w + ow / s.stride) * s.out;
          w_taps[terms++] = w + (r * s.kw + c) * s.in;
        }
      }
      detail::depthwise_kernels<T>().weighted_sum(dy_taps, w_taps, terms, s.in, {},
                                                  dx + (line * s.w + column) * s.in);
    }
  }
}

// Adds the contribution of one line of outputs to dw [tap][channel].
template <typename T>
void line_gradient(const ConvShape& s, const T* image, const T* dy_line, std::int64_t oh, T* dw) {
  const DepthwiseKernels<T>& kernels = detail::depthwise_kernels<T>();
  const Interior interior(s);
  std::int64_t first = interior.first, last = interior.last;
  const T* rows[kMostRows];
  if (has_fast_lines(s)) rows_under(s, image, oh, first, rows);
  if (first == last || !has_fast_lines(s) ||
      !kernels.line_weight(rows, s.kh, s.stride, dy_line + first * s.out, last - first, s.in, dw))
    first = last = s.out_w;
  for (std::int64_t r = 0; r < s.kh; ++r) {
    const std::int64_t h = oh * s.stride + r - s.padding;
    if (h < 0 || h >= s.h) continue;
    for (std::int64_t ow = first == 0 ? last : 0; ow < s.out_w; ow = ow + 1 == first ? last : ow + 1) {
      for (std::int64_t c = 0; c < s.kw; ++c) {
        const std::int64_t column = ow * s.stride + c - s.padding;
        if (column < 0 || column >= s.w) continue;
        kernels.add_product(dy_line + ow * s.out, image + (h * s.w + column) * s.in, s.in,
                            dw + (r * s.kw + c) * s.in);
      }
    }
  }
}

template <typename T>
void backward_weight(const ConvShape& s, const T* x, const T* dy, T* dweight) {
  const std::int64_t lines = s.n * s.out_h, size = s.taps() * s.in;
  const std::int64_t group = std::max<std::int64_t>(8, detail::ceil_div(lines, 64));
  const std::int64_t groups = detail::ceil_div(lines, group);
  T* partials = detail::scratch<T>(ScratchUse::partials, std::max<std::int64_t>(1, groups) * size);
  std::fill_n(partials, size, T(0));
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t part = 0; part < groups; ++part) {
    T* dw = partials + part * size;
    std::fill_n(dw, size, T(0));
    for (std::int64_t line = part * group; line < std::min(lines, (part + 1) * group); ++line)
      line_gradient(s, x + line / s.out_h * s.h * s.w * s.in, dy + line * s.out_w * s.out, line % s.out_h,
                    dw);
  }
  for (std::int64_t part = 1; part < groups; ++part)
    for (std::int64_t i = 0; i < size; ++i) partials[i] += partials[part * size + i];
  for (std::int64_t c = 0; c < s.in; ++c)
    for (std::int64_t tap = 0; tap < s.taps(); ++tap) dweight[c * s.taps() + tap] = partials[tap * s.in + c];
}

}  // namespace

namespace detail {

template <typename T>
void depthwise_pack(const ConvShape& s, const T* weight, T* packed) {
  by_tap(s, weight, false, packed);
}

template <typename T>
void depthwise_forward(const ConvShape& s, const T* x, const T* packed, const Epilogue<T>& epilogue, T* y) {
  forward(s, x, packed, {epilogue.bias, epilogue.slope}, y);
}

template void depthwise_pack<float>(const ConvShape&, const float*, float*);
template void depthwise_pack<double>(const ConvShape&, const double*, double*);
template void depthwise_forward<float>(const ConvShape&, const float*, const float*, const Epilogue<float>&,
                                       float*);
template void depthwise_forward<double>(const ConvShape&, const double*, const double*,
                                        const Epilogue<double>&, double*);

}  // namespace detail

void CpuBackend::depthwise_conv2d_forward(const Tensor& x, const Tensor& weight, const Conv2dOptions& options,
                                          Tensor& y) {
  const ConvShape s = depthwise_shape("depthwise_conv2d", x, weight, options, y);
  if (y.numel() == 0) return;
  dispatch_floating(y.dtype(), "depthwise_conv2d", [&]<typename T>() {
    forward(s, x.data<T>(), by_tap(s, weight.data<T>(), false), {}, y.mutable_data<T>());
  });
}

void CpuBackend::depthwise_conv2d_backward_input(const Tensor& dy, const Tensor& weight,
                                                 const Conv2dOptions& options, Tensor& dx) {
  const ConvShape s = depthwise_shape("depthwise_conv2d_backward_input", dx, weight, options, dy);
  if (dx.numel() == 0) return;
  dispatch_floating(dx.dtype(), "depthwise_conv2d_backward_input", [&]<typename T>() {
    if (s.stride == 1 && s.kh == s.kw && s.padding < s.kh) {
      ConvShape turned = s;
      turned.h = s.out_h, turned.w = s.out_w, turned.out_h = s.h, turned.out_w = s.w;
      turned.padding = s.kh - 1 - s.padding;
      forward(turned, dy.data<T>(), by_tap(s, weight.data<T>(), true), {}, dx.mutable_data<T>());
    } else {
      gather_gradient(s, dy.data<T>(), by_tap(s, weight.data<T>(), false), dx.mutable_data<T>());
    }
  });
}

void CpuBackend::depthwise_conv2d_backward_weight(const Tensor& x, const Tensor& dy,
                                                  const Conv2dOptions& options, Tensor& dweight) {
  const ConvShape s = depthwise_shape("depthwise_conv2d_backward_weight", x, dweight, options, dy);
  dispatch_floating(dweight.dtype(), "depthwise_conv2d_backward_weight", [&]<typename T>() {
    backward_weight(s, x.data<T>(), dy.data<T>(), dweight.mutable_data<T>());
  });
}

}  // namespace fer
