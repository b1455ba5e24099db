// The heat map over the channels of f_lm and its product with f_img (Eq. 1; rows 2 and 3 of Table 4), row by
// row:
//   heat = max_c f, sum_c f or sum_c |f|;   y = heat * f_img.
// Gradient contract: df_img = heat dy;  dheat = sum_c dy f_img;  df_lm = dheat at the saved arg-max (max),
// dheat everywhere (sum), or dheat sign(f) with sign(0) = 0 (abs_sum).
#include <algorithm>
#include <cmath>

#include "cpu/cpu_backend.h"

namespace fer {
namespace {

struct Extents {
  std::int64_t rows, lm, img;  ///< positions; channels of f_lm and of f_img
};

Extents extents(const char* op, const Tensor& f_lm, const Tensor& heat, const Tensor& f_img) {
  require<ShapeError>(f_lm.rank() >= 1 && f_lm.shape().channels() > 0 && heat.numel() == f_lm.shape().rows(),
                      "[", op, "] f_lm ", f_lm.shape(), " does not fit the heat map ", heat.shape());
  if (!f_img.defined()) return {heat.numel(), f_lm.shape().channels(), 0};
  require<ShapeError>(f_img.shape().rows() == heat.numel(), "[", op, "] f_img ", f_img.shape(),
                      " does not fit the heat map ", heat.shape());
  return {heat.numel(), f_lm.shape().channels(), f_img.shape().channels()};
}

// sum over i of term(i), in eight interleaved partial sums: a fixed order that vectorises.
template <typename T, typename Term>
T lane_sum(std::int64_t n, const Term& term) {
  T lane[8] = {};
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int j = 0; j < 8; ++j) lane[j] += term(i + j);
  }
  for (int j = 0; i < n; ++i, ++j) lane[j] += term(i);
  return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

// The heat of one position. `winner`: the first channel with the maximum, or -1 for the other kinds. A NaN
// wins, so that it is not lost.
template <typename T>
T row_heat(const T* f, std::int64_t channels, HeatmapKind kind, std::int32_t& winner) {
  winner = -1;
  switch (kind) {
    case HeatmapKind::sum:
      return lane_sum<T>(channels, [f](std::int64_t c) { return f[c]; });
    case HeatmapKind::abs_sum:
      return lane_sum<T>(channels, [f](std::int64_t c) { return std::abs(f[c]); });
    case HeatmapKind::max:
      break;
  }
  T best = f[0];
  winner = 0;
  for (std::int64_t c = 1; c < channels && best == best; ++c) {
    if (f[c] <= best) continue;
    best = f[c];
    winner = static_cast<std::int32_t>(c);
  }
  return best;
}

template <typename T>
void row_heat_backward(const T* f, std::int64_t channels, HeatmapKind kind, std::int32_t winner, T dheat,
                       T* df) {
  switch (kind) {
    case HeatmapKind::max:
      std::fill(df, df + channels, T(0));
      df[winner] = dheat;
      break;
    case HeatmapKind::sum:
      std::fill(df, df + channels, dheat);
      break;
    case HeatmapKind::abs_sum:
      for (std::int64_t c = 0; c < channels; ++c) df[c] = f[c] > 0 ? dheat : f[c] < 0 ? -dheat : dheat * f[c];
      break;
  }
}

std::int32_t* saved_winners(const char* op, HeatmapKind kind, Tensor& argmax, std::int64_t rows) {
  require<ShapeError>(argmax.defined() ? argmax.numel() == rows : kind != HeatmapKind::max, "[", op,
                      "] the maximum needs an argmax of ", rows, " elements");
  return argmax.defined() ? argmax.mutable_data<std::int32_t>() : nullptr;
}

// Null for kinds that need no winners. Every winner is checked, because backward writes at its index.
const std::int32_t* checked_winners(const char* op, HeatmapKind kind, const Tensor& argmax,
                                    const Extents& e) {
  if (kind != HeatmapKind::max) return nullptr;
  require<ShapeError>(argmax.defined() && argmax.numel() == e.rows, "[", op,
                      "] the maximum needs the argmax of its forward pass, ", e.rows, " elements");
  const std::int32_t* winner = argmax.data<std::int32_t>();
  bool inside = true;
  for (std::int64_t i = 0; i < e.rows; ++i) inside &= winner[i] >= 0 && winner[i] < e.lm;
  require<ShapeError>(inside, "[", op, "] argmax names a channel outside of 0 to ", e.lm - 1);
  return winner;
}

}  // namespace

void CpuBackend::heatmap_forward(const Tensor& f_lm, HeatmapKind kind, Tensor& heat, Tensor& argmax) {
  const Extents e = extents("heatmap", f_lm, heat, {});
  std::int32_t* winners = saved_winners("heatmap", kind, argmax, e.rows);
  dispatch_floating(f_lm.dtype(), "heatmap", [&]<typename T>() {
    const T* f = f_lm.data<T>();
    T* h = heat.mutable_data<T>();
#pragma omp parallel for schedule(static)
    for (std::int64_t i = 0; i < e.rows; ++i) {
      std::int32_t winner;
      h[i] = row_heat(f + i * e.lm, e.lm, kind, winner);
      if (winners) winners[i] = winner;
    }
  });
}

void CpuBackend::heatmap_backward(const Tensor& f_lm, const Tensor& argmax, HeatmapKind kind,
                                  const Tensor& dheat, Tensor& df_lm) {
  const Extents e = extents("heatmap", f_lm, dheat, {});
  const std::int32_t* winners = checked_winners("heatmap", kind, argmax, e);
  dispatch_floating(f_lm.dtype(), "heatmap", [&]<typename T>() {
    const T* f = f_lm.data<T>();
    const T* dh = dheat.data<T>();
    T* df = df_lm.mutable_data<T>();
#pragma omp parallel for schedule(static)
    for (std::int64_t i = 0; i < e.rows; ++i)
      row_heat_backward(f + i * e.lm, e.lm, kind, winners ? winners[i] : -1, dh[i], df + i * e.lm);
  });
}

void CpuBackend::heatmap_product_forward(const Tensor& f_lm, const Tensor& f_img, HeatmapKind kind, Tensor& y,
                                         Tensor& heat, Tensor& argmax) {
  const Extents e = extents("heatmap_product", f_lm, heat, f_img);
  std::int32_t* winners = saved_winners("heatmap_product", kind, argmax, e.rows);
  dispatch_floating(f_lm.dtype(), "heatmap_product", [&]<typename T>() {
    const T* f = f_lm.data<T>();
    const T* x = f_img.data<T>();
    T* out = y.mutable_data<T>();
    T* h = heat.mutable_data<T>();
#pragma omp parallel for schedule(static)
    for (std::int64_t i = 0; i < e.rows; ++i) {
      std::int32_t winner;
      const T value = row_heat(f + i * e.lm, e.lm, kind, winner);
      h[i] = value;
      if (winners) winners[i] = winner;
      for (std::int64_t c = i * e.img; c < (i + 1) * e.img; ++c) out[c] = value * x[c];
    }
  });
}

void CpuBackend::heatmap_product_backward(const Tensor& f_lm, const Tensor& f_img, const Tensor& heat,
                                          const Tensor& argmax, HeatmapKind kind, const Tensor& dy,
                                          Tensor& df_lm, Tensor& df_img) {
  const Extents e = extents("heatmap_product", f_lm, heat, f_img);
  const std::int32_t* winners =
      df_lm.defined() ? checked_winners("heatmap_product", kind, argmax, e) : nullptr;
  dispatch_floating(f_lm.dtype(), "heatmap_product", [&]<typename T>() {
    const T* f = f_lm.data<T>();
    const T* x = f_img.data<T>();
    const T* h = heat.data<T>();
    const T* g = dy.data<T>();
    T* df = df_lm.defined() ? df_lm.mutable_data<T>() : nullptr;
    T* dx = df_img.defined() ? df_img.mutable_data<T>() : nullptr;
#pragma omp parallel for schedule(static)
    for (std::int64_t i = 0; i < e.rows; ++i) {
      const T* g_row = g + i * e.img;
      const T* x_row = x + i * e.img;
      if (dx) {
        for (std::int64_t c = 0; c < e.img; ++c) dx[i * e.img + c] = h[i] * g_row[c];
      }
      if (df) {
        const T dheat = lane_sum<T>(e.img, [&](std::int64_t c) { return g_row[c] * x_row[c]; });
        row_heat_backward(f + i * e.lm, e.lm, kind, winners ? winners[i] : -1, dheat, df + i * e.lm);
      }
    }
  });
}

}  // namespace fer
