// Moves elements without changing them: permute, slice, paste, for any element type (only its size matters).
//   permute first merges dimensions that stay neighbours. If the innermost dimension stays innermost, a
// thread copies one element, and a warp reads and writes contiguous memory. Otherwise it is a transpose of
// two dimensions, repeated over the others. A block of 32 x 8 threads moves a tile of 32 x 32 through shared
// memory; both the reads and the writes are contiguous. A row of the tile is one word longer than 32, so that
// the elements of a column are in 32 different banks.
//   slice and paste copy runs of memory in words of up to 16 bytes, one word per thread.
// Floor: every byte read once and written once.
#include "cuda/device_backend.h"
#include "cuda/op_support.h"
#include "tensor/merged_dims.h"
#include "tensor/operand_checks.h"

namespace fer::FER_DEVICE_NAMESPACE {
namespace {

constexpr int tile = 32;

template <typename Word>
__global__ void permute_copy_kernel(const Word* x, Word* y, PermutedDims walk, index_t n) {
  for (index_t i = first_item(); i < n; i += item_step()) {
    index_t rest = i, from = 0;
    for (int d = 0; d < walk.rank; ++d) {
      from += rest % walk.extent[d] * walk.x_stride[d];
      rest /= walk.extent[d];
    }
    y[i] = x[from];
  }
}

/// Dimension 0 is y's innermost, `across` is x's. One block per tile; the tiles of a plane are consecutive.
template <typename Word>
__global__ void transpose_kernel(const Word* x, Word* y, PermutedDims walk, int across, index_t x_step,
                                 index_t y_step, int inner_tiles, int outer_tiles) {
  FER_SHARED(Word, cell, [tile][tile + 1]);
  const int tx = static_cast<int>(threadIdx.x), ty = static_cast<int>(threadIdx.y);
  const index_t inner = walk.extent[0];
  index_t outer = 1, plane = blockIdx.x / static_cast<unsigned>(inner_tiles);
  const index_t outer0 = plane % outer_tiles * tile;
  const index_t inner0 = static_cast<index_t>(blockIdx.x % static_cast<unsigned>(inner_tiles)) * tile;
  plane /= outer_tiles;
  for (int d = 1; d < walk.rank; ++d) {
    if (d == across) {
      outer = walk.extent[d];
      continue;
    }
    const index_t at = plane % walk.extent[d];
    plane /= walk.extent[d];
    x += at * walk.x_stride[d];
    y += at * walk.y_stride[d];
  }
  for (int i = ty; i < tile; i += 8) {
    if (inner0 + i < inner && outer0 + tx < outer) cell[i][tx] = x[(inner0 + i) * x_step + outer0 + tx];
  }
  __syncthreads();
  for (int i = ty; i < tile; i += 8) {
    if (outer0 + i < outer && inner0 + tx < inner) y[(outer0 + i) * y_step + inner0 + tx] = cell[tx][i];
  }
}

template <typename Word>
void permute_words(const Word* x, Word* y, const PermutedDims& walk, index_t n, gpu::Stream stream) {
  if (walk.x_stride[0] == 1) {
    gpu::launch(permute_copy_kernel<Word>, blocks_for(n, 256), 256, 0, stream, x, y, walk, n);
    return;
  }
  int across = 1;  // the dimension of y along which x is contiguous
  while (walk.x_stride[across] != 1) ++across;
  const index_t planes = n / (walk.extent[0] * walk.extent[across]);
  const index_t inner_tiles = ceil_div(walk.extent[0], tile),
                outer_tiles = ceil_div(walk.extent[across], tile);
  gpu::launch(transpose_kernel<Word>, dim3(static_cast<unsigned>(inner_tiles * outer_tiles * planes)),
              dim3(tile, 8), 0, stream, x, y, walk, across, walk.x_stride[0], walk.y_stride[across],
              static_cast<int>(inner_tiles), static_cast<int>(outer_tiles));
}

struct alignas(16) Word16 {
  std::uint64_t low, high;
};

/// `count` runs of `length` words, `from_pitch` and `to_pitch` words apart.
template <typename Word>
__global__ void copy_runs_kernel(const Word* from, index_t from_pitch, Word* to, index_t to_pitch,
                                 index_t count, index_t length) {
  const index_t n = count * length;
  for (index_t i = first_item(); i < n; i += item_step()) {
    const index_t run = i / length, at = i - run * length;
    to[run * to_pitch + at] = from[run * from_pitch + at];
  }
}

/// Runs in bytes. Copies in the widest word that divides all sizes and addresses.
void copy_runs(const char* from, index_t from_pitch, char* to, index_t to_pitch, index_t count,
               index_t length, gpu::Stream stream) {
  const auto all = static_cast<std::uintptr_t>(from_pitch | to_pitch | length) |
                   reinterpret_cast<std::uintptr_t>(from) | reinterpret_cast<std::uintptr_t>(to);
  const auto run = [&]<typename Word>(Word) {
    constexpr auto size = static_cast<index_t>(sizeof(Word));
    gpu::launch(copy_runs_kernel<Word>, blocks_for(count * (length / size), 256), 256, 0, stream,
                reinterpret_cast<const Word*>(from), from_pitch / size, reinterpret_cast<Word*>(to),
                to_pitch / size, count, length / size);
  };
  if (all % 16 == 0) return run(Word16{});
  if (all % 8 == 0) return run(std::uint64_t{});
  if (all % 4 == 0) return run(std::uint32_t{});
  if (all % 2 == 0) return run(std::uint16_t{});
  run(std::uint8_t{});
}

/// A tensor seen as outer x dim x inner, in bytes.
struct View {
  index_t outer = 1, run;  // run: bytes of one index of `dim`
  View(const Shape& shape, int dim, std::size_t element) : run(static_cast<index_t>(element)) {
    for (int i = 0; i < dim; ++i) outer *= shape[i];
    for (int i = dim + 1; i < shape.rank(); ++i) run *= shape[i];
  }
};

}  // namespace

void DeviceBackend::permute(const Tensor& x, std::span<const int> order, Tensor& y) {
  check_permutation(x, order, y);
  if (x.numel() == 0) return;
  const PermutedDims walk = merge_permuted(x.shape(), order);
  if (walk.rank <= 1) return copy(x, y);
  const auto run = [&]<typename Word>(Word) {
    permute_words(static_cast<const Word*>(x.raw()), static_cast<Word*>(y.mutable_raw()), walk, x.numel(),
                  stream_);
  };
  switch (size_of(x.dtype())) {
    case 1:
      return run(std::uint8_t{});
    case 2:
      return run(std::uint16_t{});
    case 4:
      return run(std::uint32_t{});
    default:
      return run(std::uint64_t{});
  }
}

void DeviceBackend::slice(const Tensor& x, int dim, std::int64_t start, Tensor& y) {
  check_part("slice", y, x, dim, start);
  if (y.numel() == 0) return;
  const View view(x.shape(), dim, size_of(x.dtype()));
  copy_runs(static_cast<const char*>(x.raw()) + start * view.run, x.dim(dim) * view.run,
            static_cast<char*>(y.mutable_raw()), y.dim(dim) * view.run, view.outer, y.dim(dim) * view.run,
            stream_);
}

void DeviceBackend::paste(const Tensor& x, int dim, std::int64_t start, Tensor& y) {
  check_part("paste", x, y, dim, start);
  if (x.numel() == 0) return;
  const View view(y.shape(), dim, size_of(x.dtype()));
  copy_runs(static_cast<const char*>(x.raw()), x.dim(dim) * view.run,
            static_cast<char*>(y.mutable_raw()) + start * view.run, y.dim(dim) * view.run, view.outer,
            x.dim(dim) * view.run, stream_);
}

}  // namespace fer::FER_DEVICE_NAMESPACE
