// Convolutions by cuDNN.
#pragma once

#include "cuda/gpu.h"
#include "cuda/library/shared_library.h"
#include "fer/tensor/backend.h"

typedef struct cudnnContext* cudnnHandle_t;

namespace fer::cuda {

/// float32, N x H x W x C, like Backend's functions of the same names. Uses the first deterministic algorithm
/// that works among those that cuDNN recommends for a shape. Throws DeviceError if there is none.
class Cudnn {
 public:
  /// `memory` allocates workspaces. Throws DeviceError if the library is not installed or there is no GPU.
  Cudnn(gpu::Stream stream, Backend& memory);
  ~Cudnn();
  Cudnn(const Cudnn&) = delete;
  Cudnn& operator=(const Cudnn&) = delete;

  void forward(const Tensor& x, const Tensor& weight, const Conv2dOptions& options, Tensor& y) const;
  void backward_input(const Tensor& dy, const Tensor& weight, const Conv2dOptions& options, Tensor& dx) const;
  void backward_weight(const Tensor& x, const Tensor& dy, const Conv2dOptions& options,
                       Tensor& dweight) const;

  /// Opens the library and looks up all functions that this class uses, without a GPU.
  static void check_installed();

 private:
  cudnnHandle_t handle_ = nullptr;
  Backend& memory_;
};

}  // namespace fer::cuda
