// Steps of Adam, AdamW and SGD over many parameters at once, by PyTorch's formulas, and the global norm.
//
//   Adam (Kingma and Ba 2015), t = step:   g += weight_decay p         (AdamW: p *= 1 - lr weight_decay)
//     m += (1 - beta1) (g - m);  v = beta2 v + (1 - beta2) g^2
//     p -= lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
//   SGD:  g += weight_decay p;  b = momentum b + g (the first step: b = g)
//     p -= lr (nesterov ? g + momentum b : b)
//   SAM (Foret et al. 2021), with either: p += rho / |g| g, where |g| is read from device memory. Later p is
// restored from a saved copy, because subtracting would not restore the exact bits.
//
// One launch serves as many tensors as have their pointers in its 4 KB of arguments. So there is no table to
// upload, nothing to wait for, and a captured step replays unchanged. Every tensor is cut into chunks of 4096
// elements. A block takes a chunk and finds its tensor by bisection of the tensors' first blocks. Threads
// take 16 bytes at a time, neighbouring threads neighbouring bytes; unaligned tensors and the ends go element
// by element. The norm adds up a chunk by a tree in double, and the chunks in order.
// Floor: the bytes in float. Adam reads 16 and writes 12 per element, SGD with momentum 12 and 8, SAM's first
// step 8 and 8; the norm reads 4. About 15 operations per element are hidden behind them.
#include <cmath>

#include "cuda/device_backend.h"
#include "cuda/pointwise.h"
#include "cuda/total.h"

namespace fer::FER_DEVICE_NAMESPACE {
namespace {

constexpr int threads = 256;
constexpr int chunk = 4096;  // elements per block

/// The tensors of one launch: `Slot` has an index_t `count` of elements. Used as an argument, 4 KB at most.
template <typename Slot>
struct Batch {
  static constexpr int capacity = static_cast<int>((4096 - 160) / (sizeof(Slot) + sizeof(unsigned)));
  Slot slot[capacity];
  unsigned first_block[capacity];
  int slots;

  /// The tensor of this block, and the first element of its chunk.
  __device__ __forceinline__ const Slot& find(index_t& first) const {
    int low = 0, high = slots;  // first_block[low] <= blockIdx.x < first_block[high]
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      if (first_block[middle] <= blockIdx.x) {
        low = middle;
      } else {
        high = middle;
      }
    }
    first = static_cast<index_t>(blockIdx.x - first_block[low]) * chunk;
    return slot[low];
  }
};

/// Calls launch(batch, blocks) for batches that hold all slots with elements, in order.
template <typename Slot, typename Slots, typename Launch>
void for_batches(const Slots& slots, const Launch& launch) {
  Batch<Slot> batch{};
  unsigned blocks = 0;
  const auto flush = [&] {
    if (batch.slots > 0) launch(batch, blocks);
    batch.slots = 0;
    blocks = 0;
  };
  for (const Slot& slot : slots) {
    if (slot.count == 0) continue;
    if (batch.slots == Batch<Slot>::capacity) flush();
    batch.slot[batch.slots] = slot;
    batch.first_block[batch.slots] = blocks;
    ++batch.slots;
    blocks += static_cast<unsigned>(ceil_div(slot.count, chunk));
  }
  flush();
}

template <typename... Pointers>
__device__ __forceinline__ bool aligned(Pointers*... p) {
  return ((reinterpret_cast<std::uintptr_t>(p) | ...) % 16) == 0;
}

template <typename T>
__device__ __forceinline__ Packet<T>& packet(T* p, index_t i) {
  return *reinterpret_cast<Packet<T>*>(p + i);
}
template <typename T>
__device__ __forceinline__ const Packet<T>& packet(const T* p, index_t i) {
  return *reinterpret_cast<const Packet<T>*>(p + i);
}

/// Calls whole(i) for this thread's packets of the chunk that starts at `first`, and single(i) for the
/// remainder.
template <typename T, typename Whole, typename Single>
__device__ __forceinline__ void for_chunk(index_t first, index_t count, bool packets, const Whole& whole,
                                          const Single& single) {
  constexpr index_t size = Packet<T>::size;
  const index_t last = gpu::min(first + chunk, count);
  const index_t last_whole = packets ? first + (last - first) / size * size : first;
  for (index_t i = first + threadIdx.x * size; i < last_whole; i += threads * size) whole(i);
  for (index_t i = last_whole + threadIdx.x; i < last; i += threads) single(i);
}

template <typename T>
struct AdamPointers {
  T* param;
  const T* grad;
  T *m, *v;
  index_t count;
};

/// The step's constants.
template <typename T>
struct Adam {
  T beta2, keep1, keep2, decay, shrink, inverse_bias2, eps, rate;

  Adam(const AdamOptions& o, std::int64_t count)
      : beta2(static_cast<T>(o.beta2)),
        keep1(static_cast<T>(1 - o.beta1)),
        keep2(static_cast<T>(1 - o.beta2)),
        decay(static_cast<T>(o.decoupled ? 0 : o.weight_decay)),
        shrink(static_cast<T>(o.decoupled ? 1 - o.lr * o.weight_decay : 1)),
        inverse_bias2(static_cast<T>(1 / std::sqrt(1 - std::pow(o.beta2, static_cast<double>(count))))),
        eps(static_cast<T>(o.eps)),
        rate(static_cast<T>(o.lr / (1 - std::pow(o.beta1, static_cast<double>(count))))) {}

  __device__ __forceinline__ void step(T& p, T grad, T& m, T& v) const {
    const T param = p * shrink;
    const T g = gpu::fma(decay, param, grad);
    m = gpu::fma(keep1, g - m, m);
    v = gpu::fma(keep2 * g, g, beta2 * v);
    p = gpu::fma(-rate, m / gpu::fma(gpu::sqrt(v), inverse_bias2, eps), param);
  }
};

template <typename T>
__global__ void adam_kernel(const Batch<AdamPointers<T>> batch, const Adam<T> adam) {
  index_t first;
  const AdamPointers<T>& a = batch.find(first);
  for_chunk<T>(
      first, a.count, aligned(a.param, a.grad, a.m, a.v),
      [&](index_t i) {
        Packet<T> p = packet(a.param, i), m = packet(a.m, i), v = packet(a.v, i);
        const Packet<T> g = packet(a.grad, i);
        FER_UNROLL
        for (int j = 0; j < Packet<T>::size; ++j) adam.step(p.v[j], g.v[j], m.v[j], v.v[j]);
        packet(a.param, i) = p;
        packet(a.m, i) = m;
        packet(a.v, i) = v;
      },
      [&](index_t i) { adam.step(a.param[i], a.grad[i], a.m[i], a.v[i]); });
}

template <typename T>
struct SgdPointers {
  T* param;
  const T* grad;
  T* momentum;  ///< null: none
  index_t count;
};

template <typename T>
struct Sgd {
  T lr, decay, momentum;
  bool nesterov, first_step;

  __device__ __forceinline__ void step(T& p, T grad) const { p -= lr * (grad + decay * p); }
  __device__ __forceinline__ void step(T& p, T grad, T& buffer) const {
    const T g = grad + decay * p;
    buffer = first_step ? g : momentum * buffer + g;  // uninitialised before the first step
    p -= lr * (nesterov ? g + momentum * buffer : buffer);
  }
};

template <typename T>
__global__ void sgd_kernel(const Batch<SgdPointers<T>> batch, const Sgd<T> sgd) {
  index_t first;
  const SgdPointers<T>& a = batch.find(first);
  const bool packets = aligned(a.param, a.grad, a.momentum);
  if (a.momentum == nullptr) {
    for_chunk<T>(
        first, a.count, packets,
        [&](index_t i) {
          Packet<T> p = packet(a.param, i);
          const Packet<T> g = packet(a.grad, i);
          FER_UNROLL
          for (int j = 0; j < Packet<T>::size; ++j) sgd.step(p.v[j], g.v[j]);
          packet(a.param, i) = p;
        },
        [&](index_t i) { sgd.step(a.param[i], a.grad[i]); });
    return;
  }
  for_chunk<T>(
      first, a.count, packets,
      [&](index_t i) {
        Packet<T> p = packet(a.param, i), b{};
        const Packet<T> g = packet(a.grad, i);
        if (!sgd.first_step) b = packet(a.momentum, i);
        FER_UNROLL
        for (int j = 0; j < Packet<T>::size; ++j) sgd.step(p.v[j], g.v[j], b.v[j]);
        packet(a.param, i) = p;
        packet(a.momentum, i) = b;
      },
      [&](index_t i) { sgd.step(a.param[i], a.grad[i], a.momentum[i]); });
}

template <typename T>
struct SamPointers {
  T* param;
  const T* grad;  ///< null: the parameter stays as it is
  T* saved;
  index_t count;
};

template <typename T>
__global__ void sam_ascend_kernel(const Batch<SamPointers<T>> batch, double rho, const double* norm) {
  index_t first;
  const SamPointers<T>& a = batch.find(first);
  const T by = static_cast<T>(rho / (*norm + 1e-12));
  for_chunk<T>(
      first, a.count, aligned(a.param, a.grad, a.saved),
      [&](index_t i) {
        Packet<T> p = packet(a.param, i), g{};
        packet(a.saved, i) = p;
        if (a.grad == nullptr) return;
        g = packet(a.grad, i);
        FER_UNROLL
        for (int j = 0; j < Packet<T>::size; ++j) p.v[j] += by * g.v[j];
        packet(a.param, i) = p;
      },
      [&](index_t i) {
        const T p = a.param[i];
        a.saved[i] = p;
        if (a.grad != nullptr) a.param[i] = p + by * a.grad[i];
      });
}

template <typename T>
__global__ void sam_restore_kernel(const Batch<SamPointers<T>> batch) {
  index_t first;
  const SamPointers<T>& a = batch.find(first);
  for_chunk<T>(
      first, a.count, aligned(a.param, a.saved), [&](index_t i) { packet(a.param, i) = packet(a.saved, i); },
      [&](index_t i) { a.param[i] = a.saved[i]; });
}

/// A tensor of float or double.
struct NormPointer {
  const float* single;
  const double* wide;
  index_t count;
};

template <typename T>
__device__ __forceinline__ double sum_of_squares(const T* x, index_t first, index_t count) {
  double sum = 0;
  const auto add = [&](T v) { sum = gpu::fma(static_cast<double>(v), static_cast<double>(v), sum); };
  for_chunk<T>(
      first, count, aligned(x),
      [&](index_t i) {
        const Packet<T> v = packet(x, i);
        FER_UNROLL
        for (int j = 0; j < Packet<T>::size; ++j) add(v.v[j]);
      },
      [&](index_t i) { add(x[i]); });
  return sum;
}

/// partial[block] = the sum of squares of the block's chunk.
__global__ void sum_of_squares_kernel(const Batch<NormPointer> batch, double* partial) {
  index_t first;
  const NormPointer& x = batch.find(first);
  const double sum = block_sum(x.single != nullptr ? sum_of_squares(x.single, first, x.count)
                                                   : sum_of_squares(x.wide, first, x.count));
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

struct StoreRoot {
  double* y;
  __device__ __forceinline__ void operator()(double total) const { *y = gpu::sqrt(total); }
};

void require_like(const char* op, const char* name, const Tensor& param, const Tensor& other) {
  require<ShapeError>(other.defined(), "[", op, "] a parameter of shape ", param.shape(), " has no ", name);
  require<ShapeError>(other.shape() == param.shape() && other.dtype() == param.dtype(), "[", op,
                      "] a parameter of shape ", param.shape(), " and type ", param.dtype(), " has a ", name,
                      " of shape ", other.shape(), " and type ", other.dtype());
}

}  // namespace

void DeviceBackend::adam_step(std::span<AdamSlot> slots, const AdamOptions& options, std::int64_t step) {
  require<ConfigError>(step >= 1, "[adam] steps count from 1, got ", step);
  if (slots.empty()) return;
  for (const AdamSlot& s : slots) {
    require_like("adam", "gradient", s.param, s.grad);
    require_like("adam", "first moment", s.param, s.m);
    require_like("adam", "second moment", s.param, s.v);
  }
  dispatch_floating(slots[0].param.dtype(), "adam", [&]<typename T>() {
    std::vector<AdamPointers<T>> pointers;
    for (AdamSlot& s : slots) {
      pointers.push_back({s.param.mutable_data<T>(), s.grad.data<T>(), s.m.mutable_data<T>(),
                          s.v.mutable_data<T>(), s.param.numel()});
    }
    for_batches<AdamPointers<T>>(pointers, [&](const Batch<AdamPointers<T>>& batch, unsigned blocks) {
      gpu::launch(adam_kernel<T>, blocks, threads, 0, stream_, batch, Adam<T>(options, step));
    });
  });
}

void DeviceBackend::sgd_step(std::span<SgdSlot> slots, const SgdOptions& options, std::int64_t step) {
  require<ConfigError>(step >= 1, "[sgd] steps count from 1, got ", step);
  if (slots.empty()) return;
  const bool with_momentum = options.momentum != 0;
  for (const SgdSlot& s : slots) {
    require_like("sgd", "gradient", s.param, s.grad);
    if (with_momentum) require_like("sgd", "momentum buffer", s.param, s.momentum);
  }
  dispatch_floating(slots[0].param.dtype(), "sgd", [&]<typename T>() {
    std::vector<SgdPointers<T>> pointers;
    for (SgdSlot& s : slots) {
      pointers.push_back({s.param.mutable_data<T>(), s.grad.data<T>(),
                          with_momentum ? s.momentum.mutable_data<T>() : nullptr, s.param.numel()});
    }
    const Sgd<T> sgd{static_cast<T>(options.lr), static_cast<T>(options.weight_decay),
                     static_cast<T>(options.momentum), options.nesterov, step == 1};
    for_batches<SgdPointers<T>>(pointers, [&](const Batch<SgdPointers<T>>& batch, unsigned blocks) {
      gpu::launch(sgd_kernel<T>, blocks, threads, 0, stream_, batch, sgd);
    });
  });
}

void DeviceBackend::sam_ascend(std::span<SamSlot> slots, double rho, const Tensor& norm) {
  if (slots.empty()) return;
  for (const SamSlot& s : slots) {
    if (s.grad.defined()) require_like("sam", "gradient", s.param, s.grad);
    require_like("sam", "saved copy", s.param, s.saved);
  }
  dispatch_floating(slots[0].param.dtype(), "sam", [&]<typename T>() {
    std::vector<SamPointers<T>> pointers;
    for (SamSlot& s : slots) {
      pointers.push_back(
          {s.param.mutable_data<T>(), data_or_null<T>(s.grad), s.saved.mutable_data<T>(), s.param.numel()});
    }
    for_batches<SamPointers<T>>(pointers, [&](const Batch<SamPointers<T>>& batch, unsigned blocks) {
      gpu::launch(sam_ascend_kernel<T>, blocks, threads, 0, stream_, batch, rho, norm.data<double>());
    });
  });
}

void DeviceBackend::sam_restore(std::span<SamSlot> slots) {
  if (slots.empty()) return;
  for (const SamSlot& s : slots) require_like("sam", "saved copy", s.param, s.saved);
  dispatch_floating(slots[0].param.dtype(), "sam", [&]<typename T>() {
    std::vector<SamPointers<T>> pointers;
    for (SamSlot& s : slots) {
      pointers.push_back({s.param.mutable_data<T>(), nullptr, s.saved.mutable_data<T>(), s.param.numel()});
    }
    for_batches<SamPointers<T>>(pointers, [&](const Batch<SamPointers<T>>& batch, unsigned blocks) {
      gpu::launch(sam_restore_kernel<T>, blocks, threads, 0, stream_, batch);
    });
  });
}

void DeviceBackend::global_norm(std::span<const Tensor> tensors, Tensor& norm) {
  std::vector<NormPointer> pointers;
  index_t blocks = 0;
  for (const Tensor& t : tensors) {
    dispatch_floating(t.dtype(), "global_norm", [&]<typename T>() {
      NormPointer p{nullptr, nullptr, t.numel()};
      if constexpr (sizeof(T) == 4) {
        p.single = t.data<T>();
      } else {
        p.wide = t.data<T>();
      }
      pointers.push_back(p);
    });
    blocks += ceil_div(t.numel(), chunk);
  }
  const DeviceArray<double> partial(*this, blocks);
  index_t done = 0;
  for_batches<NormPointer>(pointers, [&](const Batch<NormPointer>& batch, unsigned count) {
    gpu::launch(sum_of_squares_kernel, count, threads, 0, stream_, batch, partial.data() + done);
    done += count;
  });
  gpu::launch(total_kernel<StoreRoot>, 1, 256, 0, stream_, partial.data(), blocks,
              StoreRoot{norm.mutable_data<double>()});
}

}  // namespace fer::FER_DEVICE_NAMESPACE
