// Winograd's convolution, forward and input gradient. A thread takes a block of tiles through the input
// transform, the products and the output transform, and all data of the block stays in the second-level
// cache.
#include "cpu/winograd.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <vector>

#include "cpu/gemm.h"
#include "cpu/scratch.h"
#include "cpu/winograd_kernels.h"
#include "cpu/winograd_tiles.h"

namespace fer::detail {
namespace {

// The transformed weights U: [panel][point][in][nr].
struct WeightLayout {
  std::int64_t points, in, panels;

  WeightLayout(std::int64_t points_, std::int64_t in_, std::int64_t out)
      : points(points_), in(in_), panels(ceil_div(out, product_kernels<float>().nr)) {}
  std::int64_t pitch() const { return point_pitch(in * product_kernels<float>().nr); }
  std::int64_t panel_pitch() const { return points * pitch(); }
  std::int64_t size() const { return panels * panel_pitch(); }
};

// A 3x3 convolution at stride 1, in the form that both passes need.
struct Problem {
  int m;
  std::int64_t in, out;  // channels
  Tiling tiling;
  std::vector<TilePixels> inputs, outputs;  // for each kind of tile
  const float* y;
  const float* border;
  Epilogue<float> epilogue;

  std::int64_t points() const { return (m + 2) * (m + 2); }
  WeightLayout layout() const { return WeightLayout(points(), in, out); }
};

// n maps, x: h x w x in, y: out_h x out_w x out.
Problem problem(int m, std::int64_t n, const float* x, std::int64_t h, std::int64_t w, std::int64_t in,
                float* y, std::int64_t out_h, std::int64_t out_w, std::int64_t out, std::int64_t padding,
                const float* border, const Epilogue<float>& epilogue) {
  Problem p{m, in, out, Tiling(m, n, out_h, out_w), {}, {}, y, border, epilogue};
  for (const TileKind& kind : p.tiling.kinds()) {
    p.inputs.emplace_back(kind, TilePixels::inputs, x, h, w, in, padding);
    p.outputs.emplace_back(kind, TilePixels::outputs, y, out_h, out_w, out);
  }
  return p;
}

// U = G g G^T, [panel][point][in][nr]; tap_matrix(tap) is the in x out matrix of a tap.
template <typename TapMatrix>
void transform_weights(int m, const WeightLayout& layout, const TapMatrix& tap_matrix, float* u) {
  const std::int64_t tap_pitch = layout.in * product_kernels<float>().nr;
#pragma omp parallel for schedule(static)
  for (std::int64_t panel = 0; panel < layout.panels; ++panel) {
    float* g = scratch<float>(ScratchUse::block_a, 9 * tap_pitch);
    for (std::int64_t tap = 0; tap < 9; ++tap) pack_panel<float>(tap_matrix(tap), panel, g + tap * tap_pitch);
    weight_kernels(m).weights(g, tap_pitch, tap_pitch, u + panel * layout.panel_pitch(), layout.pitch());
  }
}

// The tap_matrix() of a forward pass.
auto forward_taps(const ConvShape& s, const float* weight) {
  return [=](std::int64_t tap) { return MatrixRef<float>{weight + tap * s.in, s.in, s.out, 1, 9 * s.in}; };
}

constexpr std::int64_t kColumns = 256;  // output channels that are multiplied, then transformed, at a time

// Computes a block of tiles for the output panels [first_panel, first_panel + panels).
void block_of_tiles(const Problem& p, const float* u, const TileBlock& tiles, std::int64_t first_panel,
                    std::int64_t panels) {
  const ProductKernels<float>& products = product_kernels<float>();
  const std::int64_t rows = std::max<std::int64_t>(tiles.tiles(), products.mr / 2);
  const std::int64_t v_pitch = point_pitch(rows * p.in);
  const std::int64_t width = std::min(round_up(kColumns, products.nr), panels * products.nr);
  const std::int64_t c_pitch = point_pitch(rows * width);
  float* v = scratch<float>(ScratchUse::block_a, p.points() * v_pitch);
  float* c = scratch<float>(ScratchUse::block_c, p.points() * c_pitch);
  const float* zeros = zero_pixel(std::max(p.in, width));
  const float* border = p.border ? p.border : zeros;
  float* outside = scratch<float>(ScratchUse::block_b, width);
  std::array<float*, 36> pixels;
  std::array<const float*, 36> residuals;
  const WeightLayout layout = p.layout();
  for (std::int64_t i = 0; i < tiles.tiles(); ++i) {
    const TileBlock::Place to = tiles.place(i, v_pitch, p.in);
    to.kernels->input(p.inputs[to.kind].at(to.tile, border, pixels), p.in,
                      {{v + to.first, v_pitch, to.offsets.data()}, p.in, 0});
  }

  const std::int64_t step = width / products.nr;
  for (std::int64_t panel = first_panel; panel < first_panel + panels; panel += step) {
    StridedProducts<float> block;
    block.count = p.points(), block.rows = tiles.rows(), block.k = p.in;
    block.panels = std::min(step, first_panel + panels - panel);
    // Longer float32 sums lose digits, shorter ones cost time. With these lengths, Winograd's error is at
    // most 3 times that of the direct convolution, although the latter's sums are longer.
    block.depth = products.fused ? std::max<std::int64_t>(128, p.in / 4) : 16;
    block.a = v, block.a_pitch = v_pitch, block.a_stride = p.in;
    block.b = u + panel * layout.panel_pitch(), block.b_pitch = layout.pitch(),
    block.b_panel_pitch = layout.panel_pitch();
    block.c = c, block.c_pitch = c_pitch, block.c_stride = width;
    products.strided_products(block);
    const std::int64_t channel = panel * products.nr;
    const std::int64_t channels = std::min(block.panels * products.nr, p.out - channel);
    TileEpilogue epilogue;
    if (p.epilogue.bias) epilogue.bias = p.epilogue.bias + channel;
    if (p.epilogue.slope) epilogue.slope = p.epilogue.slope + channel;
    for (std::int64_t i = 0; i < tiles.tiles(); ++i) {
      const TileBlock::Place from = tiles.place(i, c_pitch, width);
      float* const* to = p.outputs[from.kind].at(from.tile, channel, outside, pixels);
      if (p.epilogue.residual) {
        for (int k = 0; k < outputs_of(from.kernels->height) * outputs_of(from.kernels->width); ++k)
          residuals[k] = to[k] == outside ? zeros : p.epilogue.residual + (to[k] - p.y);
        epilogue.residual = residuals.data();
      }
      from.kernels->output({c + from.first, c_pitch, from.offsets.data()}, channels, epilogue, to);
    }
  }
}

// The size of a core's second-level cache in bytes, or a guess.
std::int64_t second_level_cache() {
#ifdef _SC_LEVEL2_CACHE_SIZE
  static const std::int64_t bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
  if (bytes > 0) return bytes;
#endif
  return 1 << 20;
}

void convolve(const Problem& p, const float* u) {
  const std::int64_t mr = product_kernels<float>().mr, nr = product_kernels<float>().nr;
  const std::int64_t panels = p.layout().panels;
  // As many tiles as keep a block's transforms, before and after the products, in the second-level cache, up
  // to two register tiles of rows. More rows would not make loading the weights any cheaper.
  const std::int64_t tile_bytes = 4 * p.points() * (p.in + std::min(kColumns, p.out));
  const std::int64_t rows = std::clamp(second_level_cache() / tile_bytes / mr * mr, mr, round_up(24, mr));
  const std::int64_t blocks = ceil_div(p.tiling.points(), p.points() * rows);
  // With few tiles, the output channels are split too. Each part then repeats the input transform.
  std::int64_t parts = 1;
  while (blocks * parts < 8 && ceil_div(panels, 2 * parts) * nr >= 128) parts *= 2;
  const std::int64_t part = ceil_div(panels, parts);
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t task = 0; task < blocks * parts; ++task) {
    const std::int64_t panel = task % parts * part;
    if (panel < panels)
      block_of_tiles(p, u, TileBlock(p.tiling, task / parts, blocks), panel, std::min(part, panels - panel));
  }
}

bool is_winograds(const ConvShape& s) {
  return s.kh == 3 && s.kw == 3 && s.stride == 1 && s.padding <= 2 && s.groups == 1 && s.in % 8 == 0 &&
         s.out % 8 == 0 && s.out_pixels() > 0;
}

// Compares the work in multiply-adds per channel pair: the products, plus 8 per point, tile and channel for
// the transforms, plus the cost of preparing and loading a weight. These costs are measured. The cost of a
// weight is `per_weight` per point for tiles, and 10 per tap for the direct convolution.
int fastest_tile(const ConvShape& s, double per_weight) {
  if (!is_winograds(s)) return 0;
  const std::int64_t mr = product_kernels<float>().mr;
  const double channels = static_cast<double>(s.in + s.out) / static_cast<double>(s.in * s.out);
  double least = 9.0 * (static_cast<double>(round_up(s.out_pixels(), mr)) + 10.0);
  int best = 0;
  for (int m : {2, 4}) {
    const auto points = static_cast<double>(Tiling(m, s.n, s.out_h, s.out_w).points());
    const double work = points * (1 + 8.0 * channels) + (m + 2) * (m + 2) * per_weight;
    if (work < least) {
      least = work;
      best = m;
    }
  }
  return best;
}

}  // namespace

int winograd_tile(const ConvShape& s, bool packed) {
  return fastest_tile(s, packed ? 20.0 : 28.0);
}

int winograd_weight_tile(const ConvShape& s) {
  return fastest_tile(s, 24.0);
}

std::int64_t winograd_packed_size(int m, const ConvShape& s) {
  return WeightLayout((m + 2) * (m + 2), s.in, s.out).size();
}

void winograd_pack(int m, const ConvShape& s, const float* weight, float* packed) {
  transform_weights(m, WeightLayout((m + 2) * (m + 2), s.in, s.out), forward_taps(s, weight), packed);
}

void winograd_forward(int m, const ConvShape& s, const float* x, const ConvOperands<float>& operands,
                      float* y) {
  const Problem p = problem(m, s.n, x, s.h, s.w, s.in, y, s.out_h, s.out_w, s.out, s.padding, operands.border,
                            operands.epilogue);
  if (operands.packed) return convolve(p, operands.packed);
  float* u = scratch<float>(ScratchUse::transforms, p.layout().size());
  transform_weights(m, p.layout(), forward_taps(s, operands.weight), u);
  convolve(p, u);
}

void winograd_backward_input(int m, const ConvShape& s, const float* dy, const float* weight, float* dx) {
  const Problem p =
      problem(m, s.n, dy, s.out_h, s.out_w, s.out, dx, s.h, s.w, s.in, 2 - s.padding, nullptr, {});
  float* u = scratch<float>(ScratchUse::transforms, p.layout().size());
  transform_weights(
      m, p.layout(),
      [&](std::int64_t tap) {
        return MatrixRef<float>{weight + (8 - tap) * s.in, s.out, s.in, 9 * s.in, 1};
      },
      u);
  convolve(p, u);
}

}  // namespace fer::detail
