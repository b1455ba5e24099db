// Winograd's weight gradient. Chunk by chunk of tiles, all threads transform the patches of x and the tiles
// of dy, and then share out the (m + 2)^2 products that sum over the chunk's tiles; chunks are added in
// order, so the result is the same for any number of threads.
#include <algorithm>
#include <array>

#include "cpu/gemm.h"
#include "cpu/scratch.h"
#include "cpu/winograd.h"
#include "cpu/winograd_kernels.h"
#include "cpu/winograd_tiles.h"

namespace fer::detail {

void winograd_backward_weight(int m, const ConvShape& s, const float* x, const float* dy, float* dweight) {
  constexpr std::int64_t line = 16;
  const WinogradKernels& kernels = winograd_kernels(m);
  const ProductKernels<float>& products = product_kernels<float>();
  const std::int64_t nr = products.nr, points = kernels.size * kernels.size;
  const Mosaic mosaic = Mosaic::best(s.n, s.out_h, s.out_w, m, s.padding);
  const TilePixels inputs(mosaic, x, s.h, s.w, s.in, m + 2, m, s.padding);
  const TilePixels outputs(mosaic, dy, s.out_h, s.out_w, s.out, m, m, 0);
  const std::int64_t tiles = mosaic.tiles();
  constexpr std::int64_t depth = 64;  // of a sum, before it is added to the others: smaller rounding errors
  const std::int64_t chunk = even_split(tiles, 192);
  const std::int64_t v_pitch = round_up(s.in, nr) * chunk + line,
                     w_pitch = round_up(s.out, 16) * chunk + line;
  const std::int64_t s_pitch = s.out * s.in + line;
  float* v = scratch<float>(ScratchUse::packed_b, points * v_pitch);     // [point][in / nr][tile][nr]
  float* w = scratch<float>(ScratchUse::transforms, points * w_pitch);   // [point][out / 16][tile][16]
  float* sums = scratch<float>(ScratchUse::partials, points * s_pitch);  // [point][out][in]
  const std::int64_t blocks = ceil_div(s.out, 64);
#pragma omp parallel
  {
    const float* zeros = zero_pixel(std::max(s.in, s.out));
    std::array<float*, 36> pixels;
    for (std::int64_t begin = 0; begin < tiles; begin += chunk) {
      const std::int64_t count = std::min(chunk, tiles - begin);
#pragma omp for schedule(dynamic, 4)
      for (std::int64_t tile = 0; tile < count; ++tile) {
        kernels.input(inputs.at(begin + tile, zeros, pixels), s.in, {v + tile * nr, v_pitch, nr, chunk * nr});
        kernels.gradient(outputs.at(begin + tile, zeros, pixels), s.out,
                         {w + tile * 16, w_pitch, 16, chunk * 16});
      }
#pragma omp for schedule(dynamic)
      for (std::int64_t task = 0; task < points * blocks; ++task) {
        const std::int64_t point = task / blocks, row = task % blocks * 64;
        TallProduct<float> product;
        product.m = std::min<std::int64_t>(64, s.out - row), product.n = s.in;
        product.a_block_pitch = chunk * 16, product.b_panel_pitch = chunk * nr;
        product.c = sums + point * s_pitch + row * s.in, product.c_stride = s.in;
        for (std::int64_t k = 0; k < count; k += depth) {
          product.k = std::min(depth, count - k);
          product.a = w + point * w_pitch + row * chunk + k * 16;
          product.b = v + point * v_pitch + k * nr;
          product.accumulate = begin + k > 0;
          products.tall_product(product);
        }
      }
    }
#pragma omp for schedule(static)
    for (std::int64_t o = 0; o < s.out; ++o)
      kernels.weight_gradient(sums + o * s.in, s_pitch, s.in, dweight + o * 9 * s.in, s.in);
  }
}

}  // namespace fer::detail
