// See winograd_kernels.h. The matrices A, B and G follow from the points at which the polynomials are
// evaluated (Toom-Cook): 0, +-1, infinity for m = 2, and 0, +-a, +-b, infinity for m = 4. a = 3/4 and b = 3/2
// instead of the usual 1 and 2 halve the rounding error and cost nothing: the rows of a pair +-p share their
// even and odd parts whatever p is. A tile of 2 evaluated at 0, +-a and infinity uses the transformed weights
// of tiles of 4 at these points. They differ from its own weights only by a factor per point, so its input
// transform includes these factors.
#include "cpu/winograd_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/winograd_kernels.cpp"
#include "cpu/highway_targets.h"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace fer::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class V>
HWY_INLINE V times(float factor, V x) {
  return hn::Mul(hn::Set(hn::DFromV<V>(), factor), x);
}
// sum + factor * x
template <class V>
HWY_INLINE V plus(V sum, float factor, V x) {
  return hn::MulAdd(hn::Set(hn::DFromV<V>(), factor), x, sum);
}
// sum - factor * x
template <class V>
HWY_INLINE V minus(V sum, float factor, V x) {
  return hn::NegMulAdd(hn::Set(hn::DFromV<V>(), factor), x, sum);
}

// Calls body(tag, first channel) for each vector of channels: full vectors if their size divides the number
// of channels, else vectors of 8.
template <typename Body>
HWY_INLINE void for_vectors(std::int64_t channels, const Body& body) {
  const hn::CappedTag<float, 16> wide;
  const hn::CappedTag<float, 8> narrow;
  if (channels % 16 == 0) {
    for (std::int64_t c = 0; c < channels; c += hn::MaxLanes(wide)) body(wide, c);
  } else {
    for (std::int64_t c = 0; c < channels; c += hn::MaxLanes(narrow)) body(narrow, c);
  }
}

// One-dimensional transforms for m = 2: points 0, 1, -1, infinity.
struct Points2 {
  static constexpr Side side = Side::two;
  static constexpr int m = 2, size = 4;
  static constexpr int places[size] = {0, 1, 2, 3};  // indices of the points among those of the weights

  template <class V>
  static HWY_INLINE void input(const V (&x)[4], V (&y)[4]) {  // B^T
    y[0] = hn::Sub(x[0], x[2]);
    y[1] = hn::Add(x[1], x[2]);
    y[2] = hn::Sub(x[2], x[1]);
    y[3] = hn::Sub(x[3], x[1]);
  }
  template <class V>
  static HWY_INLINE void output(const V (&x)[4], V (&y)[2]) {  // A^T
    y[0] = hn::Add(hn::Add(x[0], x[1]), x[2]);
    y[1] = hn::Add(hn::Sub(x[1], x[2]), x[3]);
  }
  template <class V>
  static HWY_INLINE void gradient(const V (&x)[2], V (&y)[4]) {  // A
    y[0] = x[0];
    y[1] = hn::Add(x[0], x[1]);
    y[2] = hn::Sub(x[0], x[1]);
    y[3] = x[1];
  }
  template <class V>
  static HWY_INLINE void weights(const V (&x)[3], V (&y)[4]) {  // G
    const V even = times(0.5f, hn::Add(x[0], x[2])), odd = times(0.5f, x[1]);
    y[0] = x[0];
    y[1] = hn::Add(even, odd);
    y[2] = hn::Sub(even, odd);
    y[3] = x[2];
  }
  template <class V>
  static HWY_INLINE void weight_gradient(const V (&x)[4], V (&y)[3]) {  // G^T
    const V even = times(0.5f, hn::Add(x[1], x[2]));
    y[0] = hn::Add(x[0], even);
    y[1] = times(0.5f, hn::Sub(x[1], x[2]));
    y[2] = hn::Add(x[3], even);
  }
};

// One-dimensional transforms for m = 4: points 0, a, -a, b, -b, infinity.
struct Points4 {
  static constexpr Side side = Side::four;
  static constexpr int m = 4, size = 6;
  static constexpr int places[size] = {0, 1, 2, 3, 4, 5};
  static constexpr float a = 0.75f, b = 1.5f;
  static constexpr float a2 = a * a, b2 = b * b;
  // 1 / product of a point's differences from the other finite points
  static constexpr double exact_a2 = 0.75 * 0.75, exact_b2 = 1.5 * 1.5;
  static constexpr float scale_0 = static_cast<float>(1 / (exact_a2 * exact_b2));
  static constexpr float scale_a = static_cast<float>(1 / (2 * exact_a2 * (exact_a2 - exact_b2)));
  static constexpr float scale_b = static_cast<float>(1 / (2 * exact_b2 * (exact_b2 - exact_a2)));

  template <class V>
  static HWY_INLINE void input(const V (&x)[6], V (&y)[6]) {
    const V even_a = minus(x[4], b2, x[2]), odd_a = minus(x[3], b2, x[1]);
    const V even_b = minus(x[4], a2, x[2]), odd_b = minus(x[3], a2, x[1]);
    y[0] = plus(minus(x[4], a2 + b2, x[2]), a2 * b2, x[0]);
    y[1] = plus(even_a, a, odd_a);
    y[2] = minus(even_a, a, odd_a);
    y[3] = plus(even_b, b, odd_b);
    y[4] = minus(even_b, b, odd_b);
    y[5] = plus(minus(x[5], a2 + b2, x[3]), a2 * b2, x[1]);
  }
  template <class V>
  static HWY_INLINE void output(const V (&x)[6], V (&y)[4]) {
    const V sum_a = hn::Add(x[1], x[2]), difference_a = hn::Sub(x[1], x[2]);
    const V sum_b = hn::Add(x[3], x[4]), difference_b = hn::Sub(x[3], x[4]);
    y[0] = hn::Add(hn::Add(x[0], sum_a), sum_b);
    y[1] = plus(times(a, difference_a), b, difference_b);
    y[2] = plus(times(a2, sum_a), b2, sum_b);
    y[3] = plus(plus(x[5], a * a2, difference_a), b * b2, difference_b);
  }
  template <class V>
  static HWY_INLINE void gradient(const V (&x)[4], V (&y)[6]) {
    const V even_a = plus(x[0], a2, x[2]), odd_a = plus(x[1], a2, x[3]);
    const V even_b = plus(x[0], b2, x[2]), odd_b = plus(x[1], b2, x[3]);
    y[0] = x[0];
    y[1] = plus(even_a, a, odd_a);
    y[2] = minus(even_a, a, odd_a);
    y[3] = plus(even_b, b, odd_b);
    y[4] = minus(even_b, b, odd_b);
    y[5] = x[3];
  }
  template <class V>
  static HWY_INLINE void weights(const V (&x)[3], V (&y)[6]) {
    const V even_a = plus(x[0], a2, x[2]), even_b = plus(x[0], b2, x[2]);
    y[0] = times(scale_0, x[0]);
    y[1] = times(scale_a, plus(even_a, a, x[1]));
    y[2] = times(scale_a, minus(even_a, a, x[1]));
    y[3] = times(scale_b, plus(even_b, b, x[1]));
    y[4] = times(scale_b, minus(even_b, b, x[1]));
    y[5] = x[2];
  }
  template <class V>
  static HWY_INLINE void weight_gradient(const V (&x)[6], V (&y)[3]) {
    const V sum_a = times(scale_a, hn::Add(x[1], x[2])), sum_b = times(scale_b, hn::Add(x[3], x[4]));
    const V difference_a = hn::Sub(x[1], x[2]), difference_b = hn::Sub(x[3], x[4]);
    y[0] = plus(hn::Add(sum_a, sum_b), scale_0, x[0]);
    y[1] = plus(times(a * scale_a, difference_a), b * scale_b, difference_b);
    y[2] = plus(plus(x[5], a2, sum_a), b2, sum_b);
  }
};

// m = 2 with the weights of m = 4: points 0, a, -a, infinity.
struct PointsRest {
  static constexpr Side side = Side::rest;
  static constexpr int m = 2, size = 4;
  static constexpr int places[size] = {0, 1, 2, 5};
  static constexpr float a = Points4::a;
  // The rows of B^T are a^2 x[0] - x[2] and x[2] +- a x[1], with the factors 1 / a^2 and 1 / (2 a^2). These
  // factors are divided by those of Points4 at the same points.
  static constexpr double exact_a2 = Points4::exact_a2, exact_b2 = Points4::exact_b2;
  static constexpr float at_0 = static_cast<float>(exact_a2 * exact_b2);
  static constexpr float from_2 = static_cast<float>(exact_b2);
  static constexpr float at_a = static_cast<float>(exact_a2 - exact_b2);
  static constexpr float odd_at_a = static_cast<float>(0.75 * (exact_a2 - exact_b2));

  template <class V>
  static HWY_INLINE void input(const V (&x)[4], V (&y)[4]) {
    const V even = times(at_a, x[2]), odd = times(odd_at_a, x[1]);
    y[0] = minus(times(at_0, x[0]), from_2, x[2]);
    y[1] = hn::Add(even, odd);
    y[2] = hn::Sub(even, odd);
    y[3] = minus(x[3], a * a, x[1]);
  }
  template <class V>
  static HWY_INLINE void output(const V (&x)[4], V (&y)[2]) {
    y[0] = hn::Add(hn::Add(x[0], x[1]), x[2]);
    y[1] = plus(x[3], a, hn::Sub(x[1], x[2]));
  }
  template <class V>
  static HWY_INLINE void gradient(const V (&x)[2], V (&y)[4]) {
    y[0] = x[0];
    y[1] = plus(x[0], a, x[1]);
    y[2] = minus(x[0], a, x[1]);
    y[3] = x[1];
  }
};

// Applies a one-dimensional transform to the columns of an in_h x in_w matrix, and then another to its rows.
template <int in_h, int in_w, int out_h, int out_w, class D, typename Load, typename Columns, typename Rows,
          typename Store>
HWY_INLINE void both_ways(D d, const Load& load, const Columns& columns, const Rows& rows,
                          const Store& store) {
  using V = hn::Vec<D>;
  constexpr std::size_t lanes = hn::MaxLanes(D());
  // Deliberately kept in memory: otherwise the compiler spills far more values to the stack.
  HWY_ALIGN float half[out_h * in_w * lanes];
#pragma GCC unroll 6
  for (int j = 0; j < in_w; ++j) {
    V x[in_h], y[out_h];
#pragma GCC unroll 6
    for (int i = 0; i < in_h; ++i) x[i] = load(i, j);
    columns(x, y);
#pragma GCC unroll 6
    for (int i = 0; i < out_h; ++i) hn::Store(y[i], d, half + (i * in_w + j) * lanes);
  }
#pragma GCC unroll 6
  for (int i = 0; i < out_h; ++i) {
    V x[in_w], y[out_w];
#pragma GCC unroll 6
    for (int j = 0; j < in_w; ++j) x[j] = hn::Load(d, half + (i * in_w + j) * lanes);
    rows(x, y);
#pragma GCC unroll 6
    for (int j = 0; j < out_w; ++j) store(i, j, y[j]);
  }
}

HWY_INLINE std::int64_t place(const TransformedTile& to, std::int64_t c) {
  return c / to.width * to.block_pitch + c % to.width;
}

// Point (i, j) of a tile. Most tiles are square and need no lookup.
template <class H, class W, typename T>
HWY_INLINE T* point(const TilePoints<T>& points, int i, int j) {
  constexpr bool all = H::side == W::side && H::side != Side::rest;
  const int k = i * W::size + j;
  if constexpr (all) return points.data + k * points.pitch;
  return points.data + points.offsets[k];
}

constexpr std::int64_t kLine = 16;  // floats of a cache line

// The tile to the right begins m pixels further. Its columns that this tile does not have are prefetched
// while this tile is transformed, because the hardware does not detect the pattern. Prefetching an address
// beyond the map is harmless.
template <class H, class W>
HWY_INLINE void prefetch_next(const float* const* pixels, std::int64_t channels, std::int64_t c) {
#pragma GCC unroll 6
  for (int i = 0; i < H::size; ++i)
#pragma GCC unroll 6
    for (int j = 2; j < W::size; ++j) hwy::Prefetch(pixels[i * W::size + j] + W::m * channels + c);
}

template <class H, class W>
void input(const float* const* pixels, std::int64_t channels, const TransformedTile& to) {
  for_vectors(channels, [&](auto d, std::int64_t c) HWY_ATTR {
    const std::int64_t at = place(to, c);
    if (c % kLine == 0) prefetch_next<H, W>(pixels, channels, c);
    both_ways<H::size, W::size, H::size, W::size>(
        d, [&](int i, int j) HWY_ATTR { return hn::LoadU(d, pixels[i * W::size + j] + c); },
        [](const auto& x, auto& y) HWY_ATTR { H::input(x, y); },
        [](const auto& x, auto& y) HWY_ATTR { W::input(x, y); },
        [&](int i, int j, auto y) HWY_ATTR { hn::Store(y, d, point<H, W>(to.points, i, j) + at); });
  });
}

template <class H, class W>
void gradient(const float* const* pixels, std::int64_t channels, const TransformedTile& to) {
  for_vectors(channels, [&](auto d, std::int64_t c) HWY_ATTR {
    const std::int64_t at = place(to, c);
    both_ways<H::m, W::m, H::size, W::size>(
        d, [&](int i, int j) HWY_ATTR { return hn::LoadU(d, pixels[i * W::m + j] + c); },
        [](const auto& x, auto& y) HWY_ATTR { H::gradient(x, y); },
        [](const auto& x, auto& y) HWY_ATTR { W::gradient(x, y); },
        [&](int i, int j, auto y) HWY_ATTR { hn::Store(y, d, point<H, W>(to.points, i, j) + at); });
  });
}

template <class H, class W, bool sloped, bool added>
HWY_INLINE void output_with(const TilePoints<const float>& from, std::int64_t channels,
                            const TileEpilogue& epilogue, float* const* pixels) {
  for_vectors(channels, [&](auto d, std::int64_t c) HWY_ATTR {
    const auto offset = epilogue.bias ? hn::LoadU(d, epilogue.bias + c) : hn::Zero(d);
    auto slope = offset;
    if constexpr (sloped) slope = hn::LoadU(d, epilogue.slope + c);
    both_ways<H::size, W::size, H::m, W::m>(
        d, [&](int i, int j) HWY_ATTR { return hn::Load(d, point<H, W>(from, i, j) + c); },
        [](const auto& x, auto& y) HWY_ATTR { H::output(x, y); },
        [](const auto& x, auto& y) HWY_ATTR { W::output(x, y); },
        [&](int i, int j, auto y) HWY_ATTR {
          y = hn::Add(y, offset);
          if constexpr (sloped) y = hn::IfThenElse(hn::Gt(y, hn::Zero(d)), y, hn::Mul(y, slope));
          if constexpr (added) y = hn::Add(y, hn::LoadU(d, epilogue.residual[i * W::m + j] + c));
          hn::StoreU(y, d, pixels[i * W::m + j] + c);
        });
  });
}

template <class H, class W>
void output(const TilePoints<const float>& from, std::int64_t channels, const TileEpilogue& epilogue,
            float* const* pixels) {
  if (epilogue.slope && epilogue.residual)
    return output_with<H, W, true, true>(from, channels, epilogue, pixels);
  if (epilogue.slope) return output_with<H, W, true, false>(from, channels, epilogue, pixels);
  if (epilogue.residual) return output_with<H, W, false, true>(from, channels, epilogue, pixels);
  output_with<H, W, false, false>(from, channels, epilogue, pixels);
}

template <class P>
void weights(const float* g, std::int64_t tap_pitch, std::int64_t count, float* u, std::int64_t point_pitch) {
  for_vectors(count, [&](auto d, std::int64_t c) HWY_ATTR {
    const auto transform = [](const auto& x, auto& y) HWY_ATTR { P::weights(x, y); };
    both_ways<3, 3, P::size, P::size>(
        d, [&](int i, int j) HWY_ATTR { return hn::LoadU(d, g + (i * 3 + j) * tap_pitch + c); }, transform,
        transform,
        [&](int i, int j, auto y) HWY_ATTR { hn::StoreU(y, d, u + (i * P::size + j) * point_pitch + c); });
  });
}

template <class P>
void weight_gradient(const float* s, std::int64_t point_pitch, std::int64_t channels, float* dg,
                     std::int64_t tap_pitch) {
  for_vectors(channels, [&](auto d, std::int64_t c) HWY_ATTR {
    const auto transform = [](const auto& x, auto& y) HWY_ATTR { P::weight_gradient(x, y); };
    both_ways<P::size, P::size, 3, 3>(
        d, [&](int i, int j) HWY_ATTR { return hn::LoadU(d, s + (i * P::size + j) * point_pitch + c); },
        transform, transform,
        [&](int i, int j, auto y) HWY_ATTR { hn::StoreU(y, d, dg + (i * 3 + j) * tap_pitch + c); });
  });
}

// side: the side of the square tile that the weights are for.
template <class H, class W>
TileKernels kernels_of_tile(int side) {
  TileKernels kernels{H::side, W::side, {}, &input<H, W>, &gradient<H, W>, &output<H, W>};
  for (int i = 0; i < H::size; ++i)
    for (int j = 0; j < W::size; ++j)
      kernels.points[i * W::size + j] = static_cast<std::int8_t>(H::places[i] * side + W::places[j]);
  return kernels;
}

const TileKernels* all_tile_kernels() {
  static const TileKernels kernels[] = {
      kernels_of_tile<Points2, Points2>(4), kernels_of_tile<Points4, Points4>(6),
      kernels_of_tile<Points4, PointsRest>(6), kernels_of_tile<PointsRest, Points4>(6),
      kernels_of_tile<PointsRest, PointsRest>(6)};
  return kernels;
}
const WeightKernels* all_weight_kernels() {
  static const WeightKernels kernels[] = {{&weights<Points2>, &weight_gradient<Points2>},
                                          {&weights<Points4>, &weight_gradient<Points4>}};
  return kernels;
}

}  // namespace fer::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fer::detail {

HWY_EXPORT(all_tile_kernels);
HWY_EXPORT(all_weight_kernels);

const TileKernels& tile_kernels(Side height, Side width) {
  static const TileKernels* all = HWY_DYNAMIC_DISPATCH(all_tile_kernels)();
  if (height == Side::two) return all[0];
  return all[1 + 2 * (height == Side::rest) + (width == Side::rest)];
}

const WeightKernels& weight_kernels(int m) {
  static const WeightKernels* all = HWY_DYNAMIC_DISPATCH(all_weight_kernels)();
  return all[m == 4];
}

}  // namespace fer::detail
#endif
