// The heat map over the channels of f_lm and its product with f_img (Eq. 1 and rows 2 and 3 of Table 4), in
// one kernel, position by position:
//   heat = max_c f, sum_c f or sum_c |f|;   y = heat * f_img.
// Gradient contract: df_img = heat dy;  dheat = sum_c dy f_img;  df_lm = dheat at the saved arg-max (max),
// dheat everywhere (sum), or dheat sign(f) with sign(0) = 0 (abs_sum).
//
// Each position is handled by a group of 4 to 32 lanes of a warp: as many as its longer row of channels has
// 16-byte pieces. So neighbouring lanes read and write neighbouring pieces, and none is idle for long. Each
// lane reduces its pieces and a butterfly within the group gives every lane the heat. The lanes then compute
// the product, so the heat map does not go through memory first. Rows that are not whole aligned pieces go
// element by element. The order of a sum depends only on the number of channels.
// Floor: the bytes, with each map read once and y written once. A position is 4 (Cl + 2 Ci + 2) bytes forward
// in float. Backward with a frozen f_lm reads dy and writes df_img, 8 Ci. With the maximum, f_lm is not read.
#include "cuda/device_backend.h"
#include "cuda/pointwise.h"

namespace fer::FER_DEVICE_NAMESPACE {
namespace {

constexpr int threads = 128;

/// Rows of channels in pieces of `size` elements, distributed over the lanes of a group.
struct Rows {
  index_t count;  ///< positions
  int lm, img;    ///< channels of f_lm and of f_img (0: there is none)
  int lanes;      ///< of a group, a power of two

  /// This thread's position. For the last threads it may be `count` or more.
  __device__ __forceinline__ index_t position() const { return first_item() / lanes; }
  __device__ __forceinline__ int lane() const { return static_cast<int>(threadIdx.x) & (lanes - 1); }
};

/// `size` neighbours of a row: 16 bytes, or a single element.
template <typename S, int size>
using Piece = Pack<S, size>;

/// f(first channel, piece) for this lane's pieces of a row.
template <int size, typename S, typename F>
__device__ __forceinline__ void for_pieces(const Rows& rows, const S* row, int channels, const F& f) {
  for (int c = rows.lane() * size; c < channels; c += rows.lanes * size) {
    f(c, *reinterpret_cast<const Piece<S, size>*>(row + c));
  }
}

template <int size, typename S>
__device__ __forceinline__ void store(S* to, const Piece<S, size>& piece) {
  *reinterpret_cast<Piece<S, size>*>(to) = piece;
}

/// The sum over the lanes of a group; all of them get it. All lanes of the warp must call.
template <typename T>
__device__ __forceinline__ T group_sum(const Rows& rows, T value) {
  for (int offset = rows.lanes / 2; offset > 0; offset /= 2) {
    value += __shfl_xor_sync(full_warp, value, offset);
  }
  return value;
}

/// A maximum and the first channel that has it. A NaN wins, so that it is not lost.
template <typename T>
struct Best {
  T value;
  int channel;

  __device__ __forceinline__ bool yields_to(T v, int c) const {
    if (value != value) return v != v && c < channel;
    return v != v || v > value || (v == value && c < channel);
  }
  __device__ __forceinline__ void meet(T v, int c) {
    if (!yields_to(v, c)) return;
    value = v;
    channel = c;
  }
};

/// Returns the heat of a position to all lanes of its group. Sets its arg-max, -1 unless the kind is max.
template <int size, typename S>
__device__ __forceinline__ Wide<S> heat_of(const Rows& rows, const S* f, HeatmapKind kind, int& winner) {
  using T = Wide<S>;
  winner = -1;
  if (kind == HeatmapKind::max) {
    Best<T> best{gpu::lowest<T>(), 0x7fffffff};
    for_pieces<size>(rows, f, rows.lm, [&](int c, const Piece<S, size>& x) {
      FER_UNROLL
      for (int j = 0; j < size; ++j) best.meet(widen(x.v[j]), c + j);
    });
    for (int offset = rows.lanes / 2; offset > 0; offset /= 2) {
      const T value = __shfl_xor_sync(full_warp, best.value, offset);
      best.meet(value, __shfl_xor_sync(full_warp, best.channel, offset));
    }
    winner = best.channel;
    return best.value;
  }
  const bool absolute = kind == HeatmapKind::abs_sum;
  T sum = 0;
  for_pieces<size>(rows, f, rows.lm, [&](int, const Piece<S, size>& x) {
    FER_UNROLL
    for (int j = 0; j < size; ++j) sum += absolute ? gpu::abs(widen(x.v[j])) : widen(x.v[j]);
  });
  return group_sum(rows, sum);
}

/// The gradient of a position's channels. f is read only for abs_sum.
template <int size, typename S>
__device__ __forceinline__ void heat_backward(const Rows& rows, const S* f, HeatmapKind kind, int winner,
                                              Wide<S> dheat, S* df) {
  using T = Wide<S>;
  for (int c = rows.lane() * size; c < rows.lm; c += rows.lanes * size) {
    Piece<S, size> x{}, d{};
    if (kind == HeatmapKind::abs_sum) x = *reinterpret_cast<const Piece<S, size>*>(f + c);
    FER_UNROLL
    for (int j = 0; j < size; ++j) {
      const T v = widen(x.v[j]);
      T dv = 0;
      switch (kind) {
        case HeatmapKind::max:
          dv = c + j == winner ? dheat : T(0);
          break;
        case HeatmapKind::sum:
          dv = dheat;
          break;
        case HeatmapKind::abs_sum:
          dv = v > T(0) ? dheat : v < T(0) ? -dheat : dheat * v;
          break;
      }
      d.v[j] = narrow<S>(dv);
    }
    store<size>(df + c, d);
  }
}

/// f_img and y are null if only the heat map is needed; argmax may be null.
template <int size, typename S>
__global__ void heatmap_kernel(const S* f_lm, const S* f_img, Rows rows, HeatmapKind kind, S* y, S* heat,
                               std::int32_t* argmax) {
  const index_t i = rows.position();
  const bool inside = i < rows.count;
  int winner;
  // Lanes beyond the end reduce the last position again: all lanes of a warp must take part.
  const S heat_here =
      narrow<S>(heat_of<size>(rows, f_lm + (inside ? i : rows.count - 1) * rows.lm, kind, winner));
  const Wide<S> value = widen(heat_here);  // the rounded value, which backward reads
  if (!inside) return;
  if (rows.lane() == 0) {
    heat[i] = heat_here;
    if (argmax != nullptr) argmax[i] = winner;
  }
  for_pieces<size>(rows, f_img + i * rows.img, rows.img, [&](int c, Piece<S, size> x) {
    FER_UNROLL
    for (int j = 0; j < size; ++j) x.v[j] = narrow<S>(widen(x.v[j]) * value);
    store<size>(y + i * rows.img + c, x);
  });
}

template <int size, typename S>
__global__ void heatmap_backward_kernel(const S* f_lm, const std::int32_t* argmax, Rows rows,
                                        HeatmapKind kind, const S* dheat, S* df_lm) {
  const index_t i = rows.position();
  if (i >= rows.count) return;
  heat_backward<size>(rows, f_lm + i * rows.lm, kind, argmax != nullptr ? argmax[i] : -1, widen(dheat[i]),
                      df_lm + i * rows.lm);
}

/// df_lm and df_img may be null. f_lm (abs_sum), f_img and argmax (max) are read only for df_lm.
template <int size, typename S>
__global__ void heatmap_product_backward_kernel(const S* f_lm, const S* f_img, const S* heat,
                                                const std::int32_t* argmax, Rows rows, HeatmapKind kind,
                                                const S* dy, S* df_lm, S* df_img) {
  using T = Wide<S>;
  const index_t position = rows.position();
  const bool inside = position < rows.count;
  const index_t i = inside ? position : rows.count - 1;
  const T value = df_img != nullptr ? widen(heat[i]) : T(0);
  T dheat = 0;
  for_pieces<size>(rows, dy + i * rows.img, rows.img, [&](int c, const Piece<S, size>& g) {
    if (df_lm != nullptr) {
      const auto x = *reinterpret_cast<const Piece<S, size>*>(f_img + i * rows.img + c);
      FER_UNROLL
      for (int j = 0; j < size; ++j) dheat += widen(g.v[j]) * widen(x.v[j]);
    }
    if (df_img == nullptr || !inside) return;
    Piece<S, size> d;
    FER_UNROLL
    for (int j = 0; j < size; ++j) d.v[j] = narrow<S>(value * widen(g.v[j]));
    store<size>(df_img + i * rows.img + c, d);
  });
  if (df_lm == nullptr) return;
  dheat = group_sum(rows, dheat);
  if (!inside) return;
  heat_backward<size>(rows, f_lm + i * rows.lm, kind, argmax != nullptr ? argmax[i] : -1, dheat,
                      df_lm + i * rows.lm);
}

Rows checked_rows(const char* op, const Tensor& f_lm, const Tensor& heat, const Tensor& f_img) {
  require<ShapeError>(f_lm.rank() >= 1 && f_lm.shape().channels() > 0 && heat.numel() == f_lm.shape().rows(),
                      "[", op, "] f_lm ", f_lm.shape(), " does not fit the heat map ", heat.shape());
  Rows rows{heat.numel(), static_cast<int>(f_lm.shape().channels()), 0, 1};
  if (f_img.defined()) {
    require<ShapeError>(f_img.shape().rows() == heat.numel(), "[", op, "] f_img ", f_img.shape(),
                        " does not fit the heat map ", heat.shape());
    rows.img = static_cast<int>(f_img.shape().channels());
  }
  return rows;
}

/// Null if the kind needs no arg-max.
const std::int32_t* saved_winners(const char* op, HeatmapKind kind, const Tensor& argmax, index_t rows) {
  if (kind != HeatmapKind::max) return nullptr;
  require<ShapeError>(argmax.defined() && argmax.numel() == rows, "[", op,
                      "] the maximum needs the argmax of its forward pass, ", rows, " elements");
  return argmax.data<std::int32_t>();
}

std::int32_t* winners_to_save(const char* op, HeatmapKind kind, Tensor& argmax, index_t rows) {
  require<ShapeError>(argmax.defined() ? argmax.numel() == rows : kind != HeatmapKind::max, "[", op,
                      "] the maximum needs an argmax of ", rows, " elements");
  return mutable_data_or_null<std::int32_t>(argmax);
}

/// Calls launch.operator()<size>(rows, blocks) with pieces as large as channels and pointers allow.
template <typename S, typename Launch>
void dispatch_pieces(Rows rows, std::initializer_list<const S*> pointers, const Launch& launch) {
  if (rows.count == 0) return;
  constexpr int whole = Packet<S>::size;
  bool aligned = rows.lm % whole == 0 && rows.img % whole == 0;
  for (const S* p : pointers) aligned = aligned && reinterpret_cast<std::uintptr_t>(p) % 16 == 0;
  const int pieces = std::max(rows.lm, rows.img) / (aligned ? whole : 1);
  for (rows.lanes = 4; rows.lanes < 32 && rows.lanes < pieces;) rows.lanes *= 2;
  const auto blocks = static_cast<unsigned>(ceil_div(rows.count, threads / rows.lanes));
  if (aligned) {
    launch.template operator()<whole>(rows, blocks);
  } else {
    launch.template operator()<1>(rows, blocks);
  }
}

}  // namespace

void DeviceBackend::heatmap_forward(const Tensor& f_lm, HeatmapKind kind, Tensor& heat, Tensor& argmax) {
  const Rows all = checked_rows("heatmap", f_lm, heat, {});
  std::int32_t* winners = winners_to_save("heatmap", kind, argmax, all.count);
  dispatch_stored(f_lm.dtype(), "heatmap", [&]<typename S>() {
    const S* f = stored<S>(f_lm);
    S* h = mutable_stored<S>(heat);
    dispatch_pieces<S>(all, {f}, [&]<int size>(const Rows& rows, unsigned blocks) {
      gpu::launch(heatmap_kernel<size, S>, blocks, threads, 0, stream_, f, nullptr, rows, kind, nullptr, h,
                  winners);
    });
  });
}

void DeviceBackend::heatmap_backward(const Tensor& f_lm, const Tensor& argmax, HeatmapKind kind,
                                     const Tensor& dheat, Tensor& df_lm) {
  const Rows all = checked_rows("heatmap", f_lm, dheat, {});
  const std::int32_t* winners = saved_winners("heatmap", kind, argmax, all.count);
  require_size("heatmap", "df_lm", df_lm, f_lm.numel());
  dispatch_stored(f_lm.dtype(), "heatmap", [&]<typename S>() {
    const S *f = stored<S>(f_lm), *g = stored<S>(dheat);
    S* df = mutable_stored<S>(df_lm);
    dispatch_pieces<S>(all, {f, df}, [&]<int size>(const Rows& rows, unsigned blocks) {
      gpu::launch(heatmap_backward_kernel<size, S>, blocks, threads, 0, stream_, f, winners, rows, kind, g,
                  df);
    });
  });
}

void DeviceBackend::heatmap_product_forward(const Tensor& f_lm, const Tensor& f_img, HeatmapKind kind,
                                            Tensor& y, Tensor& heat, Tensor& argmax) {
  const Rows all = checked_rows("heatmap_product", f_lm, heat, f_img);
  std::int32_t* winners = winners_to_save("heatmap_product", kind, argmax, all.count);
  require_size("heatmap_product", "y", y, f_img.numel());
  dispatch_stored(f_lm.dtype(), "heatmap_product", [&]<typename S>() {
    const S *f = stored<S>(f_lm), *x = stored<S>(f_img);
    S *out = mutable_stored<S>(y), *h = mutable_stored<S>(heat);
    dispatch_pieces<S>(all, {f, x, out}, [&]<int size>(const Rows& rows, unsigned blocks) {
      gpu::launch(heatmap_kernel<size, S>, blocks, threads, 0, stream_, f, x, rows, kind, out, h, winners);
    });
  });
}

void DeviceBackend::heatmap_product_backward(const Tensor& f_lm, const Tensor& f_img, const Tensor& heat,
                                             const Tensor& argmax, HeatmapKind kind, const Tensor& dy,
                                             Tensor& df_lm, Tensor& df_img) {
  Rows all = checked_rows("heatmap_product", f_lm, heat, f_img);
  if (!df_lm.defined()) all.lm = 0;  // f_lm is not accessed, so its channels must not affect the piece size
  const std::int32_t* winners =
      df_lm.defined() ? saved_winners("heatmap_product", kind, argmax, all.count) : nullptr;
  require_size("heatmap_product", "dy", dy, f_img.numel());
  if (df_lm.defined()) require_size("heatmap_product", "df_lm", df_lm, f_lm.numel());
  if (df_img.defined()) require_size("heatmap_product", "df_img", df_img, f_img.numel());
  if (!df_lm.defined() && !df_img.defined()) return;
  dispatch_stored(f_lm.dtype(), "heatmap_product", [&]<typename S>() {
    const S *f = stored<S>(f_lm), *x = stored<S>(f_img), *h = stored<S>(heat), *g = stored<S>(dy);
    S *df = mutable_stored_or_null<S>(df_lm), *dx = mutable_stored_or_null<S>(df_img);
    dispatch_pieces<S>(all, {f, x, g, df, dx}, [&]<int size>(const Rows& rows, unsigned blocks) {
      gpu::launch(heatmap_product_backward_kernel<size, S>, blocks, threads, 0, stream_, f, x, h, winners,
                  rows, kind, g, df, dx);
    });
  });
}

}  // namespace fer::FER_DEVICE_NAMESPACE
