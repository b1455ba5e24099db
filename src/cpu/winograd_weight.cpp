// Winograd's weight gradient: patches of x and tiles of dy are transformed, and (m + 2)^2 products sum over
// the tiles. Which sums are taken apart depends on the shape alone, so the result is the same for any number
// of threads.
//
// Few channels: a thread takes a group of tiles through transforms and products by itself, and the groups'
// sums, being small, are added up at the end. Many channels: there is room for one set of sums, and memory
// for no more; chunk by chunk all threads transform its tiles and then share out its products, one thread a
// sum.
#include <algorithm>
#include <array>

#include "cpu/gemm.h"
#include "cpu/scratch.h"
#include "cpu/winograd.h"
#include "cpu/winograd_kernels.h"
#include "cpu/winograd_tiles.h"

namespace fer::detail {
namespace {

constexpr std::int64_t kLine =
    16;  // floats; what keeps equal offsets of neighbouring points out of one cache set
constexpr std::int64_t kDepth = 64;  // of a sum, before it is added to the others: smaller rounding errors

struct Problem {
  const WinogradKernels& kernels;
  std::int64_t in, out;
  std::int64_t tiles;
  TilePixels inputs, outputs;

  std::int64_t points() const { return kernels.size * kernels.size; }
  std::int64_t nr() const { return product_kernels<float>().nr; }
  std::int64_t sum_pitch() const { return out * in + kLine; }
  std::int64_t sums_size() const { return points() * sum_pitch(); }  // [point][out][in]
};

/// The transforms of up to `tiles` tiles: of x [point][in / nr][tile][nr], of dy [point][out / 16][tile][16].
struct Transforms {
  float *x, *dy;
  std::int64_t tiles, x_pitch, dy_pitch;

  Transforms(const Problem& p, std::int64_t tiles_)
      : x(nullptr),
        dy(nullptr),
        tiles(tiles_),
        x_pitch(round_up(p.in, p.nr()) * tiles + kLine),
        dy_pitch(round_up(p.out, 16) * tiles + kLine) {}

  void transform(const Problem& p, std::int64_t tile, std::int64_t at, const float* zeros) const {
    std::array<float*, 36> pixels;
    p.kernels.input(p.inputs.at(tile, zeros, pixels), p.in,
                    {x + at * p.nr(), x_pitch, p.nr(), tiles * p.nr()});
    p.kernels.gradient(p.outputs.at(tile, zeros, pixels), p.out, {dy + at * 16, dy_pitch, 16, tiles * 16});
  }
  /// sums[point] (+)= dy^T x over the first `count` tiles, for up to 64 output channels from `row` on.
  void multiply(const Problem& p, std::int64_t point, std::int64_t row, std::int64_t count, bool accumulate,
                float* sums) const {
    TallProduct<float> product;
    product.m = std::min<std::int64_t>(64, p.out - row), product.n = p.in;
    product.a_block_pitch = tiles * 16, product.b_panel_pitch = tiles * p.nr();
    product.c = sums + point * p.sum_pitch() + row * p.in, product.c_stride = p.in;
    for (std::int64_t k = 0; k < count; k += kDepth) {
      product.k = std::min(kDepth, count - k);
      product.a = dy + point * dy_pitch + row * tiles + k * 16;
      product.b = x + point * x_pitch + k * p.nr();
      product.accumulate = accumulate || k > 0;
      product_kernels<float>().tall_product(product);
    }
  }
};

// Groups of tiles, each with sums of its own; 1: there are too many channels for that, or too few tiles.
std::int64_t group_count(const Problem& p) {
  constexpr std::int64_t sums_floats = 2560 << 10, group_tiles = 48, most = 16;
  const std::int64_t groups = std::min({p.tiles / group_tiles, sums_floats / p.sums_size(), most});
  return groups >= 4 ? groups : 1;
}

void sum_by_groups(const Problem& p, std::int64_t groups, float* sums, float* dweight) {
  // a chunk's transforms take half of the second-level cache at most
  constexpr std::int64_t chunk_floats = 256 << 10;
  const std::int64_t tile_floats = p.points() * (round_up(p.in, p.nr()) + round_up(p.out, 16));
  const std::int64_t chunk = std::clamp<std::int64_t>(chunk_floats / tile_floats, 16, kDepth);
#pragma omp parallel
  {
    Transforms transforms(p, chunk);
    transforms.x = scratch<float>(ScratchUse::block_b, p.points() * transforms.x_pitch);
    transforms.dy = scratch<float>(ScratchUse::block_a, p.points() * transforms.dy_pitch);
    const float* zeros = zero_pixel(std::max(p.in, p.out));
#pragma omp for schedule(dynamic)
    for (std::int64_t group = 0; group < groups; ++group) {
      const std::int64_t first = p.tiles * group / groups, last = p.tiles * (group + 1) / groups;
      for (std::int64_t begin = first; begin < last; begin += chunk) {
        const std::int64_t count = std::min(chunk, last - begin);
        for (std::int64_t i = 0; i < count; ++i) transforms.transform(p, begin + i, i, zeros);
        for (std::int64_t point = 0; point < p.points(); ++point)
          for (std::int64_t row = 0; row < p.out; row += 64)
            transforms.multiply(p, point, row, count, begin > first, sums + group * p.sums_size());
      }
    }
#pragma omp for schedule(static)
    for (std::int64_t o = 0; o < p.out; ++o) {
      float* row = sums + o * p.in;
      for (std::int64_t point = 0; point < p.points(); ++point, row += p.sum_pitch())
        for (std::int64_t group = 1; group < groups; ++group)
          for (std::int64_t i = 0; i < p.in; ++i) row[i] += row[group * p.sums_size() + i];
      p.kernels.weight_gradient(sums + o * p.in, p.sum_pitch(), p.in, dweight + o * 9 * p.in, p.in);
    }
  }
}

void sum_by_points(const Problem& p, float* sums, float* dweight) {
  const std::int64_t chunk = even_split(p.tiles, 192), blocks = ceil_div(p.out, 64);
  Transforms transforms(p, chunk);
  transforms.x = scratch<float>(ScratchUse::packed_b, p.points() * transforms.x_pitch);
  transforms.dy = scratch<float>(ScratchUse::transforms, p.points() * transforms.dy_pitch);
#pragma omp parallel
  {
    const float* zeros = zero_pixel(std::max(p.in, p.out));
    for (std::int64_t begin = 0; begin < p.tiles; begin += chunk) {
      const std::int64_t count = std::min(chunk, p.tiles - begin);
#pragma omp for schedule(dynamic, 4)
      for (std::int64_t i = 0; i < count; ++i) transforms.transform(p, begin + i, i, zeros);
#pragma omp for schedule(dynamic)
      for (std::int64_t task = 0; task < p.points() * blocks; ++task)
        transforms.multiply(p, task / blocks, task % blocks * 64, count, begin > 0, sums);
    }
#pragma omp for schedule(static)
    for (std::int64_t o = 0; o < p.out; ++o)
      p.kernels.weight_gradient(sums + o * p.in, p.sum_pitch(), p.in, dweight + o * 9 * p.in, p.in);
  }
}

}  // namespace

void winograd_backward_weight(int m, const ConvShape& s, const float* x, const float* dy, float* dweight) {
  const Mosaic mosaic = Mosaic::best(s.n, s.out_h, s.out_w, m, s.padding);
  const Problem p{winograd_kernels(m),
                  s.in,
                  s.out,
                  mosaic.tiles(),
                  TilePixels(mosaic, x, s.h, s.w, s.in, m + 2, m, s.padding),
                  TilePixels(mosaic, dy, s.out_h, s.out_w, s.out, m, m, 0)};
  const std::int64_t groups = group_count(p);
  float* sums = scratch<float>(ScratchUse::partials, groups * p.sums_size());
  if (groups > 1) {
    sum_by_groups(p, groups, sums, dweight);
  } else {
    sum_by_points(p, sums, dweight);
  }
}

}  // namespace fer::detail
