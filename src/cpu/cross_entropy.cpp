// Classification losses over N x K scores. With p = softmax(scores) and a target distribution t per row,
//   loss = 1/N sum_i sum_k -t_ik log p_ik,
//   dscores = dloss / N (p sum_k t_k - t),   dtarget = -dloss / N log p.
// Hard labels are t = (1 - smoothing) onehot + smoothing / K. The entropy H = -sum_k p_k log p_k of a row has
// dscores_k = -dH p_k (log p_k + H).
// The losses of the samples are added up in float64, in the order of the samples.
#include <cmath>
#include <vector>

#include "cpu/cpu_backend.h"
#include "cpu/labels.h"

namespace fer {
namespace {

using detail::checked_labels;
using detail::RowSoftmax;

struct Extents {
  std::int64_t samples, classes;
};

Extents extents(const char* op, const Tensor& scores) {
  require<ShapeError>(scores.rank() == 2 && scores.dim(1) > 0, "[", op, "] needs scores N x K, got ",
                      scores.shape());
  return {scores.dim(0), scores.dim(1)};
}

// Like extents(), for a mean over the samples.
Extents mean_extents(const char* op, const Tensor& scores) {
  const Extents e = extents(op, scores);
  require<DataError>(e.samples > 0, "[", op, "] an empty batch has no mean loss");
  return e;
}

double mean(const std::vector<double>& losses) {
  double sum = 0;
  for (double loss : losses) sum += loss;
  return sum / static_cast<double>(losses.size());
}

// With fewer scores, threads cost more than they gain.
constexpr std::int64_t kParallelScores = 1 << 14;

}  // namespace

void CpuBackend::cross_entropy_forward(const Tensor& scores, const Tensor& labels, double label_smoothing,
                                       Tensor& loss, Tensor& probabilities) {
  const auto [n, classes] = mean_extents("cross_entropy", scores);
  const std::int64_t* label = checked_labels("cross_entropy", labels, n, classes);
  dispatch_floating(scores.dtype(), "cross_entropy", [&, n = n, classes = classes]<typename T>() {
    const T* x = scores.data<T>();
    T* p = probabilities.mutable_data<T>();
    const T on = static_cast<T>(1 - label_smoothing);
    const T off = static_cast<T>(label_smoothing / static_cast<double>(classes));
    std::vector<double> losses(n);
#pragma omp parallel for schedule(static) if (n * classes > kParallelScores)
    for (std::int64_t i = 0; i < n; ++i) {
      const T* row = x + i * classes;
      const RowSoftmax<T> softmax(row, classes);
      for (std::int64_t k = 0; k < classes; ++k)
        p[i * classes + k] = std::exp(row[k] - softmax.max) / softmax.sum;
      T value = on * (softmax.log_sum - (row[label[i]] - softmax.max));
      if (off != 0) {
        T all = 0;
        for (std::int64_t k = 0; k < classes; ++k) all += softmax.log_sum - (row[k] - softmax.max);
        value += off * all;
      }
      losses[i] = value;
    }
    *loss.mutable_data<T>() = static_cast<T>(mean(losses));
  });
}

void CpuBackend::cross_entropy_backward(const Tensor& probabilities, const Tensor& labels,
                                        double label_smoothing, const Tensor& dloss, Tensor& dscores) {
  const auto [n, classes] = mean_extents("cross_entropy", probabilities);
  const std::int64_t* label = checked_labels("cross_entropy", labels, n, classes);
  dispatch_floating(probabilities.dtype(), "cross_entropy", [&, n = n, classes = classes]<typename T>() {
    const T* p = probabilities.data<T>();
    T* dx = dscores.mutable_data<T>();
    const T factor = *dloss.data<T>() / static_cast<T>(n);
    const T on = static_cast<T>(1 - label_smoothing);
    const T off = static_cast<T>(label_smoothing / static_cast<double>(classes));
#pragma omp parallel for schedule(static) if (n * classes > kParallelScores)
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t k = 0; k < classes; ++k) {
        const T target = k == label[i] ? on + off : off;
        dx[i * classes + k] = factor * (p[i * classes + k] - target);
      }
    }
  });
}

void CpuBackend::soft_cross_entropy_forward(const Tensor& scores, const Tensor& target, Tensor& loss,
                                            Tensor& probabilities) {
  const auto [n, classes] = mean_extents("soft_cross_entropy", scores);
  require<ShapeError>(target.shape() == scores.shape(), "[soft_cross_entropy] target ", target.shape(),
                      " does not fit scores ", scores.shape());
  dispatch_floating(scores.dtype(), "soft_cross_entropy", [&, n = n, classes = classes]<typename T>() {
    const T* x = scores.data<T>();
    const T* t = target.data<T>();
    T* p = probabilities.mutable_data<T>();
    std::vector<double> losses(n);
#pragma omp parallel for schedule(static) if (n * classes > kParallelScores)
    for (std::int64_t i = 0; i < n; ++i) {
      const RowSoftmax<T> softmax(x + i * classes, classes);
      T value = 0;
      for (std::int64_t j = i * classes; j < (i + 1) * classes; ++j) {
        p[j] = std::exp(x[j] - softmax.max) / softmax.sum;
        value += t[j] * (softmax.log_sum - (x[j] - softmax.max));
      }
      losses[i] = value;
    }
    *loss.mutable_data<T>() = static_cast<T>(mean(losses));
  });
}

void CpuBackend::soft_cross_entropy_backward(const Tensor& scores, const Tensor& probabilities,
                                             const Tensor& target, const Tensor& dloss, Tensor& dscores,
                                             Tensor& dtarget) {
  const auto [n, classes] = mean_extents("soft_cross_entropy", scores);
  dispatch_floating(scores.dtype(), "soft_cross_entropy", [&, n = n, classes = classes]<typename T>() {
    const T* x = scores.data<T>();
    const T* p = probabilities.data<T>();
    const T* t = target.data<T>();
    T* dx = dscores.mutable_data<T>();
    T* dt = dtarget.defined() ? dtarget.mutable_data<T>() : nullptr;
    const T factor = *dloss.data<T>() / static_cast<T>(n);
#pragma omp parallel for schedule(static) if (n * classes > kParallelScores)
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int64_t first = i * classes, last = first + classes;
      T total = 0;
      for (std::int64_t j = first; j < last; ++j) total += t[j];
      for (std::int64_t j = first; j < last; ++j) dx[j] = factor * (p[j] * total - t[j]);
      if (!dt) continue;
      const RowSoftmax<T> softmax(x + first, classes);
      for (std::int64_t j = first; j < last; ++j) dt[j] = factor * (softmax.log_sum - (x[j] - softmax.max));
    }
  });
}

void CpuBackend::entropy_forward(const Tensor& scores, Tensor& entropy) {
  const auto [n, classes] = extents("entropy", scores);
  dispatch_floating(scores.dtype(), "entropy", [&, n = n, classes = classes]<typename T>() {
    const T* x = scores.data<T>();
    T* h = entropy.mutable_data<T>();
#pragma omp parallel for schedule(static) if (n * classes > kParallelScores)
    for (std::int64_t i = 0; i < n; ++i)
      h[i] = RowSoftmax<T>(x + i * classes, classes).entropy(x + i * classes, classes);
  });
}

void CpuBackend::entropy_backward(const Tensor& scores, const Tensor& entropy, const Tensor& dentropy,
                                  Tensor& dscores) {
  const auto [n, classes] = extents("entropy", scores);
  dispatch_floating(scores.dtype(), "entropy", [&, n = n, classes = classes]<typename T>() {
    const T* x = scores.data<T>();
    const T* h = entropy.data<T>();
    const T* dh = dentropy.data<T>();
    T* dx = dscores.mutable_data<T>();
#pragma omp parallel for schedule(static) if (n * classes > kParallelScores)
    for (std::int64_t i = 0; i < n; ++i) {
      const RowSoftmax<T> softmax(x + i * classes, classes);
      for (std::int64_t j = i * classes; j < (i + 1) * classes; ++j) {
        const T shifted = x[j] - softmax.max;
        const T p = std::exp(shifted) / softmax.sum;
        dx[j] = p == 0 ? T(0) : -dh[i] * p * (shifted - softmax.log_sum + h[i]);
      }
    }
  });
}

}  // namespace fer
