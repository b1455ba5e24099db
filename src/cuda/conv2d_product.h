// The forward product of a convolution, shared by conv2d.cu (which explains it) and conv2d_fused.cu: the
// loaders of patches, and the product with the caller's store.
#pragma once

#include "cuda/conv_shape.h"
#include "cuda/product.h"

namespace fer::FER_DEVICE_NAMESPACE {

/// The place of a window's upper left corner in the images, or of a tap and channel in a window. `offset` is
/// in elements. The sum of both offsets is the element's offset from the first channel of the group.
struct WindowPlace {
  index_t offset;
  int row, column;  ///< `nowhere`: beyond the end of the operand
};
constexpr int nowhere = -0x40000000;

__device__ __forceinline__ bool in_image(const WindowPlace& a, const WindowPlace& b, int height, int width) {
  return static_cast<unsigned>(a.row + b.row) < static_cast<unsigned>(height) &&
         static_cast<unsigned>(a.column + b.column) < static_cast<unsigned>(width);
}

/// Windows of the images: corners by output pixel, elements by index k over (r, s, i).
template <typename T>
struct Windows {
  const T* x;
  ConvShape s;

  __device__ __forceinline__ WindowPlace corner(int n, int oh, int ow) const {
    const int row = oh * s.stride - s.padding, column = ow * s.stride - s.padding;
    return {((static_cast<index_t>(n) * s.h + row) * s.w + column) * s.in, row, column};
  }
  __device__ __forceinline__ WindowPlace element(int k) const {
    const int tap = k / s.in_group, channel = k - tap * s.in_group, r = tap / s.kw, c = tap - r * s.kw;
    return {(static_cast<index_t>(r) * s.w + c) * s.in + channel, r, c};
  }
  __device__ __forceinline__ bool inside(const WindowPlace& a, const WindowPlace& b) const {
    return in_image(a, b, s.h, s.w);
  }
  __device__ __forceinline__ const T* address(const WindowPlace& a, const WindowPlace& b) const {
    return x + a.offset + b.offset;
  }
  bool in_pieces() const { return is_piece_aligned(x) && s.in % piece<T> == 0 && s.in_group % piece<T> == 0; }
};

/// Forward: m is the output pixel, k is the element of its window.
template <typename T>
struct PatchRows {
  using Element = T;
  static constexpr bool inner_contiguous = true;
  using Outer = WindowPlace;
  using Inner = WindowPlace;
  Windows<T> windows;

  __device__ __forceinline__ void select(index_t group) { windows.x += group * windows.s.in_group; }
  __device__ __forceinline__ Outer outer(int pixel) const {
    const ConvShape& s = windows.s;
    if (pixel >= s.out_pixels()) return {0, nowhere, nowhere};
    const int line = pixel / s.out_w, n = line / s.out_h;
    return windows.corner(n, line - n * s.out_h, pixel - line * s.out_w);
  }
  __device__ __forceinline__ Inner inner(int k, int end) const {
    return k < end ? windows.element(k) : WindowPlace{0, nowhere, nowhere};
  }
  __device__ __forceinline__ bool inside(const Outer& o, const Inner& in) const {
    return windows.inside(o, in);
  }
  __device__ __forceinline__ const T* address(const Outer& o, const Inner& in) const {
    return windows.address(o, in);
  }
  __device__ __forceinline__ const T* origin() const { return windows.x; }
  bool in_pieces(int) const { return windows.in_pieces(); }
};

/// PatchRows for one group, where channel c has the value border[c] outside the image. An element outside has
/// the address of its border value, so the product needs no special case for a border.
template <typename T>
struct BorderedPatchRows : PatchRows<T> {
  using Outer = WindowPlace;
  struct Inner {
    WindowPlace place;
    const T* border;  ///< of its channel
  };
  const T* border;

  __device__ __forceinline__ Inner inner(int k, int end) const {
    return {PatchRows<T>::inner(k, end), border + k % this->windows.s.in};
  }
  __device__ __forceinline__ bool inside(const Outer& o, const Inner& in) const {
    return o.row + in.place.row > nowhere / 2;
  }
  __device__ __forceinline__ const T* address(const Outer& o, const Inner& in) const {
    return this->windows.inside(o, in.place) ? this->windows.address(o, in.place) : in.border;
  }
  bool in_pieces(int k) const { return PatchRows<T>::in_pieces(k) && is_piece_aligned(border); }
};

/// Whether each patch is one pixel, so that the convolution is a plain product with the matrix of pixels.
inline bool is_product(const ConvShape& s) {
  return s.taps() == 1 && s.stride == 1 && s.padding == 0 && s.groups == 1;
}

/// y(pixel, o) = sum over (r, s, i) of patch(pixel; r, s, i) w[o; r, s, i]; a group is a batch.
template <typename T, typename Patches, typename Store>
void conv2d_product(Backend& owner, gpu::Stream stream, const ConvShape& s, const Patches& patches,
                    const T* weight, const Store& store) {
  const index_t k = s.taps() * s.in_group;
  const MatrixLoader<T, true> weights{weight, s.out_group, k, 1, s.out_group * k};
  product(owner, stream, s.out_pixels(), s.out_group, k, s.groups, patches, weights, store);
}

}  // namespace fer::FER_DEVICE_NAMESPACE
