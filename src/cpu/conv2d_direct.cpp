// Direct convolution as a matrix product that reads its rows through pointers, without storing a patch
// matrix. For an output pixel and a tap, the channels of the input pixel are contiguous (NHWC), so a tile of
// the product needs only one pointer per row and tap. Pixels in the padding point to a row of zeros.
//
// The input gradient at stride s is s x s such convolutions of dy, one for each position of an input pixel
// modulo s, because only every s-th tap reaches the pixel. The weight gradient is a product over all output
// pixels (see LongProduct).
#include <algorithm>
#include <cstring>
#include <vector>

#include "cpu/conv2d.h"
#include "cpu/gemm.h"
#include "cpu/scratch.h"

namespace fer::detail {
namespace {

constexpr std::int64_t kBlockRows = 96;

struct Tap {
  std::int64_t dh, dw;  // source pixel relative to (row * source_step, column * source_step)
  std::int64_t index;   // r * kw + s in the weights
};

// A sum over taps for a lattice of target pixels: target (first_h + i * step, first_w + j * step) receives
// the sum over taps of source (i * source_step + dh, j * source_step + dw) times the tap's matrix.
template <typename T>
struct Gather {
  const T* source = nullptr;  // n x source_h x source_w x source_channels
  std::int64_t n = 0, source_h = 0, source_w = 0, source_channels = 0, source_step = 1;
  T* target = nullptr;  // n x target_h x target_w x target_channels
  std::int64_t target_h = 0, target_w = 0, target_channels = 0;
  std::int64_t first_h = 0, first_w = 0, step = 1;
  std::int64_t rows_h = 0, rows_w = 0;  // extents of the lattice
  std::vector<Tap> taps;
  std::int64_t depth = 0, columns = 0;  // channels of a group in the source and in the target
  const T* border = nullptr;            // source_channels: values around the source instead of zeros
  Epilogue<T> epilogue;

  std::int64_t rows() const { return n * rows_h * rows_w; }
};

// Splits the positions [begin, begin + count) of a lattice, whose lines are `width` long, into runs that lie
// in one line. Calls visit(line, first, length, offset) for each run: it begins at position `first` of the
// line, after `offset` positions in other runs.
template <typename Visit>
void for_each_run(std::int64_t begin, std::int64_t count, std::int64_t width, const Visit& visit) {
  std::int64_t line = begin / width, first = begin % width;
  for (std::int64_t offset = 0; offset < count; ++line, first = 0) {
    const std::int64_t length = std::min(width - first, count - offset);
    visit(line, first, length, offset);
    offset += length;
  }
}

// The positions among first .. first + length - 1 of a line that fall inside a source line of `extent`
// pixels. Position j reads pixel j * step + shift. The range is [begin, end), counted from first.
struct Inside {
  std::int64_t begin, end;
  Inside(std::int64_t first, std::int64_t length, std::int64_t step, std::int64_t shift,
         std::int64_t extent) {
    const std::int64_t at = first * step + shift;
    begin = at >= 0 ? 0 : std::min(length, ceil_div(-at, step));
    end = at >= extent ? begin : std::clamp(ceil_div(extent - at, step), begin, length);
  }
};

// The addresses of the source pixels under one tap, for `count` positions of the lattice.
template <typename T>
void source_rows(const Gather<T>& g, const Tap& tap, std::int64_t begin, std::int64_t count, const T* outside,
                 const T** rows) {
  for_each_run(begin, count, g.rows_w,
               [&](std::int64_t line, std::int64_t first, std::int64_t length, std::int64_t offset) {
                 const T** run = rows + offset;
                 const std::int64_t h = line % g.rows_h * g.source_step + tap.dh;
                 if (h < 0 || h >= g.source_h) {
                   std::fill_n(run, length, outside);
                   return;
                 }
                 const Inside inside(first, length, g.source_step, tap.dw, g.source_w);
                 const std::int64_t pitch = g.source_step * g.source_channels;
                 const T* pixel = g.source + ((line / g.rows_h * g.source_h + h) * g.source_w +
                                              first * g.source_step + tap.dw) *
                                                 g.source_channels;
                 std::fill_n(run, inside.begin, outside);
                 for (std::int64_t j = inside.begin; j < inside.end; ++j) run[j] = pixel + j * pitch;
                 std::fill_n(run + inside.end, length - inside.end, outside);
               });
}

template <typename T>
void target_rows(const Gather<T>& g, std::int64_t begin, std::int64_t count, T** rows) {
  for_each_run(begin, count, g.rows_w,
               [&](std::int64_t line, std::int64_t first, std::int64_t length, std::int64_t offset) {
                 const std::int64_t h = g.first_h + line % g.rows_h * g.step, w = g.first_w + first * g.step;
                 T* pixel =
                     g.target + ((line / g.rows_h * g.target_h + h) * g.target_w + w) * g.target_channels;
                 for (std::int64_t j = 0; j < length; ++j)
                   rows[offset + j] = pixel + j * g.step * g.target_channels;
               });
}

// Multiplies rows [begin, begin + rows) of the lattice by the packed weights of one group.
template <typename T>
void gather_block(const Gather<T>& g, std::int64_t group, const T* packed, std::int64_t begin,
                  std::int64_t rows) {
  const ProductKernels<T>& kernels = product_kernels<T>();
  const auto taps = static_cast<std::int64_t>(g.taps.size());
  const std::int64_t source_offset = group * g.depth, target_offset = group * g.columns, k = taps * g.depth;
  auto** c_rows = scratch<T*>(ScratchUse::pointers, (taps + 2) * rows);
  auto** a_rows = const_cast<const T**>(c_rows + rows);
  auto** residual_rows = a_rows + taps * rows;
  T* outside = scratch<T>(ScratchUse::zeros, g.source_channels);
  for (std::int64_t c = 0; c < g.source_channels; ++c) outside[c] = g.border ? g.border[c] : T(0);
  target_rows(g, begin, rows, c_rows);
  for (std::int64_t tap = 0; tap < taps; ++tap)
    source_rows<T>(g, g.taps[tap], begin, rows, outside, a_rows + tap * rows);
  for (std::int64_t row = 0; row < rows; ++row) {
    c_rows[row] += target_offset;
    if (g.epilogue.residual) residual_rows[row] = g.epilogue.residual + (c_rows[row] - g.target);
  }

  BlockProduct<T> block;
  block.rows = rows;
  block.n = g.columns;
  block.c_rows = c_rows;
  block.b_panel_pitch = k * kernels.nr;
  block.a_rows_pitch = rows;
  // K is split into passes of at most kPanelDepth: several taps, or a part of one tap's channels.
  const std::int64_t depth = even_split(g.depth, kPanelDepth);
  const std::int64_t taps_a_piece =
      depth < g.depth ? 1 : even_split(taps, std::max<std::int64_t>(1, kPanelDepth / depth));
  for (std::int64_t tap = 0; tap < taps; tap += taps_a_piece) {
    for (std::int64_t channel = 0; channel < g.depth; channel += depth) {
      block.segments = std::min(taps_a_piece, taps - tap);
      block.segment_k = std::min(depth, g.depth - channel);
      block.a_rows = a_rows + tap * rows;
      block.a_offset = source_offset + channel;
      block.b = packed + (tap * g.depth + channel) * kernels.nr;
      block.accumulate = tap > 0 || channel > 0;
      if (tap + block.segments == taps && channel + block.segment_k == g.depth) {
        block.bias = g.epilogue.bias ? g.epilogue.bias + target_offset : nullptr;
        block.slope = g.epilogue.slope ? g.epilogue.slope + target_offset : nullptr;
        block.residual_rows = g.epilogue.residual ? residual_rows : nullptr;
      }
      kernels.block_product(block);
    }
  }
}

// Packs panel i, counted over all groups. matrix_of(group, tap) is a tap's matrix, depth x columns.
template <typename T, typename MatrixOf>
void pack_taps(const Gather<T>& g, std::int64_t i, const MatrixOf& matrix_of, T* packed) {
  const std::int64_t nr = product_kernels<T>().nr, panels = ceil_div(g.columns, nr);
  const auto taps = static_cast<std::int64_t>(g.taps.size());
  for (std::int64_t tap = 0; tap < taps; ++tap)
    pack_panel<T>(matrix_of(i / panels, g.taps[tap].index), i % panels,
                  packed + (i * taps + tap) * g.depth * nr);
}

template <typename T>
std::int64_t panels_of(const Gather<T>& g, std::int64_t groups) {
  return groups * ceil_div(g.columns, product_kernels<T>().nr);
}
template <typename T>
std::int64_t panel_size(const Gather<T>& g) {
  return static_cast<std::int64_t>(g.taps.size()) * g.depth * product_kernels<T>().nr;
}

// Shares the blocks among the threads of a parallel region. All of them must call it.
template <typename T>
void share_blocks(const Gather<T>& g, std::int64_t groups, const T* packed) {
  const std::int64_t group_size = panels_of(g, 1) * panel_size(g);
  const std::int64_t block = round_up(kBlockRows, product_kernels<T>().mr),
                     blocks = ceil_div(g.rows(), block);
#pragma omp for schedule(dynamic)
  for (std::int64_t task = 0; task < groups * blocks; ++task) {
    const std::int64_t group = task % groups, begin = task / groups * block;
    gather_block(g, group, packed + group * group_size, begin, std::min(block, g.rows() - begin));
  }
}

template <typename T, typename MatrixOf>
void run(const Gather<T>& g, std::int64_t groups, const MatrixOf& matrix_of) {
  const std::int64_t panels = panels_of(g, groups);
  T* packed = scratch<T>(ScratchUse::packed_b, panels * panel_size(g));
#pragma omp parallel
  {
#pragma omp for schedule(static)
    for (std::int64_t i = 0; i < panels; ++i) pack_taps(g, i, matrix_of, packed);
    share_blocks<T>(g, groups, packed);
  }
}

template <typename T>
void zero_lattice(const Gather<T>& g) {
#pragma omp parallel for schedule(static)
  for (std::int64_t line = 0; line < g.n * g.rows_h; ++line) {
    auto** pixels = scratch<T*>(ScratchUse::pointers, g.rows_w);
    target_rows(g, line * g.rows_w, g.rows_w, pixels);
    for (std::int64_t j = 0; j < g.rows_w; ++j) std::fill_n(pixels[j], g.target_channels, T(0));
  }
}

std::int64_t floor_mod(std::int64_t a, std::int64_t b) {
  return (a % b + b) % b;
}

// Copies `width` columns of one tap, from channel `channel` on, of the patches of `count` output pixels from
// k0 on, to target[k * nr].
template <typename T>
void pack_tap(const ConvShape& s, const T* x, std::int64_t tap, std::int64_t channel, std::int64_t width,
              std::int64_t k0, std::int64_t count, T* target) {
  const ProductKernels<T>& kernels = product_kernels<T>();
  const std::int64_t nr = kernels.nr, dh = tap / s.kw - s.padding, dw = tap % s.kw - s.padding;
  const auto zero = [&](T* row, std::int64_t rows) {
    for (std::int64_t k = 0; k < rows; ++k) std::fill_n(row + k * nr, width, T(0));
  };
  for_each_run(k0, count, s.out_w,
               [&](std::int64_t line, std::int64_t first, std::int64_t length, std::int64_t offset) {
                 T* run = target + offset * nr;
                 const std::int64_t h = line % s.out_h * s.stride + dh;
                 if (h < 0 || h >= s.h) return zero(run, length);
                 const Inside inside(first, length, s.stride, dw, s.w);
                 const std::int64_t pitch = s.stride * s.in, inner = inside.end - inside.begin;
                 const T* pixel =
                     x + ((line / s.out_h * s.h + h) * s.w + (first + inside.begin) * s.stride + dw) * s.in +
                     channel;
                 zero(run, inside.begin);
                 if (width == nr) {
                   kernels.copy_panel(pixel, pitch, inner, run + inside.begin * nr);
                 } else {
                   for (std::int64_t k = 0; k < inner; ++k)
                     std::copy_n(pixel + k * pitch, width, run + (inside.begin + k) * nr);
                 }
                 zero(run + inside.end * nr, length - inside.end);
               });
}

// With the few channels of an image, each tap would be a product of depth 3, mostly overhead. But the taps of
// a kernel row are contiguous in memory, so the patches are copied a kernel row at a time.
bool has_short_rows(const ConvShape& s) {
  return s.groups == 1 && s.in < 16 && s.taps() > 1;
}

// target[0..count) = source[0..count). Fast for the few elements of a kernel row.
template <typename T>
void copy_few(const T* source, std::int64_t count, T* target) {
  if (count >= 8) {
    for (; count > 16; count -= 8, source += 8, target += 8) std::memcpy(target, source, 8 * sizeof(T));
    std::memcpy(target, source, 8 * sizeof(T));
    std::memcpy(target + count - 8, source + count - 8, 8 * sizeof(T));  // overlaps
  } else if (count >= 4) {
    std::memcpy(target, source, 4 * sizeof(T));
    std::memcpy(target + count - 4, source + count - 4, 4 * sizeof(T));
  } else {
    for (std::int64_t i = 0; i < count; ++i) target[i] = source[i];
  }
}

// Copies elements [first, last) of kernel row r (kw * in elements) of the patches of `count` output pixels
// from k0 on, to target[k * pitch]. border: `in` elements, or null.
template <typename T>
void copy_kernel_row(const ConvShape& s, const T* x, const T* border, std::int64_t r, std::int64_t first,
                     std::int64_t last, std::int64_t k0, std::int64_t count, std::int64_t pitch, T* target) {
  for_each_run(k0, count, s.out_w,
               [&](std::int64_t line, std::int64_t ow, std::int64_t length, std::int64_t offset) {
                 T* run = target + offset * pitch;
                 const std::int64_t h = line % s.out_h * s.stride + r - s.padding, line_size = s.w * s.in;
                 const bool inside = h >= 0 && h < s.h;
                 const T* source = x + (line / s.out_h * s.h + h) * line_size;
                 std::int64_t begin = (ow * s.stride - s.padding) * s.in + first;  // in elements of the line
                 for (std::int64_t j = 0; j < length; ++j, begin += s.stride * s.in, run += pitch) {
                   const std::int64_t end = begin + last - first;
                   if (inside && begin >= 0 && end <= line_size) {
                     copy_few(source + begin, last - first, run);
                     continue;
                   }
                   for (std::int64_t i = begin; i < end; ++i)
                     run[i - begin] = inside && i >= 0 && i < line_size ? source[i]
                                      : border                          ? border[floor_mod(i, s.in)]
                                                                        : T(0);
                 }
               });
}

template <typename T>
MatrixRef<T> patch_matrix(const ConvShape& s, const T* weight) {
  const std::int64_t k = s.taps() * s.in;
  return {weight, k, s.out, 1, k};
}

template <typename T>
void patch_conv_forward(const ConvShape& s, const T* x, const ConvOperands<T>& operands, T* y) {
  const ProductKernels<T>& kernels = product_kernels<T>();
  const std::int64_t row = s.kw * s.in, k = s.kh * row, nr = kernels.nr;
  const T* packed = operands.packed;
  if (!packed) {
    T* now = scratch<T>(ScratchUse::packed_b, packed_size<T>(k, s.out));
    pack(patch_matrix(s, operands.weight), now);
    packed = now;
  }
  const std::int64_t rows = round_up(kBlockRows, kernels.mr), blocks = ceil_div(s.out_pixels(), rows);
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t task = 0; task < blocks; ++task) {
    const std::int64_t begin = task * rows;
    BlockProduct<T> block;
    block.rows = std::min(rows, s.out_pixels() - begin);
    T* patches = scratch<T>(ScratchUse::block_a, rows * k);
    for (std::int64_t r = 0; r < s.kh; ++r)
      copy_kernel_row(s, x, operands.border, r, 0, row, begin, block.rows, k, patches + r * row);
    auto** c_rows = scratch<T*>(ScratchUse::pointers, 2 * rows);
    auto** residual_rows = const_cast<const T**>(c_rows + rows);
    for (std::int64_t i = 0; i < block.rows; ++i) {
      c_rows[i] = y + (begin + i) * s.out;
      if (operands.epilogue.residual) residual_rows[i] = operands.epilogue.residual + (begin + i) * s.out;
    }
    block.n = s.out, block.segment_k = k;
    block.a = patches, block.a_stride = k;
    block.b = packed, block.b_panel_pitch = k * nr;
    block.c_rows = c_rows;
    block.bias = operands.epilogue.bias, block.slope = operands.epilogue.slope;
    block.residual_rows = operands.epilogue.residual ? residual_rows : nullptr;
    kernels.block_product(block);
  }
}

template <typename T>
Gather<T> forward_gather(const ConvShape& s) {
  Gather<T> g;
  g.n = s.n, g.source_h = s.h, g.source_w = s.w, g.source_channels = s.in, g.source_step = s.stride;
  g.target_h = s.out_h, g.target_w = s.out_w, g.target_channels = s.out;
  g.rows_h = s.out_h, g.rows_w = s.out_w;
  g.depth = s.group_in(), g.columns = s.group_out();
  for (std::int64_t r = 0; r < s.kh; ++r)
    for (std::int64_t c = 0; c < s.kw; ++c) g.taps.push_back({r - s.padding, c - s.padding, r * s.kw + c});
  return g;
}

// The matrix_of(group, tap) that pack_taps() takes.
template <typename T>
auto forward_matrices(const ConvShape& s, const T* weight) {
  return [s, weight](std::int64_t group, std::int64_t tap) {
    const std::int64_t depth = s.group_in(), columns = s.group_out(), filter = s.taps() * depth;
    return MatrixRef<T>{weight + group * columns * filter + tap * depth, depth, columns, 1, filter};
  };
}

}  // namespace

template <typename T>
std::int64_t direct_conv_packed_size(const ConvShape& s) {
  if (has_short_rows(s)) return packed_size<T>(s.taps() * s.in, s.out);
  const Gather<T> g = forward_gather<T>(s);
  return panels_of(g, s.groups) * panel_size(g);
}

template <typename T>
void direct_conv_pack(const ConvShape& s, const T* weight, T* packed) {
  if (has_short_rows(s)) return pack(patch_matrix(s, weight), packed);
  const Gather<T> g = forward_gather<T>(s);
  for (std::int64_t i = 0; i < panels_of(g, s.groups); ++i)
    pack_taps(g, i, forward_matrices(s, weight), packed);
}

template <typename T>
void direct_conv_forward(const ConvShape& s, const T* x, const ConvOperands<T>& operands, T* y) {
  if (has_short_rows(s)) return patch_conv_forward(s, x, operands, y);
  Gather<T> g = forward_gather<T>(s);
  g.source = x, g.target = y, g.border = operands.border, g.epilogue = operands.epilogue;
  if (!operands.packed) return run(g, s.groups, forward_matrices(s, operands.weight));
#pragma omp parallel
  share_blocks(g, s.groups, operands.packed);
}

template <typename T>
void direct_conv_backward_input(const ConvShape& s, const T* dy, const T* weight, T* dx) {
  Gather<T> g;
  g.source = dy, g.n = s.n, g.source_h = s.out_h, g.source_w = s.out_w, g.source_channels = s.out;
  g.target = dx, g.target_h = s.h, g.target_w = s.w, g.target_channels = s.in, g.step = s.stride;
  g.depth = s.group_out(), g.columns = s.group_in();
  const std::int64_t filter = s.taps() * g.columns;
  for (g.first_h = 0; g.first_h < std::min(s.stride, s.h); ++g.first_h) {
    for (g.first_w = 0; g.first_w < std::min(s.stride, s.w); ++g.first_w) {
      g.rows_h = ceil_div(s.h - g.first_h, s.stride);
      g.rows_w = ceil_div(s.w - g.first_w, s.stride);
      g.taps.clear();
      for (std::int64_t r = 0; r < s.kh; ++r) {
        for (std::int64_t c = 0; c < s.kw; ++c) {
          const std::int64_t dh = g.first_h + s.padding - r, dw = g.first_w + s.padding - c;
          if (floor_mod(dh, s.stride) == 0 && floor_mod(dw, s.stride) == 0)
            g.taps.push_back({dh / s.stride, dw / s.stride, r * s.kw + c});
        }
      }
      if (g.taps.empty()) {
        zero_lattice(g);
        continue;
      }
      run(g, s.groups, [&](std::int64_t group, std::int64_t tap) {
        return MatrixRef<T>{weight + group * g.depth * filter + tap * g.columns, g.depth, g.columns, filter,
                            1};
      });
    }
  }
}

template <typename T>
void direct_conv_backward_weight(const ConvShape& s, const T* x, const T* dy, T* dweight) {
  const std::int64_t nr = product_kernels<T>().nr, depth = s.group_in(), columns = s.taps() * depth;
  for (std::int64_t group = 0; group < s.groups; ++group) {
    LongProduct<T> product;
    product.m = s.group_out(), product.n = columns, product.k = s.out_pixels();
    product.a = dy + group * s.group_out(), product.a_stride = s.out;
    product.c = dweight + group * s.group_out() * columns, product.c_stride = columns;
    // Row k is an output pixel's patch; its columns are (r * kw + s) * depth + channel.
    product.pack_b = [&](std::int64_t k0, std::int64_t count, std::int64_t column, T* panel) {
      const std::int64_t end = std::min(columns, column + nr);
      if (end < column + nr) std::fill_n(panel, count * nr, T(0));
      if (has_short_rows(s)) {
        const std::int64_t row = s.kw * s.in;
        for (std::int64_t r = column / row; r * row < end; ++r) {
          const std::int64_t first = std::max(column, r * row), last = std::min(end, (r + 1) * row);
          copy_kernel_row<T>(s, x, nullptr, r, first - r * row, last - r * row, k0, count, nr,
                             panel + (first - column));
        }
        return;
      }
      for (std::int64_t first = column; first < end;) {  // one tap after another
        const std::int64_t tap = first / depth, last = std::min(end, (tap + 1) * depth);
        pack_tap(s, x, tap, group * depth + first - tap * depth, last - first, k0, count,
                 panel + (first - column));
        first = last;
      }
    };
    long_product(product);
  }
}

template std::int64_t direct_conv_packed_size<float>(const ConvShape&);
template void direct_conv_pack<float>(const ConvShape&, const float*, float*);
template void direct_conv_forward<float>(const ConvShape&, const float*, const ConvOperands<float>&, float*);
template void direct_conv_backward_input<float>(const ConvShape&, const float*, const float*, float*);
template void direct_conv_backward_weight<float>(const ConvShape&, const float*, const float*, float*);
template std::int64_t direct_conv_packed_size<double>(const ConvShape&);
template void direct_conv_pack<double>(const ConvShape&, const double*, double*);
template void direct_conv_forward<double>(const ConvShape&, const double*, const ConvOperands<double>&,
                                          double*);
template void direct_conv_backward_input<double>(const ConvShape&, const double*, const double*, double*);
template void direct_conv_backward_weight<double>(const ConvShape&, const double*, const double*, double*);

}  // namespace fer::detail
