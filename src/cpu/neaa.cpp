// NeAA (Eqs. 6-10): the anchors of the classes, the distance of samples to them, and the spread of the
// neutral samples. Features f are N x D, Dist(a, b) = 1/D sum_d (a_d - b_d)^2. Gradient contract:
//   anchor:   df_i += g_c (f_i - a) for each sample of class c, df_a -= g_c sum_i (f_i - a),
//             g_c = 2 dloss / (n_c D)
//   neutral:  df_i = dloss 4 n / (D (n - 1)^2) (f_i - mean)
// Sums run in float64 in a fixed order: a batch has hundreds of samples, and their anchors should not depend
// on rounding.
#include <algorithm>
#include <cmath>
#include <vector>

#include "cpu/cpu_backend.h"
#include "cpu/labels.h"

namespace fer {
namespace {

using detail::checked_labels;
using detail::RowSoftmax;

constexpr std::int64_t kParallelFeatures = 1 << 14;

void check_features(const char* op, const Tensor& features, const Tensor& labels) {
  require<ShapeError>(features.rank() == 2 && features.dim(1) > 0 && labels.numel() == features.dim(0), "[",
                      op, "] needs features N x D and N labels, got ", features.shape(), " and ",
                      labels.shape());
}

// The labels and each class's anchor and sample count: the checked arguments of anchor_loss.
struct Classes {
  const std::int64_t* label;
  const std::int64_t* anchor;  ///< the sample that is each class's anchor
  std::vector<std::int64_t> count;

  Classes(const Tensor& features, const Tensor& labels, const Tensor& anchors) {
    check_features("anchor_loss", features, labels);
    const std::int64_t n = features.dim(0), classes = anchors.numel();
    label = checked_labels("anchor_loss", labels, n, classes);
    anchor = anchors.data<std::int64_t>();
    count.assign(classes, 0);
    for (std::int64_t i = 0; i < n; ++i) ++count[label[i]];
    for (std::int64_t c = 0; c < classes; ++c) {
      require<DataError>(anchor[c] >= (count[c] ? 0 : -1) && anchor[c] < n, "[anchor_loss] anchor ",
                         anchor[c], " of class ", c, ", which has ", count[c], " samples, is not one of the ",
                         n, " samples");
    }
  }
};

template <typename T>
double squared_distance(const T* a, const T* b, std::int64_t dim) {
  double sum = 0;
  for (std::int64_t d = 0; d < dim; ++d) {
    const double difference = static_cast<double>(a[d]) - static_cast<double>(b[d]);
    sum += difference * difference;
  }
  return sum;
}

std::vector<std::int64_t> members(const Tensor& labels, std::int64_t wanted) {
  std::vector<std::int64_t> found;
  const std::int64_t* label = labels.data<std::int64_t>();
  for (std::int64_t i = 0; i < labels.numel(); ++i) {
    if (label[i] == wanted) found.push_back(i);
  }
  return found;
}

// The mean of the members. Adds up differences to the first member, not the features themselves: far from the
// origin these differences are exact, so that f - mean keeps its precision.
template <typename T>
std::vector<double> centred_mean(const T* f, std::int64_t dim, const std::vector<std::int64_t>& rows,
                                 std::vector<double>& offset) {
  offset.assign(f + rows[0] * dim, f + (rows[0] + 1) * dim);
  std::vector<double> mean(dim, 0.0);
  for (std::int64_t i : rows) {
    for (std::int64_t d = 0; d < dim; ++d) mean[d] += static_cast<double>(f[i * dim + d]) - offset[d];
  }
  for (double& m : mean) m /= static_cast<double>(rows.size());
  return mean;
}

}  // namespace

void CpuBackend::class_anchors(const Tensor& scores, const Tensor& labels, Tensor& anchors) {
  require<ShapeError>(scores.rank() == 2 && scores.dim(1) > 0, "[class_anchors] needs scores N x K, got ",
                      scores.shape());
  const std::int64_t n = scores.dim(0), classes = scores.dim(1), slots = anchors.numel();
  const std::int64_t* label = checked_labels("class_anchors", labels, n, slots);
  dispatch_floating(scores.dtype(), "class_anchors", [&]<typename T>() {
    const T* x = scores.data<T>();
    std::int64_t* anchor = anchors.mutable_data<std::int64_t>();
    std::vector<double> least(slots), row(classes);
    std::fill(anchor, anchor + slots, -1);
    for (std::int64_t i = 0; i < n; ++i) {
      row.assign(x + i * classes, x + (i + 1) * classes);
      const double entropy = RowSoftmax<double>(row.data(), classes).entropy(row.data(), classes);
      const std::int64_t c = label[i];
      if (anchor[c] >= 0 && !(entropy < least[c])) continue;
      anchor[c] = i;
      least[c] = entropy;
    }
  });
}

void CpuBackend::anchor_loss_forward(const Tensor& features, const Tensor& labels, const Tensor& anchors,
                                     std::int64_t skip, Tensor& loss) {
  const Classes classes(features, labels, anchors);
  const std::int64_t n = features.dim(0), dim = features.dim(1);
  dispatch_floating(features.dtype(), "anchor_loss", [&]<typename T>() {
    const T* f = features.data<T>();
    std::vector<double> distance(n, 0.0);
#pragma omp parallel for schedule(static) if (n * dim > kParallelFeatures)
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int64_t c = classes.label[i];
      if (c == skip) continue;
      const double sum = squared_distance(f + i * dim, f + classes.anchor[c] * dim, dim);
      distance[i] = sum / static_cast<double>(dim * classes.count[c]);
    }
    double total = 0;
    for (double d : distance) total += d;
    *loss.mutable_data<T>() = static_cast<T>(total);
  });
}

void CpuBackend::anchor_loss_backward(const Tensor& features, const Tensor& labels, const Tensor& anchors,
                                      std::int64_t skip, const Tensor& dloss, Tensor& dfeatures) {
  const Classes classes(features, labels, anchors);
  const std::int64_t n = features.dim(0), dim = features.dim(1);
  dispatch_floating(features.dtype(), "anchor_loss", [&]<typename T>() {
    const T* f = features.data<T>();
    T* df = dfeatures.mutable_data<T>();
    const double upstream = *dloss.data<T>();
    const auto factor = [&](std::int64_t c) {
      return c == skip ? 0.0 : 2 * upstream / static_cast<double>(dim * classes.count[c]);
    };
    // Columns are independent. Each thread walks all samples of its columns: first as members of a class,
    // then as anchors.
    constexpr std::int64_t block = 64;
    std::vector<double> pull(classes.count.size() * dim, 0.0);  // on each class's anchor
#pragma omp parallel for schedule(static) if (n * dim > kParallelFeatures)
    for (std::int64_t first = 0; first < dim; first += block) {
      const std::int64_t last = std::min(first + block, dim);
      for (std::int64_t i = 0; i < n; ++i) {
        const std::int64_t c = classes.label[i], a = classes.anchor[c];
        const double g = factor(c);
        for (std::int64_t d = first; d < last; ++d) {
          const double part = g * (static_cast<double>(f[i * dim + d]) - static_cast<double>(f[a * dim + d]));
          pull[c * dim + d] += part;
          df[i * dim + d] = static_cast<T>(part);
        }
      }
      for (std::size_t c = 0; c < classes.count.size(); ++c) {
        if (classes.count[c] == 0) continue;
        T* anchor_row = df + classes.anchor[c] * dim;
        for (std::int64_t d = first; d < last; ++d)
          anchor_row[d] = static_cast<T>(static_cast<double>(anchor_row[d]) - pull[c * dim + d]);
      }
    }
  });
}

void CpuBackend::neutral_loss_forward(const Tensor& features, const Tensor& labels, std::int64_t neutral,
                                      Tensor& loss) {
  check_features("neutral_loss", features, labels);
  const std::int64_t dim = features.dim(1);
  const std::vector<std::int64_t> rows = members(labels, neutral);
  dispatch_floating(features.dtype(), "neutral_loss", [&]<typename T>() {
    const T* f = features.data<T>();
    double spread = 0;
    if (rows.size() >= 2) {
      std::vector<double> offset;
      const std::vector<double> mean = centred_mean(f, dim, rows, offset);
      for (std::int64_t i : rows) {
        for (std::int64_t d = 0; d < dim; ++d) {
          const double centred = static_cast<double>(f[i * dim + d]) - offset[d] - mean[d];
          spread += centred * centred;
        }
      }
      const double n = static_cast<double>(rows.size());
      spread *= 2 * n / (static_cast<double>(dim) * (n - 1) * (n - 1));
    }
    *loss.mutable_data<T>() = static_cast<T>(spread);
  });
}

void CpuBackend::neutral_loss_backward(const Tensor& features, const Tensor& labels, std::int64_t neutral,
                                       const Tensor& dloss, Tensor& dfeatures) {
  check_features("neutral_loss", features, labels);
  const std::int64_t dim = features.dim(1);
  const std::vector<std::int64_t> rows = members(labels, neutral);
  dispatch_floating(features.dtype(), "neutral_loss", [&]<typename T>() {
    const T* f = features.data<T>();
    T* df = dfeatures.mutable_data<T>();
    std::fill(df, df + dfeatures.numel(), T(0));
    if (rows.size() < 2) return;
    std::vector<double> offset;
    const std::vector<double> mean = centred_mean(f, dim, rows, offset);
    const double n = static_cast<double>(rows.size());
    const double factor = *dloss.data<T>() * 4 * n / (static_cast<double>(dim) * (n - 1) * (n - 1));
    for (std::int64_t i : rows) {
      for (std::int64_t d = 0; d < dim; ++d)
        df[i * dim + d] =
            static_cast<T>(factor * (static_cast<double>(f[i * dim + d]) - offset[d] - mean[d]));
    }
  });
}

void CpuBackend::neutral_loss_pairwise_forward(const Tensor& features, const Tensor& labels,
                                               std::int64_t neutral, Tensor& loss) {
  check_features("neutral_loss_pairwise", features, labels);
  const std::int64_t dim = features.dim(1);
  const std::vector<std::int64_t> rows = members(labels, neutral);
  dispatch_floating(features.dtype(), "neutral_loss_pairwise", [&]<typename T>() {
    const T* f = features.data<T>();
    double sum = 0;
    for (std::int64_t i : rows) {
      for (std::int64_t j : rows)
        sum += squared_distance(f + i * dim, f + j * dim, dim) / static_cast<double>(dim);
    }
    const double n = static_cast<double>(rows.size());
    *loss.mutable_data<T>() = static_cast<T>(rows.size() < 2 ? 0.0 : sum / ((n - 1) * (n - 1)));
  });
}

}  // namespace fer
