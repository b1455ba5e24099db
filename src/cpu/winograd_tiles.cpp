// See winograd_tiles.h.
#include "cpu/winograd_tiles.h"

#include <algorithm>

#include "cpu/gemm.h"
#include "cpu/scratch.h"

namespace fer::detail {
namespace {

// `count` consecutive tiles of one side.
struct Span {
  Side side;
  std::int64_t count, first;
};

// The spans that cover `extent` outputs.
std::vector<Span> spans(int m, std::int64_t extent) {
  if (m == 2) return {{Side::two, ceil_div(extent, 2), 0}};
  const std::int64_t fours = extent / 4, left = extent % 4;
  if (left == 0 || left == 3 || fours == 0) return {{Side::four, ceil_div(extent, 4), 0}};
  return {{Side::four, fours, 0}, {Side::rest, 1, 4 * fours}};
}

// Offsets of the pixels of `count` tiles along one axis: `seen` pixels per tile, tiles `step` apart, from
// pixel `first` on; -1 for pixels outside [0, extent).
std::vector<std::int64_t> axis_offsets(std::int64_t count, std::int64_t seen, std::int64_t step,
                                       std::int64_t first, std::int64_t extent, std::int64_t pitch) {
  std::vector<std::int64_t> offsets;
  for (std::int64_t tile = 0; tile < count; ++tile) {
    for (std::int64_t i = 0; i < seen; ++i) {
      const std::int64_t pixel = first + tile * step + i;
      offsets.push_back(pixel >= 0 && pixel < extent ? pixel * pitch : -1);
    }
  }
  return offsets;
}

}  // namespace

Tiling::Tiling(int m, std::int64_t n, std::int64_t h, std::int64_t w) {
  for (const Span& rows : spans(m, h))
    for (const Span& columns : spans(m, w))
      kinds_.push_back(
          {&tile_kernels(rows.side, columns.side), n, rows.count, columns.count, rows.first, columns.first});
}

std::int64_t Tiling::points() const {
  std::int64_t points = 0;
  for (const TileKind& kind : kinds_) points += kind.count() * kind.kernels->point_count();
  return points;
}

TileBlock::TileBlock(const Tiling& tiling, std::int64_t index, std::int64_t blocks) {
  for (const TileKind& kind : tiling.kinds()) {
    Share& share = shares_[kinds_++];
    share.kernels = kind.kernels;
    share.begin = kind.count() * index / blocks;
    share.count = kind.count() * (index + 1) / blocks - share.begin;
    tiles_ += share.count;
    for (int k = 0; k < kind.kernels->point_count(); ++k) {
      std::int64_t& rows = rows_[kind.kernels->points[k]];
      share.first_row[k] = rows;
      rows += share.count;
    }
  }
}

TileBlock::Place TileBlock::place(std::int64_t i, std::int64_t pitch, std::int64_t stride) const {
  std::size_t kind = 0;
  for (; i >= shares_[kind].count; ++kind) i -= shares_[kind].count;
  const Share& share = shares_[kind];
  Place place;
  place.kernels = share.kernels;
  place.kind = kind;
  place.tile = share.begin + i;
  place.first = (share.first_row[0] + i) * stride;
  if (kind == 0) return place;  // this kind has all points, one pitch apart
  for (int k = 0; k < share.kernels->point_count(); ++k)
    place.offsets[k] = share.kernels->points[k] * pitch + (share.first_row[k] - share.first_row[0]) * stride;
  return place;
}

TilePixels::TilePixels(const TileKind& kind, Of what, const float* data, std::int64_t h, std::int64_t w,
                       std::int64_t channels, std::int64_t padding)
    : data_(data), rows_(kind.rows), columns_(kind.columns), map_pitch_(h * w * channels) {
  const int step_h = outputs_of(kind.kernels->height), step_w = outputs_of(kind.kernels->width);
  height_ = what == inputs ? size_of(kind.kernels->height) : step_h;
  width_ = what == inputs ? size_of(kind.kernels->width) : step_w;
  row_offsets_ = axis_offsets(rows_, height_, step_h, kind.first_row - padding, h, w * channels);
  column_offsets_ = axis_offsets(columns_, width_, step_w, kind.first_column - padding, w, channels);
}

float* const* TilePixels::at(std::int64_t tile, std::int64_t channel, float* outside,
                             std::array<float*, 36>& pixels) const {
  const std::int64_t* rows = row_offsets_.data() + tile / columns_ % rows_ * height_;
  const std::int64_t* columns = column_offsets_.data() + tile % columns_ * width_;
  float* first = const_cast<float*>(data_) + tile / (rows_ * columns_) * map_pitch_ + channel;
  float** pixel = pixels.data();
  for (std::int64_t i = 0; i < height_; ++i)
    for (std::int64_t j = 0; j < width_; ++j)
      *pixel++ = rows[i] >= 0 && columns[j] >= 0 ? first + rows[i] + columns[j] : outside;
  return pixels.data();
}

const float* zero_pixel(std::int64_t channels) {
  float* zeros = scratch<float>(ScratchUse::zeros, channels);
  std::fill_n(zeros, channels, 0.0f);
  return zeros;
}

}  // namespace fer::detail
