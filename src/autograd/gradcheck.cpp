// Compares backward with central differences. The scalar that is differentiated is <cotangent, f(inputs)>
// with a random cotangent: a plain sum would hide errors of softmax and norms, whose outputs sum to a
// constant.
#include "fer/autograd/gradcheck.h"

#include <algorithm>
#include <cmath>

#include "fer/tensor/random.h"

namespace fer {
namespace {

constexpr std::size_t max_failures = 10;

/// "(1, 2)": the position of a flat index.
std::string position(std::int64_t index, const Shape& shape) {
  Shape coordinates = shape;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    coordinates.set(i, index % shape[i]);
    index /= shape[i];
  }
  return coordinates.str();
}

/// The indices to check: all, or one at random from each of `count` equal ranges.
std::vector<std::int64_t> chosen_indices(std::int64_t numel, std::int64_t count, Random& random) {
  std::vector<std::int64_t> indices;
  if (count <= 0 || count >= numel) {
    for (std::int64_t i = 0; i < numel; ++i) indices.push_back(i);
    return indices;
  }
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t begin = i * numel / count, end = (i + 1) * numel / count;
    indices.push_back(begin + static_cast<std::int64_t>(random.below(end - begin)));
  }
  return indices;
}

/// Restores the inputs' previous gradients when the check ends, however it ends.
class GradientRestorer {
 public:
  explicit GradientRestorer(std::vector<Variable>& inputs) : inputs_(inputs) {
    for (Variable& input : inputs_) {
      previous_.push_back(input.grad());
      input.zero_grad();
    }
  }
  ~GradientRestorer() {
    for (std::size_t i = 0; i < inputs_.size(); ++i) inputs_[i].mutable_grad() = previous_[i];
  }
  GradientRestorer(const GradientRestorer&) = delete;
  GradientRestorer& operator=(const GradientRestorer&) = delete;

 private:
  std::vector<Variable>& inputs_;
  std::vector<Tensor> previous_;
};

class Check {
 public:
  Check(const std::string& name, const DifferentiableFunction& function, std::vector<Variable> inputs,
        const GradcheckOptions& options)
      : name_(name), function_(function), inputs_(std::move(inputs)), options_(options) {}

  GradcheckResult run() {
    check_inputs();
    GradientRestorer restorer(inputs_);
    const std::vector<Tensor> gradients = differentiate();
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      if (!inputs_[i].requires_grad()) continue;
      if (gradients[i].defined()) {
        if (options_.directions <= 0) compare(i, gradients[i].to_vector<double>());
      } else {
        problems_.push_back(concat("input '", input_name(i), "': backward left it without a gradient"));
      }
    }
    for (int k = 0; k < options_.directions; ++k) compare_along(k, gradients);
    conclude();
    return std::move(result_);
  }

 private:
  std::string input_name(std::size_t i) const {
    return inputs_[i].name().empty() ? std::to_string(i) : inputs_[i].name();
  }

  void check_inputs() const {
    bool any = false;
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      require<AutogradError>(inputs_[i].defined(), "gradcheck of ", name_, ": input ", i, " is undefined");
      if (!inputs_[i].requires_grad()) continue;
      any = true;
      require<TypeError>(inputs_[i].dtype() == DType::float64, "gradcheck of ", name_, ": input '",
                         input_name(i), "' is ", inputs_[i].dtype(), ", needs float64");
      require<AutogradError>(!inputs_[i].node(), "gradcheck of ", name_, ": input '", input_name(i),
                             "' is the result of an operation, needs a leaf");
    }
    require<AutogradError>(any, "gradcheck of ", name_, ": no input requires a gradient");
  }

  /// Runs the function and backward with a fresh cotangent. Notes whether a second run gives the same result.
  std::vector<Tensor> differentiate() {
    EnableGrad enable;
    const Variable y = function_(inputs_);
    require<TypeError>(y.dtype() == DType::float64, "gradcheck of ", name_, ": the result is ", y.dtype(),
                       ", needs float64");
    Random random({options_.seed, fnv1a64("gradcheck.cotangent"), 0});
    cotangent_.resize(static_cast<std::size_t>(y.value().numel()));
    for (double& c : cotangent_) c = random.uniform(-1.0, 1.0);
    const std::vector<double> first = y.value().to_vector<double>();
    // If the function did not record its result, there is no gradient; that is reported for each input.
    if (y.requires_grad()) y.backward(Tensor::from(y.shape(), cotangent_, y.device()));
    if (first != evaluate()) {
      problems_.push_back("two runs on the same inputs differ: random parts need a fixed key");
    }
    std::vector<Tensor> gradients;
    for (const Variable& input : inputs_) gradients.push_back(input.grad());
    return gradients;
  }

  std::vector<double> evaluate() const {
    NoGrad no_grad;
    std::vector<double> y = function_(inputs_).value().to_vector<double>();
    require<ShapeError>(y.size() == cotangent_.size(), "gradcheck of ", name_, ": the result had ",
                        cotangent_.size(), " elements, now ", y.size());
    return y;
  }

  void compare(std::size_t i, const std::vector<double>& gradient) {
    Variable& input = inputs_[i];
    std::vector<double> values = input.value().to_vector<double>();
    Random random({options_.seed, fnv1a64("gradcheck.elements"), i});
    const auto set_element = [&](std::int64_t index, double value) {
      values[static_cast<std::size_t>(index)] = value;
      input.mutable_value().copy_from(Tensor::from(input.shape(), values));
    };
    for (std::int64_t index : chosen_indices(input.value().numel(), options_.max_elements, random)) {
      const double x = values[static_cast<std::size_t>(index)];
      const double step = options_.step * std::max(1.0, std::abs(x));
      std::vector<double> above, below;
      try {
        set_element(index, x + step);
        above = evaluate();
        set_element(index, x - step);
        below = evaluate();
      } catch (...) {
        set_element(index, x);
        throw;
      }
      set_element(index, x);
      judge(i, index, change(above, below) / ((x + step) - (x - step)),
            gradient[static_cast<std::size_t>(index)]);
    }
  }

  /// Moves all inputs together, each element by up to one step in either direction.
  void compare_along(int number, const std::vector<Tensor>& gradients) {
    Random random({options_.seed, fnv1a64("gradcheck.direction"), static_cast<std::uint64_t>(number)});
    std::vector<std::vector<double>> values(inputs_.size()), direction(inputs_.size());
    double got = 0;
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      if (!inputs_[i].requires_grad() || !gradients[i].defined()) continue;
      values[i] = inputs_[i].value().to_vector<double>();
      for (const double g : gradients[i].to_vector<double>()) {
        direction[i].push_back(random.uniform(-1.0, 1.0));
        got += g * direction[i].back();
      }
    }
    const auto move = [&](double by) {
      for (std::size_t i = 0; i < inputs_.size(); ++i) {
        std::vector<double> moved = values[i];
        for (std::size_t k = 0; k < moved.size(); ++k) moved[k] += by * direction[i][k];
        if (!moved.empty()) inputs_[i].mutable_value().copy_from(Tensor::from(inputs_[i].shape(), moved));
      }
    };
    std::vector<double> above, below;
    try {
      move(options_.step);
      above = evaluate();
      move(-options_.step);
      below = evaluate();
    } catch (...) {
      move(0);
      throw;
    }
    move(0);
    const double expected = change(above, below) / (2 * options_.step);
    if (note(expected, got)) return;
    problems_.push_back(
        concat("along random direction ", number, " through all inputs: expected ", expected, ", got ", got));
  }

  double change(const std::vector<double>& above, const std::vector<double>& below) const {
    double sum = 0;
    for (std::size_t k = 0; k < above.size(); ++k) sum += cotangent_[k] * (above[k] - below[k]);
    return sum;
  }

  /// Counts a comparison and returns whether it passes.
  bool note(double expected, double got) {
    ++result_.checked;
    const double error = error_of(expected, got);
    // A NaN is the worst error and stays recorded.
    if (!std::isnan(result_.worst) && !(error <= result_.worst)) result_.worst = error;
    return error <= options_.tolerance;
  }
  static double error_of(double expected, double got) {
    return std::abs(got - expected) / std::max(1.0, std::abs(expected));
  }

  void judge(std::size_t i, std::int64_t index, double expected, double got) {
    if (note(expected, got)) return;
    const double error = error_of(expected, got);
    ++failed_;
    failures_.push_back({error, i, {name_, input_name(i), index, expected, got}});
  }

  void conclude() {
    result_.ok = failures_.empty() && problems_.empty();
    if (result_.ok) return;
    std::stable_sort(failures_.begin(), failures_.end(), [](const Failure& a, const Failure& b) {
      return std::isnan(a.error) ? !std::isnan(b.error) : a.error > b.error;
    });
    std::ostringstream text;
    text.precision(10);
    text << "gradcheck of " << name_ << " failed";
    for (const std::string& problem : problems_) text << "\n  " << problem;
    if (!failures_.empty()) {
      text << "\n  " << failed_ << " of " << result_.checked << " elements differ by more than "
           << options_.tolerance << ", the worst first:";
    }
    for (std::size_t k = 0; k < std::min(failures_.size(), max_failures); ++k) {
      const GradcheckFailure& f = failures_[k].what;
      const Shape& shape = inputs_[failures_[k].input].shape();
      text << "\n  input '" << f.input << "' of shape " << shape << ", index " << f.index << " "
           << position(f.index, shape) << ": expected " << f.expected << ", got " << f.got;
      result_.failures.push_back(f);
    }
    result_.message = text.str();
  }

  struct Failure {
    double error;
    std::size_t input;
    GradcheckFailure what;
  };

  const std::string& name_;
  const DifferentiableFunction& function_;
  std::vector<Variable> inputs_;
  const GradcheckOptions& options_;
  std::vector<double> cotangent_;
  std::vector<Failure> failures_;
  std::vector<std::string> problems_;
  std::int64_t failed_ = 0;
  GradcheckResult result_;
};

}  // namespace

GradcheckResult gradcheck(const std::string& name, const DifferentiableFunction& function,
                          std::vector<Variable> inputs, const GradcheckOptions& options) {
  const RandomScope random(0, 0);  // dropout draws the same mask in each run
  return Check(name, function, std::move(inputs), options).run();
}

}  // namespace fer
