// Winograd's weight gradient: patches of x and tiles of dy are transformed, and (m + 2)^2 products sum over
// the tiles. How the sums are split depends on the shape alone, so the result is the same for any number of
// threads.
//
// With few channels, each thread takes a group of tiles through transforms and products by itself. The
// groups' sums are small and are added up at the end. With many channels, only one set of sums is affordable.
// Then all threads work on one block of tiles at a time: they transform its tiles, then share its products,
// one thread per sum.
#include <algorithm>
#include <array>
#include <vector>

#include "cpu/gemm.h"
#include "cpu/scratch.h"
#include "cpu/winograd.h"
#include "cpu/winograd_kernels.h"
#include "cpu/winograd_tiles.h"

namespace fer::detail {
namespace {

constexpr std::int64_t kDepth = 64;  // terms of a partial sum; limits rounding errors

struct Problem {
  int m;
  std::int64_t in, out;
  Tiling tiling;
  std::vector<TilePixels> inputs, outputs;  // for each kind of tile

  std::int64_t points() const { return (m + 2) * (m + 2); }
  std::int64_t tiles() const { return ceil_div(tiling.points(), points()); }  // as if each had all points
  std::int64_t nr() const { return product_kernels<float>().nr; }
  std::int64_t sum_pitch() const { return point_pitch(out * in); }
  std::int64_t sums_size() const { return points() * sum_pitch(); }  // [point][out][in]
};

/// The transforms of a block of up to `rows` tiles: those of x are [point][in / nr][row][nr], those of dy
/// [point][out / 16][row][16].
struct Transforms {
  float *x, *dy;
  std::int64_t rows, x_pitch, dy_pitch;

  Transforms(const Problem& p, std::int64_t rows_)
      : x(nullptr),
        dy(nullptr),
        rows(rows_),
        x_pitch(point_pitch(round_up(p.in, p.nr()) * rows)),
        dy_pitch(point_pitch(round_up(p.out, 16) * rows)) {}

  void transform(const Problem& p, const TileBlock& block, std::int64_t i, const float* zeros) const {
    std::array<float*, 36> pixels;
    const TileBlock::Place in = block.place(i, x_pitch, p.nr());
    in.kernels->input(p.inputs[in.kind].at(in.tile, zeros, pixels), p.in,
                      {{x + in.first, x_pitch, in.offsets.data()}, p.nr(), rows * p.nr()});
    const TileBlock::Place out = block.place(i, dy_pitch, 16);
    out.kernels->gradient(p.outputs[out.kind].at(out.tile, zeros, pixels), p.out,
                          {{dy + out.first, dy_pitch, out.offsets.data()}, 16, rows * 16});
  }
  /// sums[point] (+)= dy^T x over the first `count` rows, for up to 64 output channels from `row` on.
  void multiply(const Problem& p, std::int64_t point, std::int64_t row, std::int64_t count, bool accumulate,
                float* sums) const {
    TallProduct<float> product;
    product.m = std::min<std::int64_t>(64, p.out - row), product.n = p.in;
    product.a_block_pitch = rows * 16, product.b_panel_pitch = rows * p.nr();
    product.c = sums + point * p.sum_pitch() + row * p.in, product.c_stride = p.in;
    if (count == 0 && !accumulate) std::fill_n(product.c, product.m * p.in, 0.0f);
    for (std::int64_t k = 0; k < count; k += kDepth) {
      product.k = std::min(kDepth, count - k);
      product.a = dy + point * dy_pitch + row * rows + k * 16;
      product.b = x + point * x_pitch + k * p.nr();
      product.accumulate = accumulate || k > 0;
      product_kernels<float>().tall_product(product);
    }
  }
};

// The number of groups of tiles, each with its own sums. 1 if there are too many channels or too few tiles
// for more.
std::int64_t group_count(const Problem& p) {
  constexpr std::int64_t sums_floats = 2560 << 10, group_tiles = 48, most = 16;
  const std::int64_t groups = std::min({p.tiles() / group_tiles, sums_floats / p.sums_size(), most});
  return groups >= 4 ? groups : 1;
}

// Cuts the tiles into `count` blocks of about `tiles` tiles, where count is a multiple of `groups`.
// most_tiles is the size of the largest block.
struct Blocks {
  std::int64_t count, most_tiles = 0;
  Blocks(const Problem& p, std::int64_t tiles, std::int64_t groups)
      : count(groups * ceil_div(p.tiles(), groups * tiles)) {
    for (const TileKind& kind : p.tiling.kinds()) most_tiles += ceil_div(kind.count(), count);
  }
};

void sum_by_groups(const Problem& p, std::int64_t groups, float* sums, float* dweight) {
  // A block's transforms take at most half of the second-level cache.
  constexpr std::int64_t block_floats = 256 << 10;
  const std::int64_t tile_floats = p.points() * (round_up(p.in, p.nr()) + round_up(p.out, 16));
  const Blocks blocks(p, std::clamp<std::int64_t>(block_floats / tile_floats, 16, kDepth), groups);
  const std::int64_t of_group = blocks.count / groups;
#pragma omp parallel
  {
    Transforms transforms(p, blocks.most_tiles);
    transforms.x = scratch<float>(ScratchUse::block_b, p.points() * transforms.x_pitch);
    transforms.dy = scratch<float>(ScratchUse::block_a, p.points() * transforms.dy_pitch);
    const float* zeros = zero_pixel(std::max(p.in, p.out));
#pragma omp for schedule(dynamic)
    for (std::int64_t group = 0; group < groups; ++group) {
      for (std::int64_t i = 0; i < of_group; ++i) {
        const TileBlock block(p.tiling, group * of_group + i, blocks.count);
        for (std::int64_t tile = 0; tile < block.tiles(); ++tile) transforms.transform(p, block, tile, zeros);
        for (std::int64_t point = 0; point < p.points(); ++point)
          for (std::int64_t row = 0; row < p.out; row += 64)
            transforms.multiply(p, point, row, block.rows()[point], i > 0, sums + group * p.sums_size());
      }
    }
#pragma omp for schedule(static)
    for (std::int64_t o = 0; o < p.out; ++o) {
      float* row = sums + o * p.in;
      for (std::int64_t point = 0; point < p.points(); ++point, row += p.sum_pitch())
        for (std::int64_t group = 1; group < groups; ++group)
          for (std::int64_t i = 0; i < p.in; ++i) row[i] += row[group * p.sums_size() + i];
      weight_kernels(p.m).weight_gradient(sums + o * p.in, p.sum_pitch(), p.in, dweight + o * 9 * p.in, p.in);
    }
  }
}

void sum_by_points(const Problem& p, float* sums, float* dweight) {
  const std::int64_t parts = ceil_div(p.out, 64);  // per point
  const Blocks blocks(p, 192, 1);
  Transforms transforms(p, blocks.most_tiles);
  transforms.x = scratch<float>(ScratchUse::packed_b, p.points() * transforms.x_pitch);
  transforms.dy = scratch<float>(ScratchUse::transforms, p.points() * transforms.dy_pitch);
#pragma omp parallel
  {
    const float* zeros = zero_pixel(std::max(p.in, p.out));
    for (std::int64_t i = 0; i < blocks.count; ++i) {
      const TileBlock block(p.tiling, i, blocks.count);
#pragma omp for schedule(dynamic, 4)
      for (std::int64_t tile = 0; tile < block.tiles(); ++tile) transforms.transform(p, block, tile, zeros);
#pragma omp for schedule(dynamic)
      for (std::int64_t task = 0; task < p.points() * parts; ++task) {
        const std::int64_t point = task / parts;
        transforms.multiply(p, point, task % parts * 64, block.rows()[point], i > 0, sums);
      }
    }
#pragma omp for schedule(static)
    for (std::int64_t o = 0; o < p.out; ++o)
      weight_kernels(p.m).weight_gradient(sums + o * p.in, p.sum_pitch(), p.in, dweight + o * 9 * p.in, p.in);
  }
}

}  // namespace

void winograd_backward_weight(int m, const ConvShape& s, const float* x, const float* dy, float* dweight) {
  Problem p{m, s.in, s.out, Tiling(m, s.n, s.out_h, s.out_w), {}, {}};
  for (const TileKind& kind : p.tiling.kinds()) {
    p.inputs.emplace_back(kind, TilePixels::inputs, x, s.h, s.w, s.in, s.padding);
    p.outputs.emplace_back(kind, TilePixels::outputs, dy, s.out_h, s.out_w, s.out);
  }
  const std::int64_t groups = group_count(p);
  float* sums = scratch<float>(ScratchUse::partials, groups * p.sums_size());
  if (groups > 1) {
    sum_by_groups(p, groups, sums, dweight);
  } else {
    sum_by_points(p, sums, dweight);
  }
}

}  // namespace fer::detail
