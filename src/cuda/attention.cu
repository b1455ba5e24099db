// Multi-head attention (Eq. 4) of N x T x D tensors, fused: no Tq x Tk matrix in global memory. Heads are at
// most 128 wide; the numbers of queries and keys may differ. Gradient contract: backward recomputes the
// scores from q and k, and needs y and log_sum_exp. With s = 1 / sqrt(head width):
//   Forward, for a tile of queries, over tiles of keys (online softmax: Milakov and Gimelshein 2018; fused:
//   Dao et al. 2022):
//     S = (s Q) K^T;  m' = max(m, max S);  P = exp(S - m');  sum = sum exp(m - m') + rowsum P;
//     O = O exp(m - m') + P V;      at the end  y = O / sum,  log_sum_exp = m + log sum.
//   Backward, with delta = rowsum(dy y):
//     P = exp(S - log_sum_exp);  dS = P (dY V^T - delta);
//     dQ = s dS K  (first pass, one block per tile of queries);
//     dV = P^T dY,  dK = dS^T (s Q)  (second pass, one block per tile of keys).
//   Each output has one owner that adds in a fixed order, so results are deterministic without atomics. The
//   price is that S and dY V^T are computed twice: 7 products of Tq x Tk x width instead of 5.
// A bias is added to S, and a masked score becomes -infinity. Each thread reads both for its own scores, without
// shared memory. The gradient of the bias is dS, which the dq kernel has in registers. It writes dS only if the
// bias needs a gradient, and sum_to adds up what was broadcast; that is the only N x heads x Tq x Tk tensor here.
// A query without a finite score has m = -infinity, which is not subtracted, and a sum of 0. Its y is 0 and its
// log_sum_exp +infinity, so that its weights are 0 in backward.
//
// A block of 256 threads handles 64 queries or keys (32 in double) of one head. Their tile stays in shared
// memory, and the tiles of the other side pass through shared memory one after another. attention_tile.h
// computes the products. One row of a head is a contiguous piece of a row of D. It is read in packets of 16
// bytes (8 in bf16), neighbouring packets in neighbouring lanes. Copies are asynchronous, except in bf16:
// forward loads V while it computes S, and the next K while it computes P V.
// The table lists KiB of shared memory per block. If a GPU has less (99 on compute capability 8.6, 8.9 and
// 12.0), a tile of wide heads has half the rows; forward and backward decide separately.
//   width          rows, float   forward  backward      rows, double   forward  backward
//   up to 64            64          68       85              32           58       75
//   up to 128           64         116      149              32          106      139
//                       32          54       71              16           51       68
// Floor forward: 4 Tq Tk D operations and heads Tq Tk exponentials per batch element. q and y move once, k
// and v once per tile of queries. Arithmetic is the bound except for a single query.
#include <cmath>

#include "cuda/attention_tile.h"
#include "cuda/device_backend.h"
#include "cuda/op_support.h"
#include "tensor/operand_checks.h"
#include "tensor/score_operand.h"

namespace fer::FER_DEVICE_NAMESPACE {
namespace {

constexpr int greatest_width = 128;
constexpr int forward_tiles = 3, backward_tiles = 4;  ///< in shared memory at once
constexpr std::size_t least_shared = 99 * 1024;  ///< every GPU of compute capability 8.0 or later has this

template <typename S>
struct Problem {
  using T = Wide<S>;
  const S *q, *k, *v;
  index_t batch;
  int queries, keys, heads, width;
  T scale;                          ///< 1 / sqrt(width)
  bool packed;                      ///< rows of heads are aligned to packets and consist of whole packets
  ScoreOperand<T> bias;             ///< added to the scores
  ScoreOperand<std::uint8_t> mask;  ///< 0: the score is -infinity

  /// Whether scores are changed before the softmax, perhaps to -infinity.
  __device__ __forceinline__ bool biased() const { return bias.data != nullptr || mask.data != nullptr; }
  __device__ __forceinline__ index_t dim() const { return index_t{heads} * width; }
};

/// The part that a block works on: tile `tile` of head `head` of batch element `batch`.
template <typename S>
struct Place {
  index_t batch;
  int head, tile;

  __device__ __forceinline__ Place(const Problem<S>& a, int tiles) {
    tile = static_cast<int>(blockIdx.x % static_cast<unsigned>(tiles));
    const unsigned rest = blockIdx.x / static_cast<unsigned>(tiles);
    head = static_cast<int>(rest % static_cast<unsigned>(a.heads));
    batch = rest / static_cast<unsigned>(a.heads);
  }
  /// Rows from `first` on of this head in a tensor with `count` rows per batch element.
  template <typename U>
  __device__ __forceinline__ HeadRows<U> rows(const Problem<S>& a, U* data, int count, int first) const {
    return {data + (batch * count + first) * a.dim() + head * a.width, a.dim(), count - first, a.width,
            a.packed};
  }
  /// A score with bias and mask.
  __device__ __forceinline__ Wide<S> biased(const Problem<S>& a, int query, int key, Wide<S> score) const {
    if (a.bias.data != nullptr) score += *a.bias.at(batch, head, query, key);
    const bool seen = a.mask.data == nullptr || *a.mask.at(batch, head, query, key) != 0;
    return seen ? score : gpu::lowest<Wide<S>>();
  }
  /// The index of this head's first query in a tensor N x heads x Tq.
  __device__ __forceinline__ index_t statistics(const Problem<S>& a) const {
    return (batch * a.heads + head) * a.queries;
  }
};

__device__ __forceinline__ int thread_x() {
  return static_cast<int>(threadIdx.x);
}
__device__ __forceinline__ int thread_y() {
  return static_cast<int>(threadIdx.y);
}

/// Combines the values of the 16 threads of a row; all of them get the result.
template <typename T, typename Combine>
__device__ __forceinline__ T row_reduce(T value, Combine combine) {
  FER_UNROLL
  for (int offset = tile_side / 2; offset > 0; offset /= 2) {
    value = combine(value, __shfl_xor_sync(full_warp, value, offset));
  }
  return value;
}

/// Applies bias and mask to the thread's scores. Rows are queries from `query` on and columns are keys from `key`
/// on, or the reverse if `transposed`. Scores beyond the last query or key stay unchanged.
template <typename Shape, bool transposed, typename S>
__device__ __forceinline__ void bias_scores(const Problem<S>& a, const Place<S>& place, int query, int key,
                                            typename Shape::Scores& s) {
  FER_UNROLL
  for (int i = 0; i < Shape::per_thread; ++i) {
    FER_UNROLL
    for (int j = 0; j < Shape::per_thread; ++j) {
      const int row = thread_y() + i * tile_side, column = thread_x() + j * tile_side;
      const int at_query = query + (transposed ? column : row), at_key = key + (transposed ? row : column);
      if (at_query < a.queries && at_key < a.keys) s[i][j] = place.biased(a, at_query, at_key, s[i][j]);
    }
  }
}

/// One step of the online softmax: turns the scores of `keys` keys into weights and rescales earlier sums.
/// biased: a maximum may be -infinity.
template <typename Shape, typename T>
__device__ __forceinline__ void softmax_step(int keys, bool biased, typename Shape::Scores& s, T* max, T* sum,
                                             typename Shape::Columns& o) {
  FER_UNROLL
  for (int i = 0; i < Shape::per_thread; ++i) {
    T top = max[i];
    FER_UNROLL
    for (int j = 0; j < Shape::per_thread; ++j) {
      if (thread_x() + j * tile_side >= keys) s[i][j] = gpu::lowest<T>();
      top = gpu::max(top, s[i][j]);
    }
    top = row_reduce(top, MaxOf{});
    const T shift = biased && top == gpu::lowest<T>() ? T(0) : top;
    const T factor = gpu::exp(max[i] - shift);  // 0 at the first step, where max is -inf
    sum[i] *= factor;
    FER_UNROLL
    for (int j = 0; j < Shape::per_thread; ++j) {
      s[i][j] = gpu::exp(s[i][j] - shift);
      sum[i] += s[i][j];
    }
    FER_UNROLL
    for (int p = 0; p < Shape::packets; ++p) {
      FER_UNROLL
      for (int f = 0; f < Shape::packet; ++f) o[i][p].v[f] *= factor;
    }
    max[i] = top;
  }
}

/// One block per tile of queries.
template <typename S, typename Shape>
__global__ void __launch_bounds__(tile_threads, Shape::blocks_at_once)
    attention_kernel(const Problem<S> a, int tiles, S* y, Wide<S>* log_sum_exp) {
  using T = Wide<S>;
  FER_DYNAMIC_SHARED(T, shared);
  T *const q = shared, *const k = q + Shape::size, *const v = k + Shape::size,
           *const weights = v + Shape::size;
  const Place<S> place(a, tiles);
  const int first = place.tile * Shape::rows;
  const bool busy = first + thread_y() < a.queries;  // at least one of this thread's rows exists

  load_async<Shape>(k, place.rows(a, a.k, a.keys, 0));
  cp_async_commit();
  load_scaled<Shape>(q, place.rows(a, a.q, a.queries, first), a.scale);

  T max[Shape::per_thread], sum[Shape::per_thread] = {};
  typename Shape::Columns o = {};
  FER_UNROLL
  for (int i = 0; i < Shape::per_thread; ++i) max[i] = gpu::lowest<T>();

  for (int key = 0; key < a.keys; key += Shape::rows) {
    const int keys = gpu::min(Shape::rows, a.keys - key);
    load_async<Shape>(v, place.rows(a, a.v, a.keys, key));
    cp_async_commit();
    cp_async_wait<1>();
    __syncthreads();  // K has arrived
    typename Shape::Scores s = {};
    if (busy) multiply_transposed<Shape>(q, k, a.width, s);
    if (a.biased()) bias_scores<Shape, false>(a, place, first, key, s);
    __syncthreads();  // K is free for the next tile
    if (key + Shape::rows < a.keys) {
      load_async<Shape>(k, place.rows(a, a.k, a.keys, key + Shape::rows));
    }
    cp_async_commit();
    softmax_step<Shape>(keys, a.biased(), s, max, sum, o);
    store_scores<Shape>(s, weights);
    cp_async_wait<1>();
    __syncthreads();  // V and the weights have arrived
    if (busy) multiply_add<Shape>(weights, v, keys, a.width, o);
    __syncthreads();  // V is free for the next tile
  }

  FER_UNROLL
  for (int i = 0; i < Shape::per_thread; ++i) {
    sum[i] = row_reduce(sum[i], SumOf{});
    const int query = first + thread_y() + i * tile_side;
    if (thread_x() == 0 && query < a.queries) {
      log_sum_exp[place.statistics(a) + query] =
          sum[i] == T(0) ? gpu::infinity<T>() : max[i] + gpu::log(sum[i]);
    }
  }
  store_columns<Shape>(o, place.rows(a, y, a.queries, first),
                       [&](int i) { return sum[i] == T(0) ? T(0) : T(1) / sum[i]; });
}

/// delta = rowsum(dy y) of each query and head. 16 lanes share a head's row; neighbouring lanes read
/// neighbouring elements.
template <typename S>
__global__ void attention_delta_kernel(const S* y, const S* dy, index_t rows, int queries, int heads,
                                       int width, Wide<S>* delta) {
  const index_t row = first_item() / tile_side;  // of (batch, query, head)
  const S* y_row = y + row * width;
  const S* dy_row = dy + row * width;
  Wide<S> sum = 0;
  for (int w = static_cast<int>(threadIdx.x) % tile_side; row < rows && w < width; w += tile_side) {
    sum = gpu::fma(widen(dy_row[w]), widen(y_row[w]), sum);
  }
  sum = row_reduce(sum, SumOf{});
  if (row >= rows || threadIdx.x % tile_side != 0) return;
  const index_t head = row % heads, query = row / heads % queries, batch = row / heads / queries;
  delta[(batch * heads + head) * queries + query] = sum;
}

/// The other inputs of backward.
template <typename S>
struct Saved {
  const Wide<S>*log_sum_exp, *delta;
  const S* dy;
};

/// dq: one block per tile of queries; loops over tiles of keys and values. dscores: N x heads x Tq x Tk or null.
template <typename S, typename Shape>
__global__ void __launch_bounds__(tile_threads, Shape::blocks_at_once)
    attention_dq_kernel(const Problem<S> a, const Saved<S> saved, int tiles, S* dq, Wide<S>* dscores) {
  using T = Wide<S>;
  FER_DYNAMIC_SHARED(T, shared);
  T *const q = shared, *const dy = q + Shape::size, *const k = dy + Shape::size, *const v = k + Shape::size,
           *const ds = v + Shape::size;
  const Place<S> place(a, tiles);
  const int first = place.tile * Shape::rows;
  const bool busy = first + thread_y() < a.queries;

  load_async<Shape>(dy, place.rows(a, saved.dy, a.queries, first));
  load_scaled<Shape>(q, place.rows(a, a.q, a.queries, first), a.scale);
  T log_sum_exp[Shape::per_thread], delta[Shape::per_thread];
  FER_UNROLL
  for (int i = 0; i < Shape::per_thread; ++i) {
    const int query = first + thread_y() + i * tile_side;
    const bool exists = query < a.queries;
    log_sum_exp[i] = exists ? saved.log_sum_exp[place.statistics(a) + query] : T(0);
    delta[i] = exists ? saved.delta[place.statistics(a) + query] : T(0);
  }
  typename Shape::Columns sums = {};

  for (int key = 0; key < a.keys; key += Shape::rows) {
    const int keys = gpu::min(Shape::rows, a.keys - key);
    load_async<Shape>(k, place.rows(a, a.k, a.keys, key));
    load_async<Shape>(v, place.rows(a, a.v, a.keys, key));
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
    if (busy) {
      typename Shape::Scores s, dp;
      multiply_transposed<Shape>(q, k, a.width, s);
      if (a.biased()) bias_scores<Shape, false>(a, place, first, key, s);
      multiply_transposed<Shape>(dy, v, a.width, dp);
      FER_UNROLL
      for (int i = 0; i < Shape::per_thread; ++i) {
        FER_UNROLL
        for (int j = 0; j < Shape::per_thread; ++j) {
          const T p = thread_x() + j * tile_side < keys ? gpu::exp(s[i][j] - log_sum_exp[i]) : T(0);
          s[i][j] = p * (dp[i][j] - delta[i]);
          const int query = first + thread_y() + i * tile_side, column = thread_x() + j * tile_side;
          if (dscores != nullptr && query < a.queries && column < keys) {
            dscores[(place.statistics(a) + query) * a.keys + key + column] = s[i][j];
          }
        }
      }
      store_scores<Shape>(s, ds);
    }
    __syncwarp();  // a row of dS is written and read by the same half of a warp
    if (busy) multiply_add<Shape>(ds, k, keys, a.width, sums);
    __syncthreads();  // K and V are free for the next tile
  }
  store_columns<Shape>(sums, place.rows(a, dq, a.queries, first), [&](int) { return a.scale; });
}

/// dk and dv: one block per tile of keys; loops over tiles of queries and dy. Scores are transposed: a row
/// belongs to a key.
template <typename S, typename Shape>
__global__ void __launch_bounds__(tile_threads, Shape::blocks_at_once)
    attention_dkv_kernel(const Problem<S> a, const Saved<S> saved, int tiles, S* dk, S* dv) {
  using T = Wide<S>;
  FER_DYNAMIC_SHARED(T, shared);
  T *const k = shared, *const v = k + Shape::size, *const q = v + Shape::size, *const dy = q + Shape::size,
           *const weights = dy + Shape::size;
  const Place<S> place(a, tiles);
  const int first = place.tile * Shape::rows;
  const bool busy = first + thread_y() < a.keys;

  load_async<Shape>(k, place.rows(a, a.k, a.keys, first));
  load_async<Shape>(v, place.rows(a, a.v, a.keys, first));
  typename Shape::Columns dk_sums = {}, dv_sums = {};

  for (int query = 0; query < a.queries; query += Shape::rows) {
    const int queries = gpu::min(Shape::rows, a.queries - query);
    load_async<Shape>(dy, place.rows(a, saved.dy, a.queries, query));
    cp_async_commit();
    load_scaled<Shape>(q, place.rows(a, a.q, a.queries, query), a.scale);
    cp_async_wait<0>();
    __syncthreads();
    typename Shape::Scores s = {}, ds = {};
    if (busy) {
      multiply_transposed<Shape>(k, q, a.width, s);
      if (a.biased()) bias_scores<Shape, true>(a, place, query, first, s);
      multiply_transposed<Shape>(v, dy, a.width, ds);
      FER_UNROLL
      for (int j = 0; j < Shape::per_thread; ++j) {
        const int column = thread_x() + j * tile_side;
        const bool exists = column < queries;
        const index_t at = place.statistics(a) + query + (exists ? column : 0);
        const T log_sum_exp = saved.log_sum_exp[at], delta = saved.delta[at];
        FER_UNROLL
        for (int i = 0; i < Shape::per_thread; ++i) {
          s[i][j] = exists ? gpu::exp(s[i][j] - log_sum_exp) : T(0);
          ds[i][j] = s[i][j] * (ds[i][j] - delta);
        }
      }
      store_scores<Shape>(s, weights);
    }
    __syncwarp();  // a row of weights is written and read by the same half of a warp
    if (busy) multiply_add<Shape>(weights, dy, queries, a.width, dv_sums);
    __syncwarp();
    if (busy) store_scores<Shape>(ds, weights);
    __syncwarp();
    if (busy) multiply_add<Shape>(weights, q, queries, a.width, dk_sums);
    __syncthreads();  // Q and dY are free for the next tile
  }
  store_columns<Shape>(dk_sums, place.rows(a, dk, a.keys, first), [](int) { return T(1); });
  store_columns<Shape>(dv_sums, place.rows(a, dv, a.keys, first), [](int) { return T(1); });
}

template <typename S>
Problem<S> problem(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionBias& bias, int heads,
                   const Tensor& y, const Tensor& log_sum_exp) {
  require<ShapeError>(q.rank() == 3 && k.rank() == 3 && v.shape() == k.shape() && k.dim(0) == q.dim(0) &&
                          k.dim(2) == q.dim(2),
                      "[attention] needs q N x Tq x D and k, v N x Tk x D, got ", q.shape(), ", ", k.shape(),
                      " and ", v.shape());
  require<ShapeError>(heads > 0 && q.dim(2) % heads == 0, "[attention] width ", q.dim(2),
                      " does not divide into ", heads, " heads");
  const index_t width = q.dim(2) / heads;
  require<ShapeError>(width <= greatest_width, "[attention] heads of width ", width, " (", q.dim(2),
                      " channels in ", heads, " heads) are too wide for this device's kernels, which hold ",
                      greatest_width, " at most; use more heads");
  require<ShapeError>(k.dim(1) > 0, "[attention] there are no keys to attend to: k is ", k.shape());
  require<ShapeError>(y.shape() == q.shape() && log_sum_exp.numel() == q.dim(0) * heads * q.dim(1),
                      "[attention] q ", q.shape(), " with ", heads, " heads does not fit y ", y.shape(),
                      " and log_sum_exp ", log_sum_exp.shape());
  using T = Wide<S>;
  Problem<S> a{stored<S>(q),
               stored<S>(k),
               stored<S>(v),
               q.dim(0),
               static_cast<int>(q.dim(1)),
               static_cast<int>(k.dim(1)),
               heads,
               static_cast<int>(width),
               static_cast<T>(1.0 / std::sqrt(static_cast<double>(width))),
               width % Packet<T>::size == 0,
               {},
               {}};
  check_attention_bias(bias, {a.batch, heads, a.queries, a.keys}, q);
  if (bias.bias.defined()) a.bias = {bias.bias.data<T>(), bias.bias.shape()};
  if (bias.mask.defined()) a.mask = {bias.mask.data<std::uint8_t>(), bias.mask.shape()};
  return a;
}

/// Whether all pointers are aligned to a packet: as many elements as 16 bytes hold in the arithmetic's type.
template <typename S>
bool aligned(std::initializer_list<const S*> pointers) {
  for (const S* p : pointers) {
    if (reinterpret_cast<std::uintptr_t>(p) % (Packet<Wide<S>>::size * sizeof(S)) != 0) return false;
  }
  return true;
}

/// Calls launch.operator()<Shape>() with the tile for heads of `width`: the one with the most rows such that
/// `tiles` of them fit in this device's shared memory per block.
template <typename T, typename Launch>
void dispatch_tile(int width, int tiles, const Launch& launch) {
  constexpr int rows = sizeof(T) == 4 ? 64 : 32;
  using Slim = Tile<T, 64, rows>;
  using Broad = Tile<T, greatest_width, rows>;
  using BroadLow = Tile<T, greatest_width, rows / 2>;
  static_assert(Slim::bytes(backward_tiles) <= least_shared &&
                BroadLow::bytes(backward_tiles) <= least_shared);
  if (width <= 64) {
    launch.template operator()<Slim>();
  } else if (Broad::bytes(tiles) <= gpu::shared_limit()) {
    launch.template operator()<Broad>();
  } else {
    launch.template operator()<BroadLow>();
  }
}

}  // namespace

void DeviceBackend::attention_forward(const Tensor& q, const Tensor& k, const Tensor& v,
                                      const AttentionBias& bias, int heads, Tensor& y, Tensor& log_sum_exp) {
  dispatch_stored(q.dtype(), "attention", [&]<typename S>() {
    using T = Wide<S>;
    Problem<S> a = problem<S>(q, k, v, bias, heads, y, log_sum_exp);
    if (y.numel() == 0) return;
    S* out = mutable_stored<S>(y);
    T* lse = log_sum_exp.mutable_data<T>();
    a.packed = a.packed && aligned<S>({a.q, a.k, a.v, out});
    dispatch_tile<T>(a.width, forward_tiles, [&]<typename Shape>() {
      const int tiles = ceil_div(a.queries, Shape::rows);
      gpu::launch(attention_kernel<S, Shape>, static_cast<unsigned>(a.batch * heads * tiles),
                  dim3(tile_side, tile_side), Shape::bytes(forward_tiles), stream_, a, tiles, out, lse);
    });
  });
}

void DeviceBackend::attention_backward(const Tensor& q, const Tensor& k, const Tensor& v,
                                       const AttentionBias& bias, const Tensor& y, const Tensor& log_sum_exp,
                                       const Tensor& dy, int heads, Tensor& dq, Tensor& dk, Tensor& dv,
                                       Tensor& dscores) {
  dispatch_stored(q.dtype(), "attention", [&]<typename S>() {
    using T = Wide<S>;
    Problem<S> a = problem<S>(q, k, v, bias, heads, y, log_sum_exp);
    require<ShapeError>(dy.shape() == q.shape() && dq.shape() == q.shape() && dk.shape() == k.shape() &&
                            dv.shape() == k.shape(),
                        "[attention] gradients ", dy.shape(), ", ", dq.shape(), ", ", dk.shape(), " and ",
                        dv.shape(), " do not fit q ", q.shape(), " and k ", k.shape());
    if (dscores.defined())
      require_size("attention", "dscores", dscores, a.batch * heads * a.queries * a.keys);
    if (dk.numel() == 0) return;
    S *dq_out = mutable_stored<S>(dq), *dk_out = mutable_stored<S>(dk), *dv_out = mutable_stored<S>(dv);
    const index_t rows = a.batch * a.queries * heads;
    const DeviceArray<T> delta(*this, rows);
    const Saved<S> saved{log_sum_exp.data<T>(), delta.data(), stored<S>(dy)};
    a.packed = a.packed && aligned<S>({a.q, a.k, a.v, saved.dy, dq_out, dk_out, dv_out});
    if (rows > 0) {
      gpu::launch(attention_delta_kernel<S>, static_cast<unsigned>(ceil_div(rows, tile_side)), tile_threads,
                  0, stream_, stored<S>(y), saved.dy, rows, a.queries, heads, a.width, delta.data());
    }
    dispatch_tile<T>(a.width, backward_tiles, [&]<typename Shape>() {
      const dim3 block(tile_side, tile_side);
      constexpr std::size_t bytes = Shape::bytes(backward_tiles);
      const int query_tiles = ceil_div(a.queries, Shape::rows);
      const int key_tiles = ceil_div(a.keys, Shape::rows);
      if (query_tiles > 0) {
        gpu::launch(attention_dq_kernel<S, Shape>, static_cast<unsigned>(a.batch * heads * query_tiles),
                    block, bytes, stream_, a, saved, query_tiles, dq_out, mutable_data_or_null<T>(dscores));
      }
      gpu::launch(attention_dkv_kernel<S, Shape>, static_cast<unsigned>(a.batch * heads * key_tiles), block,
                  bytes, stream_, a, saved, key_tiles, dk_out, dv_out);
    });
  });
}

}  // namespace fer::FER_DEVICE_NAMESPACE
