// The backend of a GPU with fer's own kernels, cuBLAS and cuDNN. MathMode chooses between them at run time.
#pragma once

#include <memory>

#include "cuda/device_backend.h"
#include "cuda/library/cublas.h"
#include "cuda/library/cudnn.h"

namespace fer::cuda {

/// In library mode, cuBLAS computes matrix products and linear layers. cuDNN computes convolutions in float32
/// and tf32, including grouped, depthwise and inference ones. The kernels of src/cuda still compute what
/// follows a product or surrounds an image, and convolutions in float64 and bf16.
class LibraryBackend final : public DeviceBackend {
 public:
  LibraryBackend();

  void matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Tensor& y) override;
  void linear_fused_forward(const Tensor& x, const Tensor& weight, LinearEpilogue& epilogue,
                            Tensor& y) override;
  void linear_backward_input(const Tensor& dy, const Tensor& weight, Tensor& dx) override;
  void linear_backward_weight(const Tensor& x, const Tensor& dy, Tensor& dweight, Tensor& dbias) override;

  void conv2d_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dOptions& options,
                      Tensor& y) override;
  void conv2d_backward_input(const Tensor& dy, const Tensor& weight, const Conv2dOptions& options,
                             Tensor& dx) override;
  void conv2d_backward_weight(const Tensor& x, const Tensor& dy, const Conv2dOptions& options,
                              Tensor& dweight, Tensor& dbias) override;
  void depthwise_conv2d_forward(const Tensor& x, const Tensor& weight, const Conv2dOptions& options,
                                Tensor& y) override;
  void depthwise_conv2d_backward_input(const Tensor& dy, const Tensor& weight, const Conv2dOptions& options,
                                       Tensor& dx) override;
  void depthwise_conv2d_backward_weight(const Tensor& x, const Tensor& dy, const Conv2dOptions& options,
                                        Tensor& dweight) override;

  void conv2d_fused_forward(const Tensor& x, PackedConv2d& weight, const Tensor& border,
                            const Conv2dEpilogue& epilogue, Tensor& y) override;

 private:
  bool library_mode() const { return runtime_.math_mode() == MathMode::library; }
  bool convolves(const Tensor& image, const Tensor& result) const;
  void product(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, std::int64_t m,
               std::int64_t n, std::int64_t k, std::int64_t batch, Tensor& y);
  void add_bias(const Tensor& bias, Tensor& y);
  void sum_columns(const Tensor& dy, Tensor& dbias);

  std::unique_ptr<Cublas> cublas_;
  std::unique_ptr<Cudnn> cudnn_;
};

}  // namespace fer::cuda
