// NeAA (Eqs. 6-10): the anchors of the classes, the distance of samples to them, and the spread of the
// neutral samples. Features f are N x D, Dist(a, b) = 1/D sum_d (a_d - b_d)^2. Gradient contract:
//   anchor:   df_i += g_c (f_i - a) for each sample of class c, df_a -= g_c sum_i (f_i - a),
//             g_c = 2 dloss / (n_c D)
//   neutral:  df_i = dloss 4 n / (D (n - 1)^2) (f_i - mean)
// Sums run in float64 in a fixed order: a batch has hundreds of samples, and their anchors should not depend
// on rounding.
//
// Anchors: one block per class, one thread per sample.
// Losses and gradients: a block handles 32 columns of the features, and in the anchor loss one class. Its 8
// warps divide the samples, and the 32 lanes of a warp read 32 neighbouring columns of one sample. A label is
// one broadcast read, so a block skips samples of other classes cheaply. The sums for means and for gradients
// of anchors combine the 8 warps in a fixed order. total.h adds the blocks' parts of a loss.
// The work is linear in the batch: the anchor loss reads every feature once, the neutral loss twice (the
// second time from the cache). The pairwise form of the neutral loss reads each n times.
// Floor: the bytes, 4 N D forward and 8 N D backward in float, and three operations per feature.
#include "cuda/device_backend.h"
#include "cuda/labels.h"
#include "cuda/total.h"

namespace fer::FER_DEVICE_NAMESPACE {
namespace {

constexpr int columns = 32, warps = 8;  // per block
constexpr int anchor_threads = 128;
constexpr index_t none = 0x7fffffffffffffff;

/// The batch, as kernels see it.
template <typename T>
struct Samples {
  const T* features;
  const index_t* labels;
  index_t count;
  int dim;
  int column_blocks;

  __device__ __forceinline__ int column() const {
    return static_cast<int>(blockIdx.x) % column_blocks * columns + static_cast<int>(threadIdx.x);
  }
  __device__ __forceinline__ double at(index_t i, int d) const {
    return static_cast<double>(features[i * dim + d]);
  }
  /// Whether sample i is of class c, or, if c = classes, of no valid class.
  __device__ __forceinline__ bool is_member(index_t i, int c, int classes) const {
    const index_t label = labels[i];
    return c < classes ? label == c : label < 0 || label >= classes;
  }
};

/// The number of samples with label `wanted`, and the first of them. All threads of the block must call.
struct Members {
  index_t count, first;

  __device__ __forceinline__ Members(const index_t* labels, index_t samples, index_t wanted) {
    index_t found = 0, least = none;
    for (index_t i = thread_rank(); i < samples; i += block_threads()) {
      if (labels[i] != wanted) continue;
      ++found;
      least = gpu::min(least, i);
    }
    count = block_sum(found);
    first = block_reduce(least, none, MinOf{});
  }
};

/// The sum of `value` over the warps, for this thread's column, in a fixed order. All threads of the block
/// must call, and all get the sum.
__device__ __forceinline__ double column_sum(double value) {
  FER_SHARED(double, part, [warps][columns]);
  __syncthreads();  // other threads may still read an earlier sum
  part[threadIdx.y][threadIdx.x] = value;
  __syncthreads();
  double sum = 0;
  FER_UNROLL
  for (int w = 0; w < warps; ++w) sum += part[w][threadIdx.x];
  return sum;
}

/// Block c finds the sample of class c with the least entropy, the first on a tie. A NaN never wins, unless
/// it is the entropy of the class's first sample: then that sample is the anchor.
template <typename T>
__global__ void class_anchors_kernel(const T* scores, const index_t* labels, index_t samples, int classes,
                                     index_t* anchors) {
  const index_t c = blockIdx.x;
  const auto entropy_of = [&](index_t i) {
    const T* x = scores + i * classes;
    return RowSoftmax<double>(x, classes).entropy(x, classes);
  };
  double least = gpu::infinity<double>();
  index_t mine = none;
  for (index_t i = threadIdx.x; i < samples; i += blockDim.x) {
    if (labels[i] != c) continue;
    const double entropy = entropy_of(i);
    if (!(entropy < least)) continue;
    least = entropy;
    mine = i;
  }
  const double best = block_reduce(least, gpu::infinity<double>(), MinOf{});
  const index_t anchor = block_reduce(least == best ? mine : none, none, MinOf{});
  const Members members(labels, samples, c);
  if (threadIdx.x != 0) return;
  if (members.count == 0) {
    anchors[c] = -1;
    return;
  }
  const double first = entropy_of(members.first);
  anchors[c] = first == first && anchor != none ? anchor : members.first;
}

/// The anchors of `classes` classes. The class `skip` is left out of the loss.
struct Anchors {
  const index_t* of;
  int classes;
  index_t skip;

  /// The anchor of class c; -1 if it has none or is left out.
  __device__ __forceinline__ index_t at(int c, index_t samples) const {
    if (c >= classes || c == skip) return -1;
    return of[c] < samples ? of[c] : -1;
  }
};

template <typename T>
__global__ void anchor_loss_kernel(Samples<T> samples, Anchors anchors, TotalSink<StoreQuotient<T>> sink) {
  const int c = static_cast<int>(blockIdx.x) / samples.column_blocks, d = samples.column();
  const index_t anchor = anchors.at(c, samples.count);
  double sum = 0;
  if (anchor >= 0 && d < samples.dim) {
    const double a = samples.at(anchor, d);
    for (index_t i = threadIdx.y; i < samples.count; i += warps) {
      if (samples.labels[i] != c) continue;
      const double difference = samples.at(i, d) - a;
      sum += difference * difference;
    }
  }
  const Members members(samples.labels, samples.count, c);
  sink.add(members.count > 0 ? sum / static_cast<double>(members.count) : 0.0);
}

/// The blocks of class c write the gradients of its samples, including those that a sample gets as an anchor
/// of any class. The blocks of c = `classes` handle samples without a valid class.
template <typename T>
__global__ void anchor_loss_backward_kernel(Samples<T> samples, Anchors anchors, const T* dloss, T* df) {
  const int c = static_cast<int>(blockIdx.x) / samples.column_blocks, d = samples.column();
  const double upstream = 2 * static_cast<double>(*dloss) / samples.dim;
  const auto factor = [&](const Members& members) { return upstream / static_cast<double>(members.count); };
  {
    const index_t anchor = anchors.at(c, samples.count);
    const double g = factor(Members(samples.labels, samples.count, c));
    const double a = anchor >= 0 && d < samples.dim ? samples.at(anchor, d) : 0.0;
    for (index_t i = threadIdx.y; i < samples.count && d < samples.dim; i += warps) {
      if (!samples.is_member(i, c, anchors.classes)) continue;
      df[i * samples.dim + d] = anchor >= 0 ? static_cast<T>(g * (samples.at(i, d) - a)) : T(0);
    }
  }
  __syncthreads();  // warp 0 now updates gradients of anchors, which other warps have written
  for (int k = 0; k < anchors.classes; ++k) {
    const index_t anchor = anchors.at(k, samples.count);
    if (anchor < 0 || !samples.is_member(anchor, c, anchors.classes)) continue;
    const Members members(samples.labels, samples.count, k);
    if (members.count == 0) continue;
    const double g = factor(members), a = d < samples.dim ? samples.at(anchor, d) : 0.0;
    double pull = 0;
    for (index_t i = threadIdx.y; i < samples.count && d < samples.dim; i += warps) {
      if (samples.labels[i] == k) pull += g * (samples.at(i, d) - a);
    }
    pull = column_sum(pull);
    if (threadIdx.y == 0 && d < samples.dim) {
      T& own = df[anchor * samples.dim + d];
      own = static_cast<T>(static_cast<double>(own) - pull);
    }
  }
}

/// Column d relative to the mean of the neutral samples. The mean is summed from differences to the first
/// neutral sample. Far from the origin these are exact, so f - mean keeps its precision.
template <typename T>
struct Centred {
  Members members;
  double offset, mean;

  /// All threads of the block must call.
  __device__ __forceinline__ Centred(const Samples<T>& samples, index_t neutral)
      : members(samples.labels, samples.count, neutral), offset(0) {
    const int d = samples.column();
    double sum = 0;
    if (members.count > 0 && d < samples.dim) {
      offset = samples.at(members.first, d);
      for (index_t i = threadIdx.y; i < samples.count; i += warps) {
        if (samples.labels[i] == neutral) sum += samples.at(i, d) - offset;
      }
    }
    mean = column_sum(sum) / static_cast<double>(members.count);
  }
  /// n / (D (n - 1)^2), a factor of the loss and of its gradient; 0 for fewer than two samples.
  __device__ __forceinline__ double weight(int dim) const {
    const double n = static_cast<double>(members.count);
    return members.count < 2 ? 0.0 : n / (dim * (n - 1) * (n - 1));
  }
  __device__ __forceinline__ double operator()(double f) const { return f - offset - mean; }
};

template <typename T>
__global__ void neutral_loss_kernel(Samples<T> samples, index_t neutral, TotalSink<StoreQuotient<T>> sink) {
  const Centred<T> centred(samples, neutral);
  const int d = samples.column();
  double sum = 0;
  for (index_t i = threadIdx.y; i < samples.count && d < samples.dim; i += warps) {
    if (samples.labels[i] != neutral) continue;
    const double x = centred(samples.at(i, d));
    sum += x * x;
  }
  const double weight = centred.weight(samples.dim);
  sink.add(weight > 0 ? 2 * weight * sum : 0.0);
}

template <typename T>
__global__ void neutral_loss_backward_kernel(Samples<T> samples, index_t neutral, const T* dloss, T* df) {
  const Centred<T> centred(samples, neutral);
  const int d = samples.column();
  const double weight = centred.weight(samples.dim), factor = 4 * weight * static_cast<double>(*dloss);
  for (index_t i = threadIdx.y; i < samples.count && d < samples.dim; i += warps) {
    const bool counts = weight > 0 && samples.labels[i] == neutral;
    df[i * samples.dim + d] = counts ? static_cast<T>(factor * centred(samples.at(i, d))) : T(0);
  }
}

/// Block i: the distances from sample i to all others.
template <typename T>
__global__ void neutral_pairs_kernel(Samples<T> samples, index_t neutral, TotalSink<StoreQuotient<T>> sink) {
  const index_t i = blockIdx.x;
  const Members members(samples.labels, samples.count, neutral);
  double sum = 0;
  if (samples.labels[i] == neutral && members.count > 1) {
    for (index_t j = threadIdx.y; j < samples.count; j += warps) {
      if (samples.labels[j] != neutral) continue;
      for (int d = static_cast<int>(threadIdx.x); d < samples.dim; d += columns) {
        const double difference = samples.at(i, d) - samples.at(j, d);
        sum += difference * difference;
      }
    }
    const double n = static_cast<double>(members.count);
    sum /= (n - 1) * (n - 1);
  }
  sink.add(sum);
}

template <typename T>
Samples<T> samples_of(const Tensor& features, const Tensor& labels) {
  const index_t dim = features.dim(1);
  return {features.data<T>(), labels.data<std::int64_t>(), features.dim(0), static_cast<int>(dim),
          static_cast<int>(ceil_div(dim, columns))};
}

void check_features(const char* op, const Tensor& features, const Tensor& labels) {
  require<ShapeError>(features.rank() == 2 && features.dim(1) > 0 && labels.numel() == features.dim(0), "[",
                      op, "] needs features N x D and N labels, got ", features.shape(), " and ",
                      labels.shape());
}

/// Checks the values of labels and anchors; waits for the device. Skipped in a captured step (labels.h).
void check_anchors(const Tensor& features, const Tensor& labels, const Tensor& anchors) {
  if (is_capturing(labels.device())) return;
  const Tensor host_labels = labels.to(Device::cpu), host_anchors = anchors.to(Device::cpu);
  const index_t n = features.dim(0), classes = anchors.numel();
  const index_t* label = fer::detail::checked_labels("anchor_loss", host_labels, n, classes);
  const index_t* anchor = host_anchors.data<std::int64_t>();
  std::vector<index_t> count(static_cast<std::size_t>(classes), 0);
  for (index_t i = 0; i < n; ++i) ++count[label[i]];
  for (index_t c = 0; c < classes; ++c) {
    require<DataError>(anchor[c] >= (count[c] ? 0 : -1) && anchor[c] < n, "[anchor_loss] anchor ", anchor[c],
                       " of class ", c, ", which has ", count[c], " samples, is not one of the ", n,
                       " samples");
  }
}

const dim3 block(columns, warps);

}  // namespace

void DeviceBackend::class_anchors(const Tensor& scores, const Tensor& labels, Tensor& anchors) {
  require<ShapeError>(scores.rank() == 2 && scores.dim(1) > 0, "[class_anchors] needs scores N x K, got ",
                      scores.shape());
  check_labels("class_anchors", labels, scores.dim(0), anchors.numel());
  if (anchors.numel() == 0) return;
  dispatch_floating(scores.dtype(), "class_anchors", [&]<typename T>() {
    gpu::launch(class_anchors_kernel<T>, static_cast<unsigned>(anchors.numel()), anchor_threads, 0, stream_,
                scores.data<T>(), labels.data<std::int64_t>(), scores.dim(0), static_cast<int>(scores.dim(1)),
                anchors.mutable_data<std::int64_t>());
  });
}

void DeviceBackend::anchor_loss_forward(const Tensor& features, const Tensor& labels, const Tensor& anchors,
                                        std::int64_t skip, Tensor& loss) {
  check_features("anchor_loss", features, labels);
  check_anchors(features, labels, anchors);
  if (anchors.numel() == 0) return fill(loss, 0);
  dispatch_floating(features.dtype(), "anchor_loss", [&]<typename T>() {
    const Samples<T> samples = samples_of<T>(features, labels);
    const int classes = static_cast<int>(anchors.numel());
    const auto blocks = static_cast<unsigned>(classes * samples.column_blocks);
    const StoreQuotient<T> mean{loss.mutable_data<T>(), static_cast<double>(samples.dim)};
    total(*this, stream_, blocks, mean, [&](const auto& sink) {
      gpu::launch(anchor_loss_kernel<T>, blocks, block, 0, stream_, samples,
                  Anchors{anchors.data<std::int64_t>(), classes, skip}, sink);
    });
  });
}

void DeviceBackend::anchor_loss_backward(const Tensor& features, const Tensor& labels, const Tensor& anchors,
                                         std::int64_t skip, const Tensor& dloss, Tensor& dfeatures) {
  check_features("anchor_loss", features, labels);
  require_size("anchor_loss", "dfeatures", dfeatures, features.numel());
  if (features.numel() == 0) return;
  dispatch_floating(features.dtype(), "anchor_loss", [&]<typename T>() {
    const Samples<T> samples = samples_of<T>(features, labels);
    const int classes = static_cast<int>(anchors.numel());
    const auto blocks = static_cast<unsigned>((classes + 1) * samples.column_blocks);
    gpu::launch(anchor_loss_backward_kernel<T>, blocks, block, 0, stream_, samples,
                Anchors{anchors.data<std::int64_t>(), classes, skip}, dloss.data<T>(),
                dfeatures.mutable_data<T>());
  });
}

void DeviceBackend::neutral_loss_forward(const Tensor& features, const Tensor& labels, std::int64_t neutral,
                                         Tensor& loss) {
  check_features("neutral_loss", features, labels);
  dispatch_floating(features.dtype(), "neutral_loss", [&]<typename T>() {
    const Samples<T> samples = samples_of<T>(features, labels);
    const auto blocks = static_cast<unsigned>(samples.column_blocks);
    total(*this, stream_, blocks, StoreQuotient<T>{loss.mutable_data<T>(), 1.0}, [&](const auto& sink) {
      gpu::launch(neutral_loss_kernel<T>, blocks, block, 0, stream_, samples, neutral, sink);
    });
  });
}

void DeviceBackend::neutral_loss_backward(const Tensor& features, const Tensor& labels, std::int64_t neutral,
                                          const Tensor& dloss, Tensor& dfeatures) {
  check_features("neutral_loss", features, labels);
  require_size("neutral_loss", "dfeatures", dfeatures, features.numel());
  if (features.numel() == 0) return;
  dispatch_floating(features.dtype(), "neutral_loss", [&]<typename T>() {
    const Samples<T> samples = samples_of<T>(features, labels);
    gpu::launch(neutral_loss_backward_kernel<T>, static_cast<unsigned>(samples.column_blocks), block, 0,
                stream_, samples, neutral, dloss.data<T>(), dfeatures.mutable_data<T>());
  });
}

void DeviceBackend::neutral_loss_pairwise_forward(const Tensor& features, const Tensor& labels,
                                                  std::int64_t neutral, Tensor& loss) {
  check_features("neutral_loss_pairwise", features, labels);
  if (features.numel() == 0) return fill(loss, 0);
  dispatch_floating(features.dtype(), "neutral_loss_pairwise", [&]<typename T>() {
    const Samples<T> samples = samples_of<T>(features, labels);
    const StoreQuotient<T> mean{loss.mutable_data<T>(), static_cast<double>(samples.dim)};
    total(*this, stream_, samples.count, mean, [&](const auto& sink) {
      gpu::launch(neutral_pairs_kernel<T>, static_cast<unsigned>(samples.count), block, 0, stream_, samples,
                  neutral, sink);
    });
  });
}

}  // namespace fer::FER_DEVICE_NAMESPACE
