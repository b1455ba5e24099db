// Classification losses over N x K scores. With p = softmax(scores) and a target distribution t per row,
//   loss = 1/N sum_i sum_k -t_ik log p_ik,   dscores = dloss / N (p sum_k t_k - t),
//   dtarget = -dloss / N log p.
// Hard labels are t = (1 - smoothing) onehot + smoothing / K. The entropy H = -sum_k p_k log p_k of a row has
//   dscores_k = -dH p_k (log p_k + H).
//
// A thread computes a row (maximum, sum and results) in one kernel; labels.h explains why its reads still use
// whole lines. A tree in double adds the losses of a block's 128 rows, and total.h adds the blocks. Only the
// gradient for hard labels, which needs no sum, has one thread per element.
// Floor: the bytes, 8 per element forward and 8 to 20 backward in float; two exponentials per element. A
// batch has a few kilobytes, so only the number of launches matters: one per loss.
#include "cuda/device_backend.h"
#include "cuda/labels.h"
#include "cuda/total.h"

namespace fer::FER_DEVICE_NAMESPACE {
namespace {

constexpr int threads = 128;  // rows per block

struct Extents {
  index_t samples;
  int classes;
};

Extents extents(const char* op, const Tensor& scores) {
  require<ShapeError>(scores.rank() == 2 && scores.dim(1) > 0, "[", op, "] needs scores N x K, got ",
                      scores.shape());
  return {scores.dim(0), static_cast<int>(scores.dim(1))};
}

/// Like extents, for a mean over the samples.
Extents mean_extents(const char* op, const Tensor& scores) {
  const Extents e = extents(op, scores);
  require<DataError>(e.samples > 0, "[", op, "] an empty batch has no mean loss");
  return e;
}

unsigned row_blocks(index_t rows) {
  return static_cast<unsigned>(ceil_div(rows, threads));
}

/// t = on * onehot + off.
template <typename T>
struct Smoothing {
  T on, off;
  Smoothing(double label_smoothing, int classes)
      : on(static_cast<T>(1 - label_smoothing)), off(static_cast<T>(label_smoothing / classes)) {}
};

template <typename T>
__global__ void cross_entropy_kernel(const T* scores, const index_t* labels, index_t samples, int classes,
                                     Smoothing<T> target, T* probabilities,
                                     TotalSink<StoreQuotient<T>> sink) {
  const index_t i = first_item();
  T loss = 0;
  if (i < samples) {
    const T* x = scores + i * classes;
    T* p = probabilities + i * classes;
    const RowSoftmax<T> softmax(x, classes);
    T all = 0;  // -sum_k log p_k
    for (int k = 0; k < classes; ++k) {
      p[k] = gpu::exp(x[k] - softmax.max) / softmax.sum;
      if (target.off != 0) all += softmax.log_sum - (x[k] - softmax.max);
    }
    loss = target.on * (softmax.log_sum - (x[labels[i]] - softmax.max));
    if (target.off != 0) loss += target.off * all;
  }
  sink.add(static_cast<double>(loss));
}

template <typename T>
__global__ void cross_entropy_backward_kernel(const T* probabilities, const index_t* labels, index_t samples,
                                              int classes, Smoothing<T> target, const T* dloss, T* dscores) {
  const T factor = *dloss / static_cast<T>(samples);
  for (index_t at = first_item(); at < samples * classes; at += item_step()) {
    const index_t i = at / classes;
    const T t = at - i * classes == labels[i] ? target.on + target.off : target.off;
    dscores[at] = factor * (probabilities[at] - t);
  }
}

template <typename T>
__global__ void soft_cross_entropy_kernel(const T* scores, const T* target, index_t samples, int classes,
                                          T* probabilities, TotalSink<StoreQuotient<T>> sink) {
  const index_t i = first_item();
  T loss = 0;
  if (i < samples) {
    const T* x = scores + i * classes;
    const T* t = target + i * classes;
    T* p = probabilities + i * classes;
    const RowSoftmax<T> softmax(x, classes);
    for (int k = 0; k < classes; ++k) {
      p[k] = gpu::exp(x[k] - softmax.max) / softmax.sum;
      loss += t[k] * (softmax.log_sum - (x[k] - softmax.max));
    }
  }
  sink.add(static_cast<double>(loss));
}

/// dtarget may be null. scores are read only for dtarget.
template <typename T>
__global__ void soft_cross_entropy_backward_kernel(const T* scores, const T* probabilities, const T* target,
                                                   index_t samples, int classes, const T* dloss, T* dscores,
                                                   T* dtarget) {
  const index_t i = first_item();
  if (i >= samples) return;
  const T factor = *dloss / static_cast<T>(samples);
  const T* t = target + i * classes;
  T total = 0;
  for (int k = 0; k < classes; ++k) total += t[k];
  for (int k = 0; k < classes; ++k) {
    dscores[i * classes + k] = factor * (probabilities[i * classes + k] * total - t[k]);
  }
  if (dtarget == nullptr) return;
  const T* x = scores + i * classes;
  const RowSoftmax<T> softmax(x, classes);
  for (int k = 0; k < classes; ++k) {
    dtarget[i * classes + k] = factor * (softmax.log_sum - (x[k] - softmax.max));
  }
}

template <typename T>
__global__ void entropy_kernel(const T* scores, index_t samples, int classes, T* entropy) {
  const index_t i = first_item();
  if (i >= samples) return;
  const T* x = scores + i * classes;
  entropy[i] = RowSoftmax<T>(x, classes).entropy(x, classes);
}

template <typename T>
__global__ void entropy_backward_kernel(const T* scores, const T* entropy, const T* dentropy, index_t samples,
                                        int classes, T* dscores) {
  const index_t i = first_item();
  if (i >= samples) return;
  const T* x = scores + i * classes;
  const RowSoftmax<T> softmax(x, classes);
  for (int k = 0; k < classes; ++k) {
    const T shifted = x[k] - softmax.max;
    const T p = gpu::exp(shifted) / softmax.sum;
    dscores[i * classes + k] = p == T(0) ? T(0) : -dentropy[i] * p * (shifted - softmax.log_sum + entropy[i]);
  }
}

}  // namespace

void DeviceBackend::cross_entropy_forward(const Tensor& scores, const Tensor& labels, double label_smoothing,
                                          Tensor& loss, Tensor& probabilities) {
  const Extents e = mean_extents("cross_entropy", scores);
  require_size("cross_entropy", "probabilities", probabilities, scores.numel());
  check_labels("cross_entropy", labels, e.samples, e.classes);
  dispatch_floating(scores.dtype(), "cross_entropy", [&]<typename T>() {
    const StoreQuotient<T> mean{loss.mutable_data<T>(), static_cast<double>(e.samples)};
    total(*this, stream_, row_blocks(e.samples), mean, [&](const auto& sink) {
      gpu::launch(cross_entropy_kernel<T>, row_blocks(e.samples), threads, 0, stream_, scores.data<T>(),
                  labels.data<std::int64_t>(), e.samples, e.classes, Smoothing<T>(label_smoothing, e.classes),
                  probabilities.mutable_data<T>(), sink);
    });
  });
}

void DeviceBackend::cross_entropy_backward(const Tensor& probabilities, const Tensor& labels,
                                           double label_smoothing, const Tensor& dloss, Tensor& dscores) {
  const Extents e = mean_extents("cross_entropy", probabilities);
  require_size("cross_entropy", "labels", labels, e.samples);
  require_size("cross_entropy", "dscores", dscores, probabilities.numel());
  dispatch_floating(probabilities.dtype(), "cross_entropy", [&]<typename T>() {
    gpu::launch(cross_entropy_backward_kernel<T>, blocks_for(probabilities.numel(), threads), threads, 0,
                stream_, probabilities.data<T>(), labels.data<std::int64_t>(), e.samples, e.classes,
                Smoothing<T>(label_smoothing, e.classes), dloss.data<T>(), dscores.mutable_data<T>());
  });
}

void DeviceBackend::soft_cross_entropy_forward(const Tensor& scores, const Tensor& target, Tensor& loss,
                                               Tensor& probabilities) {
  const Extents e = mean_extents("soft_cross_entropy", scores);
  require<ShapeError>(target.shape() == scores.shape(), "[soft_cross_entropy] target ", target.shape(),
                      " does not fit scores ", scores.shape());
  require_size("soft_cross_entropy", "probabilities", probabilities, scores.numel());
  dispatch_floating(scores.dtype(), "soft_cross_entropy", [&]<typename T>() {
    const StoreQuotient<T> mean{loss.mutable_data<T>(), static_cast<double>(e.samples)};
    total(*this, stream_, row_blocks(e.samples), mean, [&](const auto& sink) {
      gpu::launch(soft_cross_entropy_kernel<T>, row_blocks(e.samples), threads, 0, stream_, scores.data<T>(),
                  target.data<T>(), e.samples, e.classes, probabilities.mutable_data<T>(), sink);
    });
  });
}

void DeviceBackend::soft_cross_entropy_backward(const Tensor& scores, const Tensor& probabilities,
                                                const Tensor& target, const Tensor& dloss, Tensor& dscores,
                                                Tensor& dtarget) {
  const Extents e = mean_extents("soft_cross_entropy", scores);
  require_size("soft_cross_entropy", "probabilities", probabilities, scores.numel());
  require_size("soft_cross_entropy", "target", target, scores.numel());
  require_size("soft_cross_entropy", "dscores", dscores, scores.numel());
  if (dtarget.defined()) require_size("soft_cross_entropy", "dtarget", dtarget, scores.numel());
  dispatch_floating(scores.dtype(), "soft_cross_entropy", [&]<typename T>() {
    gpu::launch(soft_cross_entropy_backward_kernel<T>, row_blocks(e.samples), threads, 0, stream_,
                scores.data<T>(), probabilities.data<T>(), target.data<T>(), e.samples, e.classes,
                dloss.data<T>(), dscores.mutable_data<T>(), mutable_data_or_null<T>(dtarget));
  });
}

void DeviceBackend::entropy_forward(const Tensor& scores, Tensor& entropy) {
  const Extents e = extents("entropy", scores);
  require_size("entropy", "entropy", entropy, e.samples);
  if (e.samples == 0) return;
  dispatch_floating(scores.dtype(), "entropy", [&]<typename T>() {
    gpu::launch(entropy_kernel<T>, row_blocks(e.samples), threads, 0, stream_, scores.data<T>(), e.samples,
                e.classes, entropy.mutable_data<T>());
  });
}

void DeviceBackend::entropy_backward(const Tensor& scores, const Tensor& entropy, const Tensor& dentropy,
                                     Tensor& dscores) {
  const Extents e = extents("entropy", scores);
  require_size("entropy", "entropy", entropy, e.samples);
  require_size("entropy", "dentropy", dentropy, e.samples);
  require_size("entropy", "dscores", dscores, scores.numel());
  if (e.samples == 0) return;
  dispatch_floating(scores.dtype(), "entropy", [&]<typename T>() {
    gpu::launch(entropy_backward_kernel<T>, row_blocks(e.samples), threads, 0, stream_, scores.data<T>(),
                entropy.data<T>(), dentropy.data<T>(), e.samples, e.classes, dscores.mutable_data<T>());
  });
}

}  // namespace fer::FER_DEVICE_NAMESPACE
