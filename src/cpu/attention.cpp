// Multi-head attention (Eq. 4) of N x T x D tensors: distributes the heads over threads, on top of the tiled
// kernels of attention-inl.h. Gradient contract: backward recomputes the scores from q and k, and needs y and
// log_sum_exp.
//
// Threads share batch x heads, and also ranges of queries if there are fewer heads than threads (forward
// only: in backward, the gradients of a head's keys sum over all of its queries). One thread computes each
// row of an output, in one order, so results do not depend on the number of threads.

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/attention.cpp"
#include "cpu/simd.h"
// simd.h must come first
#include "cpu/attention-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fer::HWY_NAMESPACE {
namespace {

AttentionKernels<float> kernels_f32() {
  return {forward_head<float>, backward_head<float>};
}
AttentionKernels<double> kernels_f64() {
  return {forward_head<double>, backward_head<double>};
}

}  // namespace
}  // namespace fer::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <omp.h>

#include "cpu/cpu_backend.h"
#include "cpu/parallel.h"
#include "tensor/operand_checks.h"

namespace fer {

using namespace detail;
FER_SIMD_EXPORT(AttentionKernels)

namespace {

template <typename T>
AttentionProblem<T> problem(const char* op, const Tensor& q, const Tensor& k, const Tensor& v,
                            const AttentionBias& bias, int heads, const Tensor& y,
                            const Tensor& log_sum_exp) {
  require<ShapeError>(q.rank() == 3 && k.rank() == 3 && v.shape() == k.shape() && k.dim(0) == q.dim(0) &&
                          k.dim(2) == q.dim(2),
                      "[", op, "] needs q N x Tq x D and k, v N x Tk x D, got ", q.shape(), ", ", k.shape(),
                      " and ", v.shape());
  require<ShapeError>(heads > 0 && q.dim(2) % heads == 0, "[", op, "] width ", q.dim(2),
                      " does not divide into ", heads, " heads");
  require<ShapeError>(k.dim(1) > 0, "[", op, "] there are no keys to attend to: k is ", k.shape());
  require<ShapeError>(y.shape() == q.shape() && log_sum_exp.numel() == q.dim(0) * heads * q.dim(1), "[", op,
                      "] q ", q.shape(), " with ", heads, " heads does not fit y ", y.shape(),
                      " and log_sum_exp ", log_sum_exp.shape());
  AttentionProblem<T> a{};
  a.batch = q.dim(0);
  a.queries = q.dim(1);
  a.keys = k.dim(1);
  a.dim = q.dim(2);
  a.heads = heads;
  a.width = a.dim / heads;
  a.scale = static_cast<T>(1.0 / std::sqrt(static_cast<double>(a.width)));
  a.q = q.data<T>();
  a.k = k.data<T>();
  a.v = v.data<T>();
  check_attention_bias(bias, {a.batch, heads, a.queries, a.keys}, q);
  if (bias.bias.defined()) a.bias = {bias.bias.data<T>(), bias.bias.shape()};
  if (bias.mask.defined()) a.mask = {bias.mask.data<std::uint8_t>(), bias.mask.shape()};
  return a;
}

/// Calls body(task, scratch) for each task. Each thread has its own scratch memory (`size` elements).
template <typename T, typename Body>
void parallel_tasks(std::int64_t tasks, std::int64_t size, const Body& body) {
  const int threads = static_cast<int>(std::min<std::int64_t>(omp_get_max_threads(), tasks));
  Tensor scratch = Tensor::empty({threads, size}, dtype_of<T>(), Device::cpu);
  T* base = scratch.mutable_data<T>();
#pragma omp parallel num_threads(threads)
  {
    T* mine = base + omp_get_thread_num() * size;
#pragma omp for schedule(static)
    for (std::int64_t task = 0; task < tasks; ++task) body(task, mine);
  }
}

}  // namespace

void CpuBackend::attention_forward(const Tensor& q, const Tensor& k, const Tensor& v,
                                   const AttentionBias& bias, int heads, Tensor& y, Tensor& log_sum_exp) {
  dispatch_floating(q.dtype(), "attention", [&]<typename T>() {
    auto a = problem<T>("attention", q, k, v, bias, heads, y, log_sum_exp);
    a.y = y.mutable_data<T>();
    a.log_sum_exp = log_sum_exp.mutable_data<T>();
    if (y.numel() == 0) return;
    const std::int64_t head_count = a.batch * a.heads;
    const std::int64_t tiles = (a.queries + kQueryTile - 1) / kQueryTile;
    const std::int64_t ranges =
        std::min(tiles, (omp_get_max_threads() + head_count - 1) / head_count);  // of queries, per head
    const auto kernel = kernels<T>().forward;
    parallel_tasks<T>(
        head_count * ranges, ForwardScratch<T>(a, nullptr).size, [&](std::int64_t task, T* scratch) {
          const std::int64_t head = task / ranges, range = task % ranges;
          const std::int64_t first = tiles * range / ranges * kQueryTile;
          const std::int64_t last = std::min(a.queries, tiles * (range + 1) / ranges * kQueryTile);
          kernel(a, head / a.heads, head % a.heads, first, last, scratch);
        });
  });
}

void CpuBackend::attention_backward(const Tensor& q, const Tensor& k, const Tensor& v,
                                    const AttentionBias& bias, const Tensor& y, const Tensor& log_sum_exp,
                                    const Tensor& dy, int heads, Tensor& dq, Tensor& dk, Tensor& dv,
                                    Tensor& dscores) {
  dispatch_floating(q.dtype(), "attention", [&]<typename T>() {
    auto a = problem<T>("attention", q, k, v, bias, heads, y, log_sum_exp);
    require<ShapeError>(dy.shape() == q.shape() && dq.shape() == q.shape() && dk.shape() == k.shape() &&
                            dv.shape() == k.shape(),
                        "[attention] gradients ", dy.shape(), ", ", dq.shape(), ", ", dk.shape(), " and ",
                        dv.shape(), " do not fit q ", q.shape(), " and k ", k.shape());
    a.saved_y = y.data<T>();
    a.saved_log_sum_exp = log_sum_exp.data<T>();
    a.dy = dy.data<T>();
    a.dq = dq.mutable_data<T>();
    a.dk = dk.mutable_data<T>();
    a.dv = dv.mutable_data<T>();
    if (dscores.defined()) {
      require_size("attention", "dscores", dscores, a.batch * heads * a.queries * a.keys);
      a.dscores = dscores.mutable_data<T>();
    }
    if (dk.numel() == 0) return;
    const auto kernel = kernels<T>().backward;
    parallel_tasks<T>(
        a.batch * a.heads, BackwardScratch<T>(a, nullptr).size,
        [&](std::int64_t task, T* scratch) { kernel(a, task / a.heads, task % a.heads, scratch); });
  });
}

}  // namespace fer
#endif  // HWY_ONCE
