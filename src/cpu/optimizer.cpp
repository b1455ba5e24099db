// Steps of Adam, AdamW and SGD over many parameters at once, by PyTorch's formulas, and the global norm.
//
//   Adam (Kingma and Ba 2015), t = step:
//     g += weight_decay p                      (AdamW: p *= 1 - lr weight_decay)
//     m += (1 - beta1) (g - m);  v = beta2 v + (1 - beta2) g^2
//     p -= lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
//   SGD:
//     g += weight_decay p;  b = momentum b + g (the first step: b = g)
//     p -= lr (nesterov ? g + momentum b : b)
//   SAM (Foret et al. 2021), with either: p += rho / |g| g; later p is restored from a saved copy.
//
// All parameters are cut into chunks, which the threads share, so hundreds of small tensors cost no more than
// one large tensor. Elements are independent. The norm adds up the sums of the chunks in order.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/optimizer.cpp"
#include "cpu/simd.h"
// simd.h must come first
#include "fer/tensor/backend.h"

#ifndef FER_CPU_OPTIMIZER_ONCE
#define FER_CPU_OPTIMIZER_ONCE
namespace fer::detail {
template <typename T>
struct OptimizerKernels {
  /// One step of n elements.
  void (*adam)(const AdamOptions& options, std::int64_t step, T* p, const T* grad, T* m, T* v,
               std::int64_t n);
};
}  // namespace fer::detail
#endif

HWY_BEFORE_NAMESPACE();
namespace fer::HWY_NAMESPACE {
namespace {
using namespace fer::detail;
namespace hn = hwy::HWY_NAMESPACE;

template <typename T>
struct AdamKernel {
  hn::ScalableTag<T> d;
  T beta2, keep1, keep2, decay, shrink, inverse_bias2, eps, rate;

  AdamKernel(const AdamOptions& o, std::int64_t count)
      : beta2(static_cast<T>(o.beta2)),
        keep1(static_cast<T>(1 - o.beta1)),
        keep2(static_cast<T>(1 - o.beta2)),
        decay(static_cast<T>(o.decoupled ? 0 : o.weight_decay)),
        shrink(static_cast<T>(o.decoupled ? 1 - o.lr * o.weight_decay : 1)),
        inverse_bias2(static_cast<T>(1 / std::sqrt(1 - std::pow(o.beta2, static_cast<double>(count))))),
        eps(static_cast<T>(o.eps)),
        rate(static_cast<T>(o.lr / (1 - std::pow(o.beta1, static_cast<double>(count))))) {}

  // Updates one vector, or one element as a vector of one lane.
  template <class D>
  HWY_INLINE void step(D tag, T* p, const T* grad, T* m, T* v) const {
    const auto param = hn::Mul(hn::LoadU(tag, p), hn::Set(tag, shrink));
    const auto g = hn::MulAdd(hn::Set(tag, decay), param, hn::LoadU(tag, grad));
    const auto m_old = hn::LoadU(tag, m);
    const auto m_new = hn::MulAdd(hn::Set(tag, keep1), hn::Sub(g, m_old), m_old);
    const auto v_new =
        hn::MulAdd(hn::Mul(hn::Set(tag, keep2), g), g, hn::Mul(hn::Set(tag, beta2), hn::LoadU(tag, v)));
    const auto denominator = hn::MulAdd(hn::Sqrt(v_new), hn::Set(tag, inverse_bias2), hn::Set(tag, eps));
    hn::StoreU(m_new, tag, m);
    hn::StoreU(v_new, tag, v);
    hn::StoreU(hn::NegMulAdd(hn::Set(tag, rate), hn::Div(m_new, denominator), param), tag, p);
  }

  void run(T* p, const T* grad, T* m, T* v, std::int64_t n) const {
    const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
    std::int64_t i = 0;
    for (; i + lanes <= n; i += lanes) step(d, p + i, grad + i, m + i, v + i);
    for (; i < n; ++i) step(hn::CappedTag<T, 1>(), p + i, grad + i, m + i, v + i);
  }
};

template <typename T>
void adam_chunk(const AdamOptions& options, std::int64_t step, T* p, const T* grad, T* m, T* v,
                std::int64_t n) {
  AdamKernel<T>(options, step).run(p, grad, m, v, n);
}

OptimizerKernels<float> kernels_f32() {
  return {adam_chunk<float>};
}
OptimizerKernels<double> kernels_f64() {
  return {adam_chunk<double>};
}

}  // namespace
}  // namespace fer::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <vector>

#include "cpu/cpu_backend.h"

namespace fer {

using namespace detail;
FER_SIMD_EXPORT(OptimizerKernels)

namespace {

constexpr std::int64_t kChunk = 1 << 14;  // elements

/// Part of one tensor in a list.
struct Chunk {
  std::size_t tensor;
  std::int64_t first, count;
};

template <typename NumelOf>
std::vector<Chunk> chunks_of(std::size_t tensors, const NumelOf& numel) {
  std::vector<Chunk> chunks;
  for (std::size_t t = 0; t < tensors; ++t) {
    for (std::int64_t first = 0; first < numel(t); first += kChunk)
      chunks.push_back({t, first, std::min(kChunk, numel(t) - first)});
  }
  return chunks;
}

void require_like(const char* op, const char* name, const Tensor& param, const Tensor& other) {
  require<ShapeError>(other.defined(), "[", op, "] a parameter of shape ", param.shape(), " has no ", name);
  require<ShapeError>(other.shape() == param.shape() && other.dtype() == param.dtype(), "[", op,
                      "] a parameter of shape ", param.shape(), " and type ", param.dtype(), " has a ", name,
                      " of shape ", other.shape(), " and type ", other.dtype());
}

template <typename T>
struct AdamPointers {
  T* param;
  const T* grad;
  T *m, *v;
};

template <typename T>
void adam(std::span<AdamSlot> slots, const AdamOptions& options, std::int64_t step) {
  std::vector<AdamPointers<T>> at;
  for (AdamSlot& s : slots)
    at.push_back({s.param.mutable_data<T>(), s.grad.data<T>(), s.m.mutable_data<T>(), s.v.mutable_data<T>()});
  const auto chunks = chunks_of(slots.size(), [&](std::size_t t) { return slots[t].param.numel(); });
  const std::int64_t count = static_cast<std::int64_t>(chunks.size());
  const auto update = kernels<T>().adam;
#pragma omp parallel for schedule(static) if (count > 1)
  for (std::int64_t c = 0; c < count; ++c) {
    const auto [t, first, n] = chunks[c];
    const AdamPointers<T>& a = at[t];
    update(options, step, a.param + first, a.grad + first, a.m + first, a.v + first, n);
  }
}

template <typename T>
struct SgdPointers {
  T* param;
  const T* grad;
  T* momentum;
};

template <typename T>
void sgd(std::span<SgdSlot> slots, const SgdOptions& options, bool first_step) {
  const bool with_momentum = options.momentum != 0;
  std::vector<SgdPointers<T>> at;
  for (SgdSlot& s : slots)
    at.push_back({s.param.mutable_data<T>(), s.grad.data<T>(),
                  with_momentum ? s.momentum.mutable_data<T>() : nullptr});
  const T lr = static_cast<T>(options.lr), decay = static_cast<T>(options.weight_decay);
  const T momentum = static_cast<T>(options.momentum);
  const T keep = first_step ? T(0) : momentum;  // 0 ignores the buffer, which is uninitialised at first
  const auto chunks = chunks_of(slots.size(), [&](std::size_t t) { return slots[t].param.numel(); });
  const std::int64_t count = static_cast<std::int64_t>(chunks.size());
#pragma omp parallel for schedule(static) if (count > 1)
  for (std::int64_t c = 0; c < count; ++c) {
    const auto [t, first, n] = chunks[c];
    T* __restrict p = at[t].param + first;
    const T* __restrict grad = at[t].grad + first;
    if (!with_momentum) {
      for (std::int64_t i = 0; i < n; ++i) p[i] -= lr * (grad[i] + decay * p[i]);
      continue;
    }
    T* __restrict buffer = at[t].momentum + first;
    if (first_step) std::fill(buffer, buffer + n, T(0));
    for (std::int64_t i = 0; i < n; ++i) {
      const T g = grad[i] + decay * p[i];
      buffer[i] = keep * buffer[i] + g;
      p[i] -= lr * (options.nesterov ? g + momentum * buffer[i] : buffer[i]);
    }
  }
}

/// Calls body(tensor, first, count) for all chunks of the slots' parameters, on all threads.
template <typename Body>
void for_chunks(std::span<SamSlot> slots, const Body& body) {
  const auto chunks = chunks_of(slots.size(), [&](std::size_t t) { return slots[t].param.numel(); });
  const std::int64_t count = static_cast<std::int64_t>(chunks.size());
#pragma omp parallel for schedule(static) if (count > 1)
  for (std::int64_t c = 0; c < count; ++c) body(chunks[c].tensor, chunks[c].first, chunks[c].count);
}

template <typename T>
struct SamPointers {
  T* param;
  const T* grad;
  T* saved;
};

template <typename T>
double sum_of_squares(const T* x, std::int64_t n) {
  double lane[8] = {};  // a fixed order that vectorises
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int j = 0; j < 8; ++j) lane[j] += static_cast<double>(x[i + j]) * static_cast<double>(x[i + j]);
  }
  for (int j = 0; i < n; ++i, ++j) lane[j] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

}  // namespace

void CpuBackend::adam_step(std::span<AdamSlot> slots, const AdamOptions& options, std::int64_t step) {
  require<ConfigError>(step >= 1, "[adam] steps count from 1, got ", step);
  if (slots.empty()) return;
  for (const AdamSlot& s : slots) {
    require_like("adam", "gradient", s.param, s.grad);
    require_like("adam", "first moment", s.param, s.m);
    require_like("adam", "second moment", s.param, s.v);
  }
  dispatch_floating(slots[0].param.dtype(), "adam", [&]<typename T>() { adam<T>(slots, options, step); });
}

void CpuBackend::sgd_step(std::span<SgdSlot> slots, const SgdOptions& options, std::int64_t step) {
  require<ConfigError>(step >= 1, "[sgd] steps count from 1, got ", step);
  if (slots.empty()) return;
  for (const SgdSlot& s : slots) {
    require_like("sgd", "gradient", s.param, s.grad);
    if (options.momentum != 0) require_like("sgd", "momentum buffer", s.param, s.momentum);
  }
  dispatch_floating(slots[0].param.dtype(), "sgd", [&]<typename T>() { sgd<T>(slots, options, step == 1); });
}

void CpuBackend::sam_ascend(std::span<SamSlot> slots, double rho, const Tensor& norm) {
  if (slots.empty()) return;
  for (const SamSlot& s : slots) {
    if (s.grad.defined()) require_like("sam", "gradient", s.param, s.grad);
    require_like("sam", "saved copy", s.param, s.saved);
  }
  const double factor = rho / (*norm.data<double>() + 1e-12);
  dispatch_floating(slots[0].param.dtype(), "sam", [&]<typename T>() {
    const T by = static_cast<T>(factor);
    std::vector<SamPointers<T>> at;
    for (SamSlot& s : slots) {
      at.push_back({s.param.mutable_data<T>(), s.grad.defined() ? s.grad.data<T>() : nullptr,
                    s.saved.mutable_data<T>()});
    }
    for_chunks(slots, [&](std::size_t t, std::int64_t first, std::int64_t n) {
      T* p = at[t].param + first;
      std::copy_n(p, n, at[t].saved + first);
      if (at[t].grad == nullptr) return;
      const T* grad = at[t].grad + first;
      for (std::int64_t i = 0; i < n; ++i) p[i] += by * grad[i];
    });
  });
}

void CpuBackend::sam_restore(std::span<SamSlot> slots) {
  if (slots.empty()) return;
  for (const SamSlot& s : slots) require_like("sam", "saved copy", s.param, s.saved);
  dispatch_floating(slots[0].param.dtype(), "sam", [&]<typename T>() {
    std::vector<SamPointers<T>> at;
    for (SamSlot& s : slots) at.push_back({s.param.mutable_data<T>(), nullptr, s.saved.mutable_data<T>()});
    for_chunks(slots, [&](std::size_t t, std::int64_t first, std::int64_t n) {
      std::copy_n(at[t].saved + first, n, at[t].param + first);
    });
  });
}

void CpuBackend::global_norm(std::span<const Tensor> tensors, Tensor& norm) {
  const auto chunks = chunks_of(tensors.size(), [&](std::size_t t) { return tensors[t].numel(); });
  const std::int64_t count = static_cast<std::int64_t>(chunks.size());
  for (const Tensor& t : tensors) dispatch_floating(t.dtype(), "global_norm", []<typename T>() {});
  std::vector<double> sums(chunks.size());
#pragma omp parallel for schedule(static) if (count > 1)
  for (std::int64_t c = 0; c < count; ++c) {
    const auto [t, first, n] = chunks[c];
    const Tensor& x = tensors[t];
    sums[c] = x.dtype() == DType::float32 ? sum_of_squares(x.data<float>() + first, n)
                                          : sum_of_squares(x.data<double>() + first, n);
  }
  double total = 0;
  for (double sum : sums) total += sum;
  *norm.mutable_data<double>() = std::sqrt(total);
}

}  // namespace fer
#endif  // HWY_ONCE
