// Correct kernels must compute what a GPU computes: built-ins, barriers, shuffles, votes, tensor-core
// fragments, ldmatrix, cp.async, conversions, graphs; in every order of lanes and blocks.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "tests/simt/planted.h"

namespace fer::FER_DEVICE_NAMESPACE {
namespace {
using test::Array;
using test::counting;
using test::in_every_order;

__global__ void indices(int* y) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  const unsigned i = block * threads + static_cast<unsigned>(thread_rank());
  y[i] = static_cast<int>(threadIdx.x + 10 * threadIdx.y + 100 * threadIdx.z +
                          1000 * (blockIdx.x + 10 * blockIdx.y));
}

TEST_CASE("every thread of every block runs once, x fastest") {
  in_every_order([] {
    Array<int> y(2 * 3 * 2 * 3 * 5 * 2);
    gpu::launch(indices, dim3(2, 3, 2), dim3(3, 5, 2), 0, nullptr, y.data());
    const std::vector<int> host = y.host();
    CHECK(host[0] == 0);
    CHECK(host[1] == 1);
    CHECK(host[3] == 10);
    CHECK(host[15] == 100);
    CHECK(host[30] == 1000);
    CHECK(host[60] == 10000);
    CHECK(host[6 * 30] == 0);
    CHECK(host.back() == 2 + 40 + 100 + 1000 * 21);
  });
}

/// y = x reversed within each block, through shared memory; ragged at the end.
__global__ void reverse(const float* x, float* y, int n) {
  FER_SHARED(float, tile, [256]);
  FER_SHARED(int, count, );
  const int start = static_cast<int>(blockIdx.x * blockDim.x), t = static_cast<int>(threadIdx.x);
  if (t == 0) count = min(static_cast<int>(blockDim.x), n - start);
  __syncthreads();
  if (t < count) tile[t] = x[start + t];
  __syncthreads();
  if (t < count) y[start + t] = tile[count - 1 - t];
}

TEST_CASE("barriers order shared memory") {
  in_every_order([] {
    for (const int n : {1, 31, 32, 33, 255, 256, 257, 1000}) {
      CAPTURE(n);
      const Array<float> x(counting<float>(static_cast<std::size_t>(n)));
      Array<float> y(static_cast<std::size_t>(n));
      gpu::launch(reverse, ceil_div(n, 256), 256, 0, nullptr, x.data(), y.data(), n);
      const std::vector<float> host = y.host();
      for (int i = 0; i < n; ++i) {
        const int start = i / 256 * 256, count = std::min(256, n - start);
        CHECK(host[static_cast<std::size_t>(i)] == static_cast<float>(start + count - 1 - (i - start)));
      }
    }
  });
}

struct Shuffles {
  int index, up, down, exclusive, segment;
  unsigned ballot;
  int any, all;
};
__global__ void all_shuffles(Shuffles* y, double* z) {
  const int lane = static_cast<int>(threadIdx.x);
  Shuffles s;
  s.index = __shfl_sync(full_warp, lane, 5);
  s.up = __shfl_up_sync(full_warp, lane, 3);
  s.down = __shfl_down_sync(full_warp, lane, 3);
  s.exclusive = __shfl_xor_sync(full_warp, lane, 6);
  s.segment = __shfl_down_sync(full_warp, lane, 2, 8);
  s.ballot = __ballot_sync(full_warp, lane % 3 == 0);
  s.any = __any_sync(full_warp, lane == 40);
  s.all = __all_sync(full_warp, lane < 32);
  y[lane] = s;
  z[lane] = __shfl_sync(full_warp, lane * 0.5, lane + 1);  // 8 bytes; lane 31 wraps around to 0
}

TEST_CASE("shuffles and votes follow CUDA's rules") {
  in_every_order([] {
    Array<Shuffles> y(32);
    Array<double> z(32);
    gpu::launch(all_shuffles, 1, 32, 0, nullptr, y.data(), z.data());
    const std::vector<Shuffles> s = y.host();
    for (int lane = 0; lane < 32; ++lane) {
      const Shuffles& at = s[static_cast<std::size_t>(lane)];
      CHECK(at.index == 5);
      CHECK(at.up == (lane < 3 ? lane : lane - 3));
      CHECK(at.down == (lane > 28 ? lane : lane + 3));
      CHECK(at.exclusive == (lane ^ 6));
      CHECK(at.segment == (lane % 8 > 5 ? lane : lane + 2));
      CHECK(at.ballot == 0x49249249u);
      CHECK(at.any == 0);
      CHECK(at.all == 1);
      CHECK(z.host()[static_cast<std::size_t>(lane)] == (lane + 1) % 32 * 0.5);
    }
  });
}

__global__ void halves(int* y) {
  const int lane = static_cast<int>(threadIdx.x);
  int sum = lane;
  if (lane < 16) {  // the two halves of a warp work apart, then meet
    for (int i = 8; i > 0; i /= 2) sum += __shfl_xor_sync(0x0000ffffu, sum, i);
  } else {
    for (int i = 8; i > 0; i /= 2) sum = max(sum, __shfl_xor_sync(0xffff0000u, sum, i));
  }
  __syncwarp();
  y[lane] = sum + 1000 * __shfl_sync(full_warp, sum, 31 - lane);
}

TEST_CASE("parts of a warp may run apart") {
  in_every_order([] {
    Array<int> y(32);
    gpu::launch(halves, 1, 32, 0, nullptr, y.data());
    CHECK(y.host()[0] == 120 + 31000);
    CHECK(y.host()[31] == 31 + 120000);
  });
}

template <typename T>
__global__ void reductions(const T* x, T* y, int n) {
  T sum = 0, largest = gpu::lowest<T>();
  for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x)) {
    sum += x[i];
    largest = gpu::max(largest, x[i]);
  }
  sum = block_sum(sum);
  largest = block_max(largest);
  const int positive = __syncthreads_count(threadIdx.x % 2 == 0);
  if (threadIdx.x == blockDim.x - 1) {
    y[0] = sum;
    y[1] = largest;
    y[2] = static_cast<T>(positive);
  }
}

TEST_CASE_TEMPLATE("block reductions", T, float, double) {
  in_every_order([] {
    for (const int threads : {32, 96, 1024}) {
      const Array<T> x(counting<T>(777, T(-700)));
      Array<T> y(3);
      gpu::launch(reductions<T>, 1, threads, 0, nullptr, x.data(), y.data(), 777);
      CHECK(y.host()[0] == T(777 * (-700 + 76) / 2));
      CHECK(y.host()[1] == T(76));
      CHECK(y.host()[2] == T(threads / 2));
    }
  });
}

// --- tensor cores --------------------------------------------------------------------------------------

/// c (16 x 8) = a (16 x 8) b (8 x 8) + c by one mma, fragments loaded by hand.
__global__ void mma_tf32(const float* a, const float* b, float* c) {
  const int g = static_cast<int>(threadIdx.x) / 4, t = static_cast<int>(threadIdx.x) % 4;
  const std::uint32_t fa[4] = {to_tf32(a[g * 8 + t]), to_tf32(a[(g + 8) * 8 + t]), to_tf32(a[g * 8 + t + 4]),
                               to_tf32(a[(g + 8) * 8 + t + 4])};
  const std::uint32_t fb[2] = {to_tf32(b[t * 8 + g]), to_tf32(b[(t + 4) * 8 + g])};
  float fc[4] = {c[g * 8 + 2 * t], c[g * 8 + 2 * t + 1], c[(g + 8) * 8 + 2 * t], c[(g + 8) * 8 + 2 * t + 1]};
  mma_m16n8k8_tf32(fc, fa, fb, fc);
  for (int i = 0; i < 4; ++i) c[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = fc[i];
}

/// The same for bf16, a 16 x 16 and b 16 x 8, fragments by ldmatrix from row-major shared memory.
__global__ void mma_bf16(const bf16* a, const bf16* b, float* c) {
  FER_SHARED(bf16, as, [16][24]);  // rows padded by 16 bytes
  FER_SHARED(bf16, bs, [16][8]);
  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
  cp_async<16>(&as[lane / 2][lane % 2 * 8], a + lane * 8);
  if (lane < 16) cp_async<16>(&bs[lane][0], b + lane * 8);
  cp_async_commit();
  cp_async_wait<0>();
  __syncwarp();
  std::uint32_t fa[4], fb[2];
  ldmatrix_x4(fa, &as[lane % 16][lane / 16 * 8]);
  ldmatrix_x2_trans(fb, &bs[lane % 16][0]);
  float fc[4] = {};
  mma_m16n8k16_bf16(fc, fa, fb, fc);
  for (int i = 0; i < 4; ++i) c[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = fc[i];
}

TEST_CASE("mma computes the product that its fragments hold") {
  std::mt19937 random(3);
  std::uniform_int_distribution<int> small(-8, 8);  // exact in tf32 and bf16, as are their sums
  const auto fill = [&](std::size_t n) {
    std::vector<float> v(n);
    for (float& x : v) x = static_cast<float>(small(random));
    return v;
  };
  in_every_order([&] {
    const std::vector<float> a = fill(16 * 8), b = fill(8 * 8), c = fill(16 * 8);
    const Array<float> da(a), db(b);
    Array<float> dc(c);
    gpu::launch(mma_tf32, 1, 32, 0, nullptr, da.data(), db.data(), dc.data());
    const std::vector<float> y = dc.host();
    for (std::size_t m = 0; m < 16; ++m) {
      for (std::size_t n = 0; n < 8; ++n) {
        float sum = c[m * 8 + n];
        for (std::size_t k = 0; k < 8; ++k) sum += a[m * 8 + k] * b[k * 8 + n];
        CHECK(y[m * 8 + n] == sum);
      }
    }
  });
  in_every_order([&] {
    const std::vector<float> a = fill(16 * 16), b = fill(16 * 8);
    std::vector<bf16> ha(a.size()), hb(b.size());
    std::transform(a.begin(), a.end(), ha.begin(), to_bf16);
    std::transform(b.begin(), b.end(), hb.begin(), to_bf16);
    const Array<bf16> da(ha), db(hb);
    Array<float> dc(16 * 8);
    gpu::launch(mma_bf16, 1, 32, 0, nullptr, da.data(), db.data(), dc.data());
    const std::vector<float> y = dc.host();
    for (std::size_t m = 0; m < 16; ++m) {
      for (std::size_t n = 0; n < 8; ++n) {
        float sum = 0;
        for (std::size_t k = 0; k < 16; ++k) sum += a[m * 16 + k] * b[k * 8 + n];
        CHECK(y[m * 8 + n] == sum);
      }
    }
  });
}

__global__ void ldmatrix_all(std::uint32_t* y) {
  FER_SHARED(std::uint16_t, m, [32][8]);
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = 0; i < 8; ++i) m[lane][i] = static_cast<std::uint16_t>(lane * 8 + i);
  __syncwarp();
  std::uint32_t four[4], two[2], one[1];
  ldmatrix_x4(four, m[lane]);
  ldmatrix_x2(two, m[lane % 16]);
  ldmatrix_x1_trans(one, m[lane % 8]);
  for (int i = 0; i < 4; ++i) y[lane * 7 + i] = four[i];
  for (int i = 0; i < 2; ++i) y[lane * 7 + 4 + i] = two[i];
  y[lane * 7 + 6] = one[0];
}

TEST_CASE("ldmatrix hands out rows and columns") {
  Array<std::uint32_t> y(32 * 7);
  gpu::launch(ldmatrix_all, 1, 32, 0, nullptr, y.data());
  const std::vector<std::uint32_t> r = y.host();
  for (std::uint32_t lane = 0; lane < 32; ++lane) {
    const std::uint32_t g = lane / 4, t = lane % 4;
    for (std::uint32_t i = 0; i < 4; ++i) {
      const std::uint32_t low = (i * 8 + g) * 8 + 2 * t;
      CHECK(r[lane * 7 + i] == (low | (low + 1) << 16));
      if (i < 2) CHECK(r[lane * 7 + 4 + i] == (low | (low + 1) << 16));
    }
    CHECK(r[lane * 7 + 6] == ((2 * t * 8 + g) | ((2 * t + 1) * 8 + g) << 16));
  }
}

TEST_CASE("bf16 and tf32 round to nearest") {
  CHECK(to_bf16(1.0f).bits == 0x3f80);
  CHECK(to_float(to_bf16(1.0f + 1.0f / 256)) == 1.0f);               // a tie, to even
  CHECK(to_float(to_bf16(1.0f + 3.0f / 256)) == 1.0f + 4.0f / 256);  // a tie, to even upwards
  CHECK(to_float(to_bf16(-1.00391f)) == -1.0078125f);
  CHECK(std::isinf(to_float(to_bf16(3.4e38f))));
  CHECK(std::isnan(to_float(to_bf16(std::nanf("")))));
  CHECK(__uint_as_float(to_tf32(1.0f + 1.0f / 2048)) == 1.0f + 1.0f / 1024);  // a tie, away from zero
  CHECK(__uint_as_float(to_tf32(1.0f + 0.9f / 2048)) == 1.0f);
  CHECK(pack_bf16(1.0f, 2.0f) == 0x40003f80u);
}

// --- atomics, graphs, events ---------------------------------------------------------------------------

__global__ void count_them(int* counter, unsigned* largest) {
  atomicAdd(counter, 1);
  atomicMax(largest, blockIdx.x * blockDim.x + threadIdx.x);
}

TEST_CASE("integer atomics count across blocks") {
  in_every_order([] {
    Array<int> counter(std::vector<int>{0});
    Array<unsigned> largest(std::vector<unsigned>{0});
    gpu::launch(count_them, 50, 96, 0, nullptr, counter.data(), largest.data());
    CHECK(counter.host()[0] == 50 * 96);
    CHECK(largest.host()[0] == 50 * 96 - 1);
  });
}

__global__ void double_it(float* y) {
  y[threadIdx.x] *= 2;
}

TEST_CASE("a captured stream is replayed") {
  Array<float> y(counting<float>(32));
  gpu::Stream stream = gpu::stream_create();
  gpu::capture_begin(stream);
  gpu::launch(double_it, 1, 32, 0, stream, y.data());
  gpu::launch(double_it, 1, 32, 0, stream, y.data());
  CHECK(y.host()[3] == 3);  // recorded, not done
  std::size_t operations = 0;
  const gpu::Graph graph = gpu::capture_end(stream, operations);
  CHECK(operations == 2);
  gpu::graph_launch(graph, stream);
  CHECK(y.host()[3] == 12);
  gpu::graph_launch(graph, stream);
  CHECK(y.host()[3] == 48);
  gpu::graph_destroy(graph);
  CHECK_THROWS_AS(gpu::capture_end(stream, operations), DeviceError);
  const gpu::Event start = gpu::event_create(), stop = gpu::event_create();
  CHECK_THROWS_AS(gpu::event_elapsed_ms(start, stop), DeviceError);
  gpu::event_record(start, stream);
  gpu::event_record(stop, stream);
  CHECK(gpu::event_elapsed_ms(start, stop) >= 0);
  gpu::event_destroy(start);
  gpu::event_destroy(stop);
  gpu::stream_destroy(stream);
}

/// As large as kernel arguments may be, with padding at its end, like the argument of a launch over many
/// tensors.
struct Pieces {
  struct Piece {
    const float* from;
    float* to;
    long long count;
  } piece[140];
  unsigned number[140];
  int count;
};
__global__ void copy_pieces(const Pieces pieces) {
  for (int i = 0; i < pieces.count; ++i) {
    const Pieces::Piece& p = pieces.piece[i];
    if (static_cast<long long>(threadIdx.x) < p.count) p.to[threadIdx.x] = p.from[threadIdx.x];
  }
}

TEST_CASE("a structure of four kilobytes arrives as it was given") {
  const Array<float> x(test::counting<float>(140));
  Array<float> y(140);
  Pieces pieces{};
  for (int i = 0; i < 140; ++i) pieces.piece[i] = {x.data() + i, y.data() + 139 - i, 1};
  pieces.count = 140;
  gpu::launch(copy_pieces, 1, 32, 0, nullptr, pieces);
  const std::vector<float> values = y.host();
  for (int i = 0; i < 140; ++i) CHECK(values[static_cast<std::size_t>(139 - i)] == static_cast<float>(i));
}

}  // namespace
}  // namespace fer::FER_DEVICE_NAMESPACE
