// Cases of the kernel sweep (sweep_test.cpp): every function of Backend on ragged shapes. To add a case,
// append it to one of the lists below. The sweep fails if no case covers a function of backend.h.
//
//   cases.push_back({"prelu/7 x 33", {"prelu_forward", "prelu_backward"}, [](Bench& b) {
//     const Tensor x = b.random({7, 33}), slope = b.random({33});
//     b.backend().prelu_forward(x, slope, b.result({7, 33}));
//   }});
#pragma once

#include <deque>
#include <functional>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "fer/error.h"
#include "fer/tensor/backend.h"

namespace fer::test {

/// Extents that are not multiples of a tile of 32, a block of 128 or 256 threads, or packets of 2 or 4, and
/// some that are.
inline constexpr std::int64_t ragged[] = {1, 3, 7, 31, 32, 33, 127, 128, 129, 257};

/// The tensors of one run of a case: inputs, which are the same on every device, and results. In a bfloat16
/// run, all inputs are exact in bfloat16. Devices store data as bfloat16 and parameters as float32; the CPU,
/// which has no bfloat16 arithmetic, stores everything as float32.
class Bench {
 public:
  Bench(Device device, DType dtype) : device_(device), dtype_(dtype) {}

  Backend& backend() const { return fer::backend(device_); }
  Device device() const { return device_; }
  DType dtype() const { return dtype_; }
  DType data_type() const { return device_ == Device::cpu ? widened(dtype_) : dtype_; }
  DType parameter_type() const { return widened(dtype_); }

  /// Uniform; exact in float32.
  Tensor random(const Shape& shape, double low = -1, double high = 1) {
    return uniform(shape, low, high).to(data_type()).to(device_);
  }
  Tensor parameter(const Shape& shape, double low = -1, double high = 1) {
    return uniform(shape, low, high).to(parameter_type()).to(device_);
  }
  /// Whole numbers from -2 to 2. They are exact in any precision, as are sums of a few thousand of their
  /// products.
  Tensor small_integers(const Shape& shape) {
    Random rng({3, fnv1a64("kernels"), ++inputs_});
    std::vector<float> values(static_cast<std::size_t>(shape.numel()));
    for (float& v : values) v = static_cast<float>(rng.below(5)) - 2;
    return Tensor::from(shape, values).to(data_type()).to(device_);
  }
  Tensor bytes(const Shape& shape) { return integers<std::uint8_t>(shape, 256); }
  Tensor labels(std::int64_t n, std::int64_t classes) { return integers<std::int64_t>({n}, classes); }

  /// An output filled with NaN, or uninitialised if the device detects reads of such memory.
  Tensor output(const Shape& shape, DType dtype) const {
    Tensor y = Tensor::empty(shape, dtype, device_);
    if (device_ != Device::simt && is_floating(dtype)) y.fill(std::numeric_limits<double>::quiet_NaN());
    return y;
  }
  Tensor output(const Shape& shape) const { return output(shape, data_type()); }

  /// An output that is compared with the CPU's result.
  Tensor& result(const Shape& shape, DType dtype) { return results_.emplace_back(output(shape, dtype)); }
  Tensor& result(const Shape& shape) { return result(shape, data_type()); }
  Tensor& parameter_result(const Shape& shape) { return result(shape, parameter_type()); }
  /// Compares a tensor that was changed in place.
  void changed(const Tensor& tensor) { results_.push_back(tensor); }
  const std::deque<Tensor>& results() const { return results_; }

 private:
  Tensor uniform(const Shape& shape, double low, double high) {
    Random rng({3, fnv1a64("kernels"), ++inputs_});
    std::vector<float> values(static_cast<std::size_t>(shape.numel()));
    for (float& v : values) v = static_cast<float>(rng.uniform(low, high));
    const Tensor x = Tensor::from(shape, values);
    return dtype_ == DType::bfloat16 ? x.to(dtype_) : x;
  }
  template <typename T>
  Tensor integers(const Shape& shape, std::uint64_t below) {
    Random rng({3, fnv1a64("kernels"), ++inputs_});
    std::vector<T> values(static_cast<std::size_t>(shape.numel()));
    for (T& v : values) v = static_cast<T>(rng.below(below));
    return Tensor::from(shape, values).to(device_);
  }

  Device device_;
  DType dtype_;
  std::uint64_t inputs_ = 0;
  std::deque<Tensor> results_;  // keeps references valid
};

struct KernelCase {
  std::string name;                 ///< "prelu/7 x 33"
  std::set<std::string> functions;  ///< the functions of Backend that it covers
  std::function<void(Bench&)> run;
  double float_tolerance = 2e-5;  ///< on |a - b| / max(1, |b|) in float32, where b is the CPU's result
  bool bfloat16 = true;           ///< whether the case also runs in bfloat16
};

std::vector<KernelCase> basic_cases();    ///< memory, elementwise, layout, images, optimizers
std::vector<KernelCase> channel_cases();  ///< activations, norms, softmax, pooling, heat maps
std::vector<KernelCase> product_cases();  ///< matrix products, convolutions, attention
std::vector<KernelCase> loss_cases();

}  // namespace fer::test
