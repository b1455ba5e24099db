// gradcheck: compares a gradient with central differences, in float64, for a random cotangent.
//
//   auto result = fer::gradcheck("square", [](const auto& x) { return fer::mul(x[0], x[0]); }, {input});
//   if (!result.ok) std::cerr << result.message;   // function, input, index, expected, got
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "fer/autograd/variable.h"

namespace fer {

struct GradcheckOptions {
  double step = 1e-5;       ///< of the central difference, times max(1, |x|)
  double tolerance = 1e-6;  ///< on |got - expected| / max(1, |expected|)
  std::int64_t max_elements =
      200;  ///< checked per input, spread evenly over it by a fixed random choice; 0: all
  /// If positive, checks this many random directions through all inputs at once instead of elements, with two
  /// evaluations each. This shows whether all gradients are right, but not which one is wrong. For slow
  /// functions.
  int directions = 0;
  std::uint64_t seed = 1;  ///< of the cotangent, the choice of elements and the directions
};

struct GradcheckFailure {
  std::string function, input;
  std::int64_t index = 0;        ///< flat
  double expected = 0, got = 0;  ///< the central difference, and backward's gradient
};

struct GradcheckResult {
  bool ok = true;
  std::int64_t checked = 0;                ///< elements, or directions, compared
  double worst = 0;                        ///< largest error, measured as in `tolerance`
  std::vector<GradcheckFailure> failures;  ///< worst first, at most ten
  std::string message;                     ///< readable summary; empty if ok
};

using DifferentiableFunction = std::function<Variable(const std::vector<Variable>&)>;

/// Checks d<cotangent, f(inputs)>/d(input) for every input that requires a gradient. Inputs must be float64
/// leaves, on any device; `function` must be a pure function of them (random layers: fixed keys). The check
/// also fails if backward leaves an input without a gradient, or if two runs of f differ.
GradcheckResult gradcheck(const std::string& name, const DifferentiableFunction& function,
                          std::vector<Variable> inputs, const GradcheckOptions& options = {});

}  // namespace fer
