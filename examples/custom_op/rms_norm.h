// RMS norm (Zhang and Sennrich 2019), an operation that fer does not have:
//
//   y = x / rms(x),   rms(x) = sqrt(mean(x^2) + eps),   for each row of x, rows x C
//
// with the gradient, for dy the gradient of y and means over the row:
//
//   dx = (dy - y mean(dy y)) / rms(x)
#pragma once

#include <fer/autograd/variable.h>
#include <fer/tensor/tensor.h>

namespace example {

/// Differentiable, on every device of this build; float32 and float64.
fer::Variable rms_norm(const fer::Variable& x, double eps = 1e-6);

/// Its wrong twin, whose backward treats rms(x) as a constant: dx = dy / rms(x).
fer::Variable wrong_rms_norm(const fer::Variable& x, double eps = 1e-6);

/// The kernels of one device. inverse: 1 / rms(x), one value per row.
struct RmsNormKernels {
  void (*forward)(const fer::Tensor& x, double eps, fer::Tensor& y, fer::Tensor& inverse);
  void (*backward)(const fer::Tensor& y, const fer::Tensor& inverse, const fer::Tensor& dy, fer::Tensor& dx);
};

/// Registers a device's kernels. Returns true, so that a static variable can call it before main begins.
bool add_kernels(fer::Device device, const RmsNormKernels& kernels);

}  // namespace example
