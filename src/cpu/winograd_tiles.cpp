// See winograd_tiles.h.
#include "cpu/winograd_tiles.h"

#include <algorithm>

#include "cpu/gemm.h"
#include "cpu/scratch.h"

namespace fer::detail {
namespace {

// Offsets of the pixels that the tiles along one axis see. A tile's first output lies at v = tile * step;
// `maps` maps of `extent` pixels begin `period` apart. Maps that are no mosaic (period a multiple of step)
// must not see their neighbours: there a pixel belongs to the map of its tile.
std::vector<std::int64_t> axis_offsets(std::int64_t tiles, std::int64_t side, std::int64_t step,
                                       std::int64_t shift, std::int64_t maps, std::int64_t period,
                                       std::int64_t extent, std::int64_t map_stride,
                                       std::int64_t pixel_stride) {
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(tiles * side), -1);
  for (std::int64_t tile = 0; tile < tiles; ++tile) {
    for (std::int64_t i = 0; i < side; ++i) {
      const std::int64_t first = tile * step, v = first - shift + i;
      const std::int64_t map = period % step == 0 ? first / period : std::max<std::int64_t>(0, v) / period;
      const std::int64_t pixel = v - map * period;
      if (map < maps && pixel >= 0 && pixel < extent)
        offsets[tile * side + i] = map * map_stride + pixel * pixel_stride;
    }
  }
  return offsets;
}

// Tiles along an axis, and the period of its maps: as a mosaic, or each map with tiles of its own.
struct Axis {
  std::int64_t period, tiles;
};
Axis axis(std::int64_t maps, std::int64_t extent, std::int64_t m, std::int64_t padding) {
  const Axis apart{round_up(extent, m), maps * ceil_div(extent, m)};
  // One pixel between two maps serves as the padding of both, and a kernel of 3 reaches no further.
  const Axis mosaic{extent + 1, ceil_div(maps * (extent + 1) - 1, m)};
  const bool possible = padding == 1 && mosaic.period % m != 0;
  return possible && mosaic.tiles < apart.tiles ? mosaic : apart;
}

}  // namespace

Mosaic Mosaic::best(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t m, std::int64_t padding) {
  Mosaic best{};
  for (std::int64_t down = 1; down <= n; ++down) {
    if (n % down != 0) continue;
    const Axis rows = axis(down, h, m, padding), columns = axis(n / down, w, m, padding);
    if (down == 1 || rows.tiles * columns.tiles < best.tiles())
      best = {down, n / down, rows.period, columns.period, rows.tiles, columns.tiles};
  }
  return best;
}

TilePixels::TilePixels(const Mosaic& mosaic, const float* data, std::int64_t h, std::int64_t w,
                       std::int64_t channels, std::int64_t side, std::int64_t step, std::int64_t shift)
    : data_(data),
      columns_(mosaic.columns),
      side_(side),
      row_offsets_(axis_offsets(mosaic.rows, side, step, shift, mosaic.down, mosaic.period_h, h,
                                mosaic.across * h * w * channels, w * channels)),
      column_offsets_(axis_offsets(mosaic.columns, side, step, shift, mosaic.across, mosaic.period_w, w,
                                   h * w * channels, channels)) {}

float* const* TilePixels::at(std::int64_t tile, std::int64_t channel, float* outside,
                             std::array<float*, 36>& pixels) const {
  const std::int64_t* rows = row_offsets_.data() + tile / columns_ * side_;
  const std::int64_t* columns = column_offsets_.data() + tile % columns_ * side_;
  float* first = const_cast<float*>(data_) + channel;
  float** pixel = pixels.data();
  for (std::int64_t i = 0; i < side_; ++i)
    for (std::int64_t j = 0; j < side_; ++j)
      *pixel++ = rows[i] >= 0 && columns[j] >= 0 ? first + rows[i] + columns[j] : outside;
  return pixels.data();
}

const float* zero_pixel(std::int64_t channels) {
  float* zeros = scratch<float>(ScratchUse::zeros, channels);
  std::fill_n(zeros, channels, 0.0f);
  return zeros;
}

}  // namespace fer::detail
