// The operation on the tape, a fer::Function that looks up the kernels of its input's device, and the CPU's
// kernels, which are plain loops.
#include "rms_norm.h"

#include <fer/autograd/function.h>

#include <cmath>
#include <map>

namespace example {
namespace {

using fer::Tensor;

std::map<fer::Device, RmsNormKernels>& all_kernels() {
  static std::map<fer::Device, RmsNormKernels> kernels;
  return kernels;
}

const RmsNormKernels& kernels_of(const Tensor& x) {
  const auto found = all_kernels().find(x.device());
  fer::require<fer::DeviceError>(found != all_kernels().end(), "[rms_norm] has no kernels for device ",
                                 x.device());
  return found->second;
}

class RmsNorm : public fer::Function {
 public:
  explicit RmsNorm(double eps) : eps_(eps) {}

  std::string name() const override { return "rms_norm"; }

  Tensor forward(fer::FunctionContext& context, const std::vector<Tensor>& inputs) override {
    const Tensor& x = inputs[0];
    fer::require<fer::ShapeError>(x.rank() >= 1 && x.shape().channels() > 0,
                                  "[rms_norm] needs rows of channels, got ", x.shape());
    Tensor y = Tensor::empty_like(x), inverse = Tensor::empty_like(x, {x.shape().rows()});
    kernels_of(x).forward(x, eps_, y, inverse);
    context.save("y", y);
    context.save("inverse", inverse);
    return y;
  }

  std::vector<Tensor> backward(fer::FunctionContext& context, const Tensor& dy) override {
    Tensor dx = Tensor::empty_like(dy);
    kernels_of(dy).backward(context.saved("y"), context.saved("inverse"), dy, dx);
    return {dx};
  }

 private:
  double eps_;
};

/// Forgets the second half of the quotient's derivative.
class WrongRmsNorm : public RmsNorm {
 public:
  using RmsNorm::RmsNorm;
  std::string name() const override { return "wrong_rms_norm"; }
  std::vector<Tensor> backward(fer::FunctionContext& context, const Tensor& dy) override {
    Tensor nothing = Tensor::zeros_like(dy), dx = Tensor::empty_like(dy);
    kernels_of(dy).backward(nothing, context.saved("inverse"), dy, dx);
    return {dx};
  }
};

// --- the CPU -------------------------------------------------------------------------------------------

void cpu_forward(const Tensor& x, double eps, Tensor& y, Tensor& inverse) {
  const std::int64_t rows = x.shape().rows(), channels = x.shape().channels();
  fer::dispatch_floating(x.dtype(), "rms_norm", [&]<typename T>() {
    const T* from = x.data<T>();
    T *to = y.mutable_data<T>(), *scale = inverse.mutable_data<T>();
    for (std::int64_t row = 0; row < rows; ++row, from += channels, to += channels) {
      double squares = 0;
      for (std::int64_t c = 0; c < channels; ++c) squares += static_cast<double>(from[c]) * from[c];
      scale[row] = static_cast<T>(1 / std::sqrt(squares / static_cast<double>(channels) + eps));
      for (std::int64_t c = 0; c < channels; ++c) to[c] = from[c] * scale[row];
    }
  });
}

void cpu_backward(const Tensor& y, const Tensor& inverse, const Tensor& dy, Tensor& dx) {
  const std::int64_t rows = y.shape().rows(), channels = y.shape().channels();
  fer::dispatch_floating(y.dtype(), "rms_norm", [&]<typename T>() {
    const T *py = y.data<T>(), *scale = inverse.data<T>(), *g = dy.data<T>();
    T* to = dx.mutable_data<T>();
    for (std::int64_t row = 0; row < rows; ++row, py += channels, g += channels, to += channels) {
      double sum = 0;
      for (std::int64_t c = 0; c < channels; ++c) sum += static_cast<double>(g[c]) * py[c];
      const T mean = static_cast<T>(sum / static_cast<double>(channels));
      for (std::int64_t c = 0; c < channels; ++c) to[c] = scale[row] * (g[c] - py[c] * mean);
    }
  });
}

const bool on_cpu = add_kernels(fer::Device::cpu, {cpu_forward, cpu_backward});

}  // namespace

bool add_kernels(fer::Device device, const RmsNormKernels& kernels) {
  all_kernels()[device] = kernels;
  return true;
}

fer::Variable rms_norm(const fer::Variable& x, double eps) {
  return fer::apply(std::make_shared<RmsNorm>(eps), {x});
}

fer::Variable wrong_rms_norm(const fer::Variable& x, double eps) {
  return fer::apply(std::make_shared<WrongRmsNorm>(eps), {x});
}

}  // namespace example
