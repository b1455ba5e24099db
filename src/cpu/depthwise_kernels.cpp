// See depthwise_kernels.h. Each function runs over whole vectors of channels and then, with one-element
// vectors, over the remainder.
#include "cpu/depthwise_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/depthwise_kernels.cpp"
#include "cpu/highway_targets.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace fer::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Calls body(tag, first channel) over all channels, first with full vectors, then one by one.
template <typename T, typename Body>
HWY_INLINE void for_channels(std::int64_t channels, const Body& body) {
  const hn::ScalableTag<T> d;
  const hn::CappedTag<T, 1> one;
  constexpr std::int64_t lanes = hn::MaxLanes(d);
  std::int64_t c = 0;
  for (; c + lanes <= channels; c += lanes) body(d, c);
  for (; c < channels; ++c) body(one, c);
}

template <typename T, class D, class V>
HWY_INLINE V finished(const DepthwiseEpilogue<T>& epilogue, D d, V y, std::int64_t c) {
  if (epilogue.bias) y = hn::Add(y, hn::LoadU(d, epilogue.bias + c));
  if (epilogue.slope)
    y = hn::IfThenElse(hn::Gt(y, hn::Zero(d)), y, hn::Mul(y, hn::LoadU(d, epilogue.slope + c)));
  return y;
}

template <typename T>
void weighted_sum(const T* const* x, const T* const* w, std::int64_t terms, std::int64_t channels,
                  const DepthwiseEpilogue<T>& epilogue, T* y) {
  for_channels<T>(channels, [&](auto d, std::int64_t c) HWY_ATTR {
    auto sum = hn::Zero(d);
    for (std::int64_t t = 0; t < terms; ++t)
      sum = hn::MulAdd(hn::LoadU(d, x[t] + c), hn::LoadU(d, w[t] + c), sum);
    hn::StoreU(finished(epilogue, d, sum, c), d, y + c);
  });
}

// Computes `outputs` neighbours at once. Each input column is loaded once for all the outputs that use it.
template <typename T, int kernel, int stride, int outputs, class D>
HWY_INLINE void outputs_of_line(D d, const T* const* x, const T* w, std::int64_t channels, std::int64_t pixel,
                                std::int64_t c, const DepthwiseEpilogue<T>& epilogue, T* y) {
  hn::Vec<D> sum[outputs];
#pragma GCC unroll 8
  for (int i = 0; i < outputs; ++i) sum[i] = hn::Zero(d);
  for (int r = 0; r < kernel; ++r) {
    if (!x[r]) continue;
    const T* row = x[r] + pixel * stride * channels + c;
    const T* weights = w + r * kernel * channels + c;
    hn::Vec<D> tap[kernel];
#pragma GCC unroll 8
    for (int s = 0; s < kernel; ++s) tap[s] = hn::LoadU(d, weights + s * channels);
#pragma GCC unroll 16
    for (int column = 0; column < (outputs - 1) * stride + kernel; ++column) {
      const auto value = hn::LoadU(d, row + column * channels);
#pragma GCC unroll 8
      for (int i = 0; i < outputs; ++i) {
        const int s = column - i * stride;
        if (s >= 0 && s < kernel) sum[i] = hn::MulAdd(value, tap[s], sum[i]);
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < outputs; ++i)
    hn::StoreU(finished(epilogue, d, sum[i], c), d, y + (pixel + i) * channels + c);
}

template <typename T, int kernel, int stride>
void fixed_line(const T* const* x, const T* w, std::int64_t count, std::int64_t channels,
                const DepthwiseEpilogue<T>& epilogue, T* y) {
  std::int64_t pixel = 0;
  for (; pixel + 4 <= count; pixel += 4)
    for_channels<T>(channels, [&](auto d, std::int64_t c) HWY_ATTR {
      outputs_of_line<T, kernel, stride, 4>(d, x, w, channels, pixel, c, epilogue, y);
    });
  for (; pixel < count; ++pixel)
    for_channels<T>(channels, [&](auto d, std::int64_t c) HWY_ATTR {
      outputs_of_line<T, kernel, stride, 1>(d, x, w, channels, pixel, c, epilogue, y);
    });
}

template <typename T>
bool line(const T* const* x, std::int64_t kernel, std::int64_t stride, const T* w, std::int64_t count,
          std::int64_t channels, const DepthwiseEpilogue<T>& epilogue, T* y) {
  if (kernel == 3 && stride == 1) return fixed_line<T, 3, 1>(x, w, count, channels, epilogue, y), true;
  if (kernel == 3 && stride == 2) return fixed_line<T, 3, 2>(x, w, count, channels, epilogue, y), true;
  if (kernel == 7 && stride == 1) return fixed_line<T, 7, 1>(x, w, count, channels, epilogue, y), true;
  if (kernel == 7 && stride == 2) return fixed_line<T, 7, 2>(x, w, count, channels, epilogue, y), true;
  return false;
}

// Kernel rows [r0, r0 + rows): rows * kernel sums stay in registers for the whole line.
template <typename T, int kernel, int rows, class D>
HWY_INLINE void weight_rows(D d, const T* const* x, int r0, std::int64_t stride, const T* dy,
                            std::int64_t count, std::int64_t channels, std::int64_t c, T* dw) {
  hn::Vec<D> sum[rows * kernel];
#pragma GCC unroll 16
  for (int i = 0; i < rows * kernel; ++i) sum[i] = hn::LoadU(d, dw + (r0 * kernel + i) * channels + c);
  for (std::int64_t pixel = 0; pixel < count; ++pixel) {
    const auto gradient = hn::LoadU(d, dy + pixel * channels + c);
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) {
      const T* row = x[r0 + r] + pixel * stride * channels + c;
#pragma GCC unroll 8
      for (int s = 0; s < kernel; ++s)
        sum[r * kernel + s] = hn::MulAdd(gradient, hn::LoadU(d, row + s * channels), sum[r * kernel + s]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < rows * kernel; ++i) hn::StoreU(sum[i], d, dw + (r0 * kernel + i) * channels + c);
}

template <typename T, int kernel>
void fixed_line_weight(const T* const* x, std::int64_t stride, const T* dy, std::int64_t count,
                       std::int64_t channels, T* dw) {
  for_channels<T>(channels, [&](auto d, std::int64_t c) HWY_ATTR {
    if (kernel == 3 && x[0] && x[1] && x[2]) {
      weight_rows<T, 3, 3>(d, x, 0, stride, dy, count, channels, c, dw);
      return;
    }
    for (int r = 0; r < kernel; ++r)
      if (x[r]) weight_rows<T, kernel, 1>(d, x, r, stride, dy, count, channels, c, dw);
  });
}

template <typename T>
bool line_weight(const T* const* x, std::int64_t kernel, std::int64_t stride, const T* dy, std::int64_t count,
                 std::int64_t channels, T* dw) {
  if (kernel == 3) return fixed_line_weight<T, 3>(x, stride, dy, count, channels, dw), true;
  if (kernel == 7) return fixed_line_weight<T, 7>(x, stride, dy, count, channels, dw), true;
  return false;
}

template <typename T>
void add_product(const T* x, const T* y, std::int64_t channels, T* sum) {
  for_channels<T>(channels, [&](auto d, std::int64_t c) HWY_ATTR {
    hn::StoreU(hn::MulAdd(hn::LoadU(d, x + c), hn::LoadU(d, y + c), hn::LoadU(d, sum + c)), d, sum + c);
  });
}

template <typename T>
const DepthwiseKernels<T>* table() {
  static const DepthwiseKernels<T> kernels{&weighted_sum<T>, &line<T>, &line_weight<T>, &add_product<T>};
  return &kernels;
}
const DepthwiseKernels<float>* depthwise_float() {
  return table<float>();
}
const DepthwiseKernels<double>* depthwise_double() {
  return table<double>();
}

}  // namespace fer::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fer::detail {

HWY_EXPORT(depthwise_float);
HWY_EXPORT(depthwise_double);

template <>
const DepthwiseKernels<float>& depthwise_kernels<float>() {
  static const DepthwiseKernels<float>* kernels = HWY_DYNAMIC_DISPATCH(depthwise_float)();
  return *kernels;
}

template <>
const DepthwiseKernels<double>& depthwise_kernels<double>() {
  static const DepthwiseKernels<double>* kernels = HWY_DYNAMIC_DISPATCH(depthwise_double)();
  return *kernels;
}

}  // namespace fer::detail
#endif
