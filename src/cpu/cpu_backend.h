// The CPU's Backend. Each group of functions is implemented in the file of its name in this folder; what they
// promise is written once, in fer/tensor/backend.h.
#pragma once

#include "fer/tensor/backend.h"
#include "tensor/caching_allocator.h"

namespace fer {

class CpuBackend final : public Backend {
 public:
  CpuBackend();

  Device device() const override { return Device::cpu; }
  std::string description() const override;

  // memory.cpp
  void* allocate(std::size_t bytes) override;
  void release(void* data, std::size_t bytes) noexcept override;
  void copy_from_host(void* device_data, const void* host_data, std::size_t bytes) override;
  void copy_to_host(void* host_data, const void* device_data, std::size_t bytes) override;
  void synchronize() override;
  MemoryStats memory_stats() const override;
  void reset_peak_memory() override;
  void fill(Tensor& y, double value) override;
  void copy(const Tensor& x, Tensor& y) override;
  void cast(const Tensor& x, Tensor& y) override;

  // elementwise.cpp
  void binary(BinaryOp op, const Tensor& a, const Tensor& b, Tensor& y) override;
  void sum_to(const Tensor& x, Tensor& y) override;
  void scale(const Tensor& x, double alpha, Tensor& y) override;
  void accumulate(const Tensor& x, double alpha, Tensor& y) override;
  void lerp(const Tensor& x, double weight, Tensor& y) override;

  // activation.cpp
  void activation_forward(UnaryOp op, const Tensor& x, Tensor& y) override;
  void activation_backward(UnaryOp op, const Tensor& x, const Tensor& y, const Tensor& dy,
                           Tensor& dx) override;

  // prelu.cpp
  void prelu_forward(const Tensor& x, const Tensor& slope, Tensor& y) override;
  void prelu_backward(const Tensor& x, const Tensor& slope, const Tensor& dy, Tensor& dx,
                      Tensor& dslope) override;

  // layout.cpp
  void permute(const Tensor& x, std::span<const int> order, Tensor& y) override;
  void slice(const Tensor& x, int dim, std::int64_t start, Tensor& y) override;
  void paste(const Tensor& x, int dim, std::int64_t start, Tensor& y) override;

  // matmul.cpp
  void matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Tensor& y) override;
  void linear_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y) override;
  void linear_fused_forward(const Tensor& x, const Tensor& weight, LinearEpilogue& epilogue,
                            Tensor& y) override;
  void linear_backward_input(const Tensor& dy, const Tensor& weight, Tensor& dx) override;
  void linear_backward_weight(const Tensor& x, const Tensor& dy, Tensor& dweight, Tensor& dbias) override;

  // conv2d.cpp
  void conv2d_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dOptions& options,
                      Tensor& y) override;
  void conv2d_backward_input(const Tensor& dy, const Tensor& weight, const Conv2dOptions& options,
                             Tensor& dx) override;
  void conv2d_backward_weight(const Tensor& x, const Tensor& dy, const Conv2dOptions& options,
                              Tensor& dweight, Tensor& dbias) override;

  // depthwise_conv2d.cpp
  void depthwise_conv2d_forward(const Tensor& x, const Tensor& weight, const Conv2dOptions& options,
                                Tensor& y) override;
  void depthwise_conv2d_backward_input(const Tensor& dy, const Tensor& weight, const Conv2dOptions& options,
                                       Tensor& dx) override;
  void depthwise_conv2d_backward_weight(const Tensor& x, const Tensor& dy, const Conv2dOptions& options,
                                        Tensor& dweight) override;

  // conv2d_fused.cpp
  std::shared_ptr<PackedConv2d> pack_conv2d(const Tensor& weight, const Conv2dOptions& options) override;
  void conv2d_fused_forward(const Tensor& x, PackedConv2d& weight, const Tensor& border,
                            const Conv2dEpilogue& epilogue, Tensor& y) override;

  // pool2d.cpp
  void max_pool2d_forward(const Tensor& x, int kernel, int stride, Tensor& y, Tensor& argmax) override;
  void max_pool2d_backward(const Tensor& dy, const Tensor& argmax, Tensor& dx) override;
  void global_avg_pool2d_forward(const Tensor& x, Tensor& y) override;
  void global_avg_pool2d_backward(const Tensor& dy, Tensor& dx) override;

  // batch_norm.cpp, layer_norm.cpp
  void batch_norm_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& slope,
                          const Tensor& residual, double momentum, double eps, Tensor& running_mean,
                          Tensor& running_var, Tensor& y, Tensor& mean, Tensor& inv_std) override;
  void batch_norm_apply(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& slope,
                        const Tensor& mean, const Tensor& inv_std, Tensor& y) override;
  void batch_norm_backward(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& slope,
                           const Tensor& mean, const Tensor& inv_std, const Tensor& dy, const Tensor& addend,
                           Tensor& dx, Tensor& dweight, Tensor& dbias, Tensor& dslope) override;
  void batch_norm_eval_forward(const Tensor& x, const Tensor& weight, const Tensor& bias,
                               const Tensor& running_mean, const Tensor& running_var, double eps,
                               Tensor& y) override;
  void batch_norm_eval_backward(const Tensor& x, const Tensor& weight, const Tensor& running_mean,
                                const Tensor& running_var, double eps, const Tensor& dy, Tensor& dx,
                                Tensor& dweight, Tensor& dbias) override;
  void layer_norm_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, Tensor& y,
                          Tensor& mean, Tensor& inv_std) override;
  void layer_norm_backward(const Tensor& x, const Tensor& weight, const Tensor& mean, const Tensor& inv_std,
                           const Tensor& dy, Tensor& dx, Tensor& dweight, Tensor& dbias) override;

  // softmax.cpp
  void softmax_forward(const Tensor& x, bool log, Tensor& y) override;
  void softmax_backward(const Tensor& y, const Tensor& dy, bool log, Tensor& dx) override;

  // attention.cpp
  void attention_forward(const Tensor& q, const Tensor& k, const Tensor& v, int heads, Tensor& y,
                         Tensor& log_sum_exp) override;
  void attention_backward(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& y,
                          const Tensor& log_sum_exp, const Tensor& dy, int heads, Tensor& dq, Tensor& dk,
                          Tensor& dv) override;

  // heatmap.cpp
  void heatmap_forward(const Tensor& f_lm, HeatmapKind kind, Tensor& heat, Tensor& argmax) override;
  void heatmap_backward(const Tensor& f_lm, const Tensor& argmax, HeatmapKind kind, const Tensor& dheat,
                        Tensor& df_lm) override;
  void heatmap_product_forward(const Tensor& f_lm, const Tensor& f_img, HeatmapKind kind, Tensor& y,
                               Tensor& heat, Tensor& argmax) override;
  void heatmap_product_backward(const Tensor& f_lm, const Tensor& f_img, const Tensor& heat,
                                const Tensor& argmax, HeatmapKind kind, const Tensor& dy, Tensor& df_lm,
                                Tensor& df_img) override;

  // dropout.cpp
  void dropout(const Tensor& x, double p, const RandomKey& key, Tensor& y) override;

  // cross_entropy.cpp
  void cross_entropy_forward(const Tensor& scores, const Tensor& labels, double label_smoothing, Tensor& loss,
                             Tensor& probabilities) override;
  void cross_entropy_backward(const Tensor& probabilities, const Tensor& labels, double label_smoothing,
                              const Tensor& dloss, Tensor& dscores) override;
  void soft_cross_entropy_forward(const Tensor& scores, const Tensor& target, Tensor& loss,
                                  Tensor& probabilities) override;
  void soft_cross_entropy_backward(const Tensor& scores, const Tensor& probabilities, const Tensor& target,
                                   const Tensor& dloss, Tensor& dscores, Tensor& dtarget) override;
  void entropy_forward(const Tensor& scores, Tensor& entropy) override;
  void entropy_backward(const Tensor& scores, const Tensor& entropy, const Tensor& dentropy,
                        Tensor& dscores) override;

  // neaa.cpp
  void class_anchors(const Tensor& scores, const Tensor& labels, Tensor& anchors) override;
  void anchor_loss_forward(const Tensor& features, const Tensor& labels, const Tensor& anchors,
                           std::int64_t skip, Tensor& loss) override;
  void anchor_loss_backward(const Tensor& features, const Tensor& labels, const Tensor& anchors,
                            std::int64_t skip, const Tensor& dloss, Tensor& dfeatures) override;
  void neutral_loss_forward(const Tensor& features, const Tensor& labels, std::int64_t neutral,
                            Tensor& loss) override;
  void neutral_loss_backward(const Tensor& features, const Tensor& labels, std::int64_t neutral,
                             const Tensor& dloss, Tensor& dfeatures) override;
  void neutral_loss_pairwise_forward(const Tensor& features, const Tensor& labels, std::int64_t neutral,
                                     Tensor& loss) override;

  // optimizer.cpp
  void adam_step(std::span<AdamSlot> slots, const AdamOptions& options, std::int64_t step) override;
  void sgd_step(std::span<SgdSlot> slots, const SgdOptions& options, std::int64_t step) override;
  void sam_ascend(std::span<SamSlot> slots, double rho, const Tensor& norm) override;
  void sam_restore(std::span<SamSlot> slots) override;
  void global_norm(std::span<const Tensor> tensors, Tensor& norm) override;

  // image.cpp
  void preprocess_images(const Tensor& images, std::span<const ImageTransform> transforms,
                         const float mean[3], const float std[3], Tensor& y) override;

  // resize.cpp
  void resize_images(const Tensor& images, Tensor& y) override;

 private:
  CachingAllocator allocator_;
};

}  // namespace fer
