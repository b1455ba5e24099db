// Oracle of a GlobalBatch: ranks that share a batch compute what one process computes for the whole batch.
#pragma once

#include <numeric>

#include "fer/autograd/global_batch.h"
#include "tests/ops/op_test.h"
#include "tests/support/thread_ranks.h"

namespace fer::test {

/// What one process, or one of several ranks, has computed.
struct BatchResults {
  std::vector<Tensor> rows;    ///< those of all ranks, in order, are those of one process
  std::vector<Tensor> sums;    ///< those of all ranks add up to that of one process
  std::vector<Tensor> common;  ///< the same everywhere
};

/// The samples of a rank.
struct Share {
  std::int64_t first, samples, all;

  /// x has a row, or several, for each sample of the whole batch.
  Tensor of(const Tensor& x) const {
    const std::int64_t each = x.dim(0) / all;
    return x.slice(first * each, samples * each).clone();
  }
};

inline Tensor joined(const std::vector<Tensor>& parts) {
  std::vector<double> values;
  for (const Tensor& part : parts) {
    const std::vector<double> more = numbers(part);
    values.insert(values.end(), more.begin(), more.end());
  }
  return Tensor::from({static_cast<std::int64_t>(values.size())}, values);
}

inline Tensor added(const std::vector<Tensor>& parts) {
  std::vector<double> sum(static_cast<std::size_t>(parts.at(0).numel()));
  for (const Tensor& part : parts) {
    const std::vector<double> more = numbers(part);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += more.at(i);
  }
  return Tensor::from({static_cast<std::int64_t>(sum.size())}, sum);
}

/// Checks `compute` on ranks that have so many `samples` each against one process that has all of them.
inline void check_ranks(const std::function<BatchResults(const Share&)>& compute,
                        const std::vector<std::int64_t>& samples, double tolerance) {
  const std::int64_t all = std::accumulate(samples.begin(), samples.end(), std::int64_t{0});
  const BatchResults one = compute({0, all, all});
  const auto parts = on_ranks(static_cast<int>(samples.size()), [&](Communicator& ranks) {
    const auto mine = samples.begin() + ranks.rank();
    const Share share{std::accumulate(samples.begin(), mine, std::int64_t{0}), *mine, all};
    const GlobalBatch batch(ranks, share.first, share.samples, all);
    return compute(share);
  });
  // Whether a gradient is there must not depend on the number of ranks.
  const auto check = [&](const char* which, std::vector<Tensor> BatchResults::*member, const auto& combined) {
    CAPTURE(which);
    const std::vector<Tensor>& expected = one.*member;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      CAPTURE(i);
      std::vector<Tensor> got;
      for (const BatchResults& part : parts) {
        REQUIRE((part.*member).size() == expected.size());
        REQUIRE((part.*member)[i].defined() == expected[i].defined());
        got.push_back((part.*member)[i]);
      }
      if (expected[i].defined()) CHECK(difference(combined(got), expected[i].reshape({-1})) <= tolerance);
    }
  };
  check("rows", &BatchResults::rows, joined);
  check("sums", &BatchResults::sums, added);
  for (std::size_t rank = 0; rank < parts.size(); ++rank)
    check("common", &BatchResults::common, [&](const auto& got) { return got[rank].reshape({-1}); });
}

/// A computation on a batch. `state` is changed in place, as running statistics are.
using BatchFunction = std::function<Variable(
    const std::vector<Variable>& rows, const std::vector<Variable>& parameters, std::vector<Tensor>& state)>;

struct BatchInputs {
  std::vector<Variable> rows;  ///< a row, or several, for each sample
  std::vector<Variable> parameters;
  std::vector<Tensor> state;
};

/// Leaves of their own with the same values; floats become `dtype`.
inline std::vector<Variable> fresh(const std::vector<Variable>& from, DType dtype,
                                   const Share* share = nullptr) {
  std::vector<Variable> leaves;
  for (const Variable& x : from) {
    const Tensor value = share ? share->of(x.value()) : x.value().clone();
    leaves.emplace_back(is_floating(value.dtype()) ? value.to(dtype) : value, x.requires_grad());
  }
  return leaves;
}

/// f of the samples of a rank, and its gradients. The cotangent is this rank's part of one for the whole batch.
inline BatchResults compute_share(const BatchFunction& f, const BatchInputs& in, DType dtype,
                                  const Share& share) {
  const std::vector<Variable> rows = fresh(in.rows, dtype, &share), parameters = fresh(in.parameters, dtype);
  BatchResults results;
  for (const Tensor& s : in.state) results.common.push_back(s.clone().to(dtype));
  const Variable y = f(rows, parameters, results.common);
  if (y.rank() > 0) {
    std::vector<std::int64_t> extents{y.dim(0) / share.samples * share.all};
    for (int i = 1; i < y.rank(); ++i) extents.push_back(y.dim(i));
    y.backward(share.of(random_cotangent(Tensor::empty_like(y.value(), Shape(extents)))));
    results.rows.push_back(y.value());
  } else {
    y.backward();
    results.sums.push_back(y.value());
  }
  for (const Variable& x : rows) results.rows.push_back(x.grad());
  for (const Variable& p : parameters) results.sums.push_back(p.grad());
  return results;
}

/// Checks f on two and three ranks with uneven shares of seven samples, in float64 and float32.
inline void check_ranks(const BatchFunction& f, const BatchInputs& in) {
  for (const DType dtype : {DType::float64, DType::float32}) {
    CAPTURE(dtype);
    for (const auto& samples : std::vector<std::vector<std::int64_t>>{{6, 1}, {3, 4}, {2, 1, 4}}) {
      CAPTURE(samples.size());
      check_ranks([&](const Share& share) { return compute_share(f, in, dtype, share); }, samples,
                  dtype == DType::float64 ? 1e-12 : 2e-5);
    }
  }
}

}  // namespace fer::test
