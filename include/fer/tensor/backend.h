// Backend: everything that a device must be able to do, one abstract function per primitive. This is the
// table of contents of src/cpu and src/cuda: the file named beside each group implements it there.
//
// Contracts that hold for every function below:
//  - Tensors are contiguous and live on this backend's device. Images are N x H x W x C. "rows x C" means
//    any shape whose last extent is C.
//  - The caller allocates the outputs. A function overwrites them in full and accumulates nothing. An output
//    never shares memory with an input unless the comment says that it may.
//  - All tensors of one call have the same type, float32 or float64, unless the comment names another.
//  - The devices simt and cuda also take bfloat16 for data (x, y, residuals, their gradients), except in
//    softmax, losses, optimizers and images. Parameters, statistics and their gradients are then float32.
//    Arithmetic is float32, and results are rounded once, when they are stored. A product of bfloat16
//    operands may also be stored as float32.
//  - An undefined tensor (`!t.defined()`) stands for "none" where the comment says optional.
//  - The caller has checked the shapes (src/autograd, one file per op). Backends check only what would
//    corrupt memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "fer/tensor/random.h"
#include "fer/tensor/tensor.h"

namespace fer {

struct Conv2dOptions {
  int stride = 1;
  int padding = 0;
  int groups = 1;
};

/// A convolution's weight, prepared by a device for many calls (see Backend::pack_conv2d). A device derives
/// its own class, which adds the layouts that its kernels read.
struct PackedConv2d {
  Tensor weight;  ///< O x kh x kw x I/groups
  Conv2dOptions options;

  PackedConv2d(const Tensor& weight_, const Conv2dOptions& options_) : weight(weight_), options(options_) {}
  virtual ~PackedConv2d() = default;
};

/// What conv2d_fused_forward does with a sum before it writes it: y = prelu(sum + bias, slope) + residual.
struct Conv2dEpilogue {
  Tensor bias, slope;  ///< O; each optional
  Tensor residual;     ///< of y's shape; optional
};

/// What linear_fused_forward does with a sum before it writes it: y = f(sum + bias) + residual, where f is
/// the exact gelu or the identity.
struct LinearEpilogue {
  Tensor bias{};  ///< O; optional
  bool gelu = false;
  Tensor before_gelu{};  ///< output, y's shape: sum + bias, for backward; optional, only with gelu
  Tensor residual{};     ///< y's shape; optional
};

/// The heat map of f_lm that multiplies f_img (Eq. 1 and the alternatives in Table 4).
enum class HeatmapKind { max, sum, abs_sum };

enum class BinaryOp { add, sub, mul, div };
enum class UnaryOp { relu, gelu, sigmoid, exp, log, sqrt, abs };

/// What one number of the dropout mask covers: one element, or one sample x[n].
enum class DropoutMask { element, sample };

/// Square windows of max_pool2d. Padding never wins a window: it acts as -infinity.
struct Pool2dOptions {
  int kernel = 1;
  int stride = 1;
  int padding = 0;  ///< at each side of the image; at most kernel / 2
};

/// What attention adds to its scaled scores before the softmax. Both are optional, and broadcast to
/// N x heads x Tq x Tk under NumPy's rule.
struct AttentionBias {
  Tensor bias{};  ///< float32 where the data is bfloat16
  Tensor mask{};  ///< uint8: a query attends to a key where it is not 0; elsewhere the score is -infinity
};

struct AdamOptions {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0.0;
  bool decoupled = false;  ///< AdamW: decay the parameter, not the gradient
};
/// One parameter of a fused Adam step. All tensors have the same shape; param, m and v are updated in place.
struct AdamSlot {
  Tensor param, grad, m, v;
};

struct SgdOptions {
  double lr = 0.1, momentum = 0.0, weight_decay = 0.0;
  bool nesterov = false;
};
struct SgdSlot {
  Tensor param, grad, momentum;  ///< momentum is undefined when SgdOptions::momentum is 0
};
/// One parameter of SAM's ascent and restore steps. All tensors have the same shape.
struct SamSlot {
  Tensor param, grad, saved;  ///< grad is undefined if the parameter stays as it is
};

/// What preprocess_images does to one image, in this order: flip, normalise, erase.
struct ImageTransform {
  std::int32_t flip = 0;                                                          ///< mirror left-right
  std::int32_t erase_top = 0, erase_left = 0, erase_height = 0, erase_width = 0;  ///< 0 height: no erasing
};

/// Bytes held by a backend's allocator.
struct MemoryStats {
  std::size_t live = 0;      ///< in use by tensors now
  std::size_t peak = 0;      ///< maximum of `live` since the last reset
  std::size_t reserved = 0;  ///< taken from the system: live plus what is cached for reuse
  std::size_t limit = 0;     ///< 0: none
};

class DeviceRuntime;

class Backend {
 public:
  virtual ~Backend() = default;

  virtual Device device() const = 0;
  /// Text to display that describes what runs the kernels: "cpu (AVX2, 2 threads)".
  virtual std::string description() const = 0;

  // --- memory (memory.cpp) --------------------------------------------------------------------------
  virtual void* allocate(std::size_t bytes) = 0;  ///< 64-byte aligned; DeviceError if out of memory
  virtual void release(void* data, std::size_t bytes) noexcept = 0;
  virtual void copy_from_host(void* device_data, const void* host_data, std::size_t bytes) = 0;
  virtual void copy_to_host(void* host_data, const void* device_data, std::size_t bytes) = 0;
  /// Waits until the device has finished all submitted work.
  virtual void synchronize() = 0;
  virtual MemoryStats memory_stats() const = 0;
  virtual void reset_peak_memory() = 0;
  /// Graphs, events and uploads (device_runtime.h); nullptr for a device that computes synchronously.
  virtual DeviceRuntime* runtime() { return nullptr; }
  /// The gpu::Stream of this device: a kernel launched on it runs after all work submitted before it and
  /// before all work submitted after it. Null on the CPU.
  virtual void* stream() const { return nullptr; }

  virtual void fill(Tensor& y, double value) = 0;     ///< y: any type
  virtual void copy(const Tensor& x, Tensor& y) = 0;  ///< same type and element count
  virtual void cast(const Tensor& x, Tensor& y) = 0;  ///< float32, float64, int64, int32, uint8 in any pair

  // --- elementwise with broadcasting (elementwise.cpp) ------------------------------------------------
  /// y = a op b under NumPy's broadcasting rule; y may share memory with an operand of the same shape.
  virtual void binary(BinaryOp op, const Tensor& a, const Tensor& b, Tensor& y) = 0;
  /// y = x summed over the dimensions in which y's extent is 1 or absent (the reverse of broadcasting). y may
  /// be float32 when x is bfloat16.
  virtual void sum_to(const Tensor& x, Tensor& y) = 0;
  /// y = alpha * x; y may be x.
  virtual void scale(const Tensor& x, double alpha, Tensor& y) = 0;
  /// y += alpha * x. The tape accumulates gradients with it; no other function adds to its output.
  virtual void accumulate(const Tensor& x, double alpha, Tensor& y) = 0;
  /// y = y + weight * (x - y), in place (exponential moving averages).
  virtual void lerp(const Tensor& x, double weight, Tensor& y) = 0;

  // --- activations (activation.cpp) -------------------------------------------------------------------
  /// y = f(x). gelu is the exact form, x * Phi(x).
  virtual void activation_forward(UnaryOp op, const Tensor& x, Tensor& y) = 0;
  /// dx = dy * f'(x); y is the forward result, x the forward input; dx may be dy.
  virtual void activation_backward(UnaryOp op, const Tensor& x, const Tensor& y, const Tensor& dy,
                                   Tensor& dx) = 0;

  // --- PReLU (prelu.cpp): y = x > 0 ? x : slope[c] * x; x rows x C, slope C ------------------------------
  virtual void prelu_forward(const Tensor& x, const Tensor& slope, Tensor& y) = 0;
  /// dx optional, may be dy; dslope (C) optional.
  virtual void prelu_backward(const Tensor& x, const Tensor& slope, const Tensor& dy, Tensor& dx,
                              Tensor& dslope) = 0;

  // --- layout (layout.cpp) ----------------------------------------------------------------------------
  /// y's dimension i is x's dimension order[i]; any type.
  virtual void permute(const Tensor& x, std::span<const int> order, Tensor& y) = 0;
  /// y = x[..., start : start + y.dim(dim), ...] along `dim`; any type.
  virtual void slice(const Tensor& x, int dim, std::int64_t start, Tensor& y) = 0;
  /// y[..., start : start + x.dim(dim), ...] = x; the rest of y is unchanged. concat is one paste per input.
  virtual void paste(const Tensor& x, int dim, std::int64_t start, Tensor& y) = 0;

  // --- products (matmul.cpp) --------------------------------------------------------------------------
  /// y = op(a) op(b) per batch; a: ... x M x K (K x M if transpose_a), b: ... x K x N (N x K if transpose_b),
  /// y: ... x M x N, with equal leading dimensions.
  virtual void matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Tensor& y) = 0;
  /// y = x W^T + bias: x rows x I, weight O x I, bias O (optional), y rows x O.
  virtual void linear_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y) = 0;
  /// y = f(x W^T + bias) + residual, in one pass over y if the device can.
  virtual void linear_fused_forward(const Tensor& x, const Tensor& weight, LinearEpilogue& epilogue,
                                    Tensor& y) = 0;
  /// dx = dy W.
  virtual void linear_backward_input(const Tensor& dy, const Tensor& weight, Tensor& dx) = 0;
  /// dweight = dy^T x; dbias (optional) = column sums of dy.
  virtual void linear_backward_weight(const Tensor& x, const Tensor& dy, Tensor& dweight, Tensor& dbias) = 0;

  // --- convolution (conv2d.cpp): x N x H x W x I, weight O x kh x kw x I/groups, y N x H' x W' x O -----
  /// bias: O, optional.
  virtual void conv2d_forward(const Tensor& x, const Tensor& weight, const Tensor& bias,
                              const Conv2dOptions& options, Tensor& y) = 0;
  virtual void conv2d_backward_input(const Tensor& dy, const Tensor& weight, const Conv2dOptions& options,
                                     Tensor& dx) = 0;
  /// dbias: optional.
  virtual void conv2d_backward_weight(const Tensor& x, const Tensor& dy, const Conv2dOptions& options,
                                      Tensor& dweight, Tensor& dbias) = 0;

  // --- depthwise convolution (depthwise_conv2d.cpp): groups == I == O, weight C x kh x kw x 1, no bias -
  virtual void depthwise_conv2d_forward(const Tensor& x, const Tensor& weight, const Conv2dOptions& options,
                                        Tensor& y) = 0;
  virtual void depthwise_conv2d_backward_input(const Tensor& dy, const Tensor& weight,
                                               const Conv2dOptions& options, Tensor& dx) = 0;
  virtual void depthwise_conv2d_backward_weight(const Tensor& x, const Tensor& dy,
                                                const Conv2dOptions& options, Tensor& dweight) = 0;

  // --- convolution fused with its epilogue, for inference (conv2d_fused.cpp) ---------------------------
  /// For weights that no longer change: computes once what depends only on them. groups: 1, or depthwise.
  virtual std::shared_ptr<PackedConv2d> pack_conv2d(const Tensor& weight, const Conv2dOptions& options) = 0;
  /// y = prelu(conv2d(x, weight) + bias, slope) + residual. border: I, the padding value of each channel;
  /// zero if undefined. A linear layer is a 1x1 convolution of 1 x 1 x rows x I.
  virtual void conv2d_fused_forward(const Tensor& x, PackedConv2d& weight, const Tensor& border,
                                    const Conv2dEpilogue& epilogue, Tensor& y) = 0;

  // --- pooling (pool2d.cpp): x N x H x W x C -------------------------------------------------------------
  /// argmax (int32, shape of y): the flat index h * W + w of the maximum in its image; the first on a tie.
  virtual void max_pool2d_forward(const Tensor& x, const Pool2dOptions& options, Tensor& y,
                                  Tensor& argmax) = 0;
  virtual void max_pool2d_backward(const Tensor& dy, const Tensor& argmax, Tensor& dx) = 0;
  /// y: N x C.
  virtual void global_avg_pool2d_forward(const Tensor& x, Tensor& y) = 0;
  virtual void global_avg_pool2d_backward(const Tensor& dy, Tensor& dx) = 0;

  // --- normalisation (batch_norm.cpp, layer_norm.cpp): x rows x C ------------------------------------------
  /// y = prelu((x - mean) inv_std weight + bias, slope) + residual; slope (C) and residual (x's shape) are
  /// optional. Normalises columns by the batch's mean and (biased) variance, stores them as mean (C) and
  /// inv_std = 1/sqrt(var + eps) (C), and updates running_mean and running_var (unbiased) in place by
  /// `momentum`.
  virtual void batch_norm_forward(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                  const Tensor& slope, const Tensor& residual, double momentum, double eps,
                                  Tensor& running_mean, Tensor& running_var, Tensor& y, Tensor& mean,
                                  Tensor& inv_std) = 0;
  /// Computes y from the saved mean and inv_std.
  virtual void batch_norm_apply(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                const Tensor& slope, const Tensor& residual, const Tensor& mean,
                                const Tensor& inv_std, Tensor& y) = 0;
  /// dx, dweight, dbias: each optional; dslope: present if slope is. The gradient of the residual is dy.
  /// addend (x's shape, optional) is added to dx; dx may share its memory.
  virtual void batch_norm_backward(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                   const Tensor& slope, const Tensor& mean, const Tensor& inv_std,
                                   const Tensor& dy, const Tensor& addend, Tensor& dx, Tensor& dweight,
                                   Tensor& dbias, Tensor& dslope) = 0;
  /// The four below do the same for a batch whose rows are in several parts, one a process. Forward is
  /// batch_norm_moments of each part, batch_norm_statistics of all, batch_norm_apply to each.
  /// moments (float64, 1 x 3 x C): by column, the number of rows, the mean, and the sum of squares about it.
  virtual void batch_norm_moments(const Tensor& x, Tensor& moments) = 0;
  /// moments (float64, parts x 3 x C) -> mean, inv_std and running statistics, as batch_norm_forward.
  virtual void batch_norm_statistics(const Tensor& moments, double momentum, double eps, Tensor& running_mean,
                                     Tensor& running_var, Tensor& mean, Tensor& inv_std) = 0;
  /// The parameters' gradients from this part's rows, each optional, and what dx needs of these rows: sums
  /// (float64, 3 x C), which are then added up over the parts.
  virtual void batch_norm_backward_sums(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                        const Tensor& slope, const Tensor& mean, const Tensor& inv_std,
                                        const Tensor& dy, Tensor& sums, Tensor& dweight, Tensor& dbias,
                                        Tensor& dslope) = 0;
  /// dx, from the sums over all parts.
  virtual void batch_norm_backward_apply(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                         const Tensor& slope, const Tensor& mean, const Tensor& inv_std,
                                         const Tensor& dy, const Tensor& sums, const Tensor& addend,
                                         Tensor& dx) = 0;
  /// Evaluation: y = (x - running_mean) / sqrt(running_var + eps) * weight + bias.
  virtual void batch_norm_eval_forward(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                       const Tensor& running_mean, const Tensor& running_var, double eps,
                                       Tensor& y) = 0;
  /// dx, dweight, dbias: each optional.
  virtual void batch_norm_eval_backward(const Tensor& x, const Tensor& weight, const Tensor& running_mean,
                                        const Tensor& running_var, double eps, const Tensor& dy, Tensor& dx,
                                        Tensor& dweight, Tensor& dbias) = 0;
  /// Normalises each row; mean and inv_std: one value per row.
  virtual void layer_norm_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps,
                                  Tensor& y, Tensor& mean, Tensor& inv_std) = 0;
  /// dx, dweight, dbias: each optional.
  virtual void layer_norm_backward(const Tensor& x, const Tensor& weight, const Tensor& mean,
                                   const Tensor& inv_std, const Tensor& dy, Tensor& dx, Tensor& dweight,
                                   Tensor& dbias) = 0;

  // --- softmax over the last dimension (softmax.cpp) ---------------------------------------------------
  virtual void softmax_forward(const Tensor& x, bool log, Tensor& y) = 0;
  virtual void softmax_backward(const Tensor& y, const Tensor& dy, bool log, Tensor& dx) = 0;

  // --- attention (attention.cpp), Eq. 4: q N x Tq x D, k and v N x Tk x D, heads of width D / heads ----
  /// y = softmax(q k^T / sqrt(D / heads) + bias) v per head, without a Tq x Tk matrix in memory. A query whose
  /// scores are all -infinity, by bias or mask, gets y = 0.
  /// log_sum_exp: N x heads x Tq, the log of each row's softmax denominator (of the scaled scores plus bias);
  /// +infinity for a query with y = 0, so that its weights are 0 in backward.
  virtual void attention_forward(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionBias& bias,
                                 int heads, Tensor& y, Tensor& log_sum_exp) = 0;
  /// dscores (optional, only with a bias): N x heads x Tq x Tk, of the bias's type: the gradient of the bias
  /// before it is summed over the dimensions in which the bias was broadcast.
  virtual void attention_backward(const Tensor& q, const Tensor& k, const Tensor& v,
                                  const AttentionBias& bias, const Tensor& y, const Tensor& log_sum_exp,
                                  const Tensor& dy, int heads, Tensor& dq, Tensor& dk, Tensor& dv,
                                  Tensor& dscores) = 0;

  // --- heat map and product (heatmap.cpp), Eq. 1: f_lm N x H x W x Cl, f_img N x H x W x Ci ------------
  /// heat: N x H x W x 1; argmax: int32, heat's shape, the first channel that attains the maximum (for
  /// HeatmapKind::max; optional otherwise).
  virtual void heatmap_forward(const Tensor& f_lm, HeatmapKind kind, Tensor& heat, Tensor& argmax) = 0;
  virtual void heatmap_backward(const Tensor& f_lm, const Tensor& argmax, HeatmapKind kind,
                                const Tensor& dheat, Tensor& df_lm) = 0;
  /// y = heat(f_lm) * f_img in one pass; heat and argmax are saved for backward.
  virtual void heatmap_product_forward(const Tensor& f_lm, const Tensor& f_img, HeatmapKind kind, Tensor& y,
                                       Tensor& heat, Tensor& argmax) = 0;
  /// df_lm optional (the landmark backbone is frozen in training), df_img optional.
  virtual void heatmap_product_backward(const Tensor& f_lm, const Tensor& f_img, const Tensor& heat,
                                        const Tensor& argmax, HeatmapKind kind, const Tensor& dy,
                                        Tensor& df_lm, Tensor& df_img) = 0;

  // --- dropout (dropout.cpp) ----------------------------------------------------------------------------
  /// Element i of x (with DropoutMask::sample: all of x[i]) is kept, and scaled by 1 / (1 - p), iff
  /// unit_float(philox_word(key, first + i)) >= p; else 0. first >= 0: the place of x in a larger batch.
  /// Backward is the same function, because the same key gives the same mask. y may be x.
  virtual void dropout(const Tensor& x, double p, const RandomKey& key, std::int64_t first, DropoutMask mask,
                       Tensor& y) = 0;

  // --- classification losses (cross_entropy.cpp): scores N x K, labels int64 N -------------------------
  /// Mean over N of -sum_k t_k log softmax(scores)_k, t = (1 - smoothing) onehot(label) + smoothing / K.
  /// loss: scalar. probabilities: N x K, saved for backward.
  virtual void cross_entropy_forward(const Tensor& scores, const Tensor& labels, double label_smoothing,
                                     Tensor& loss, Tensor& probabilities) = 0;
  virtual void cross_entropy_backward(const Tensor& probabilities, const Tensor& labels,
                                      double label_smoothing, const Tensor& dloss, Tensor& dscores) = 0;
  /// The same with a target distribution, N x K; its rows need not sum to 1.
  virtual void soft_cross_entropy_forward(const Tensor& scores, const Tensor& target, Tensor& loss,
                                          Tensor& probabilities) = 0;
  /// dtarget: optional.
  virtual void soft_cross_entropy_backward(const Tensor& scores, const Tensor& probabilities,
                                           const Tensor& target, const Tensor& dloss, Tensor& dscores,
                                           Tensor& dtarget) = 0;
  /// entropy (N) of softmax(scores) in nats.
  virtual void entropy_forward(const Tensor& scores, Tensor& entropy) = 0;
  virtual void entropy_backward(const Tensor& scores, const Tensor& entropy, const Tensor& dentropy,
                                Tensor& dscores) = 0;

  // --- NeAA (neaa.cpp), Eqs. 6-10: features N x D, labels int64 N --------------------------------------
  /// anchors (int64, classes): the sample of least entropy of each class, the first on a tie; -1 if the
  /// class is absent.
  virtual void class_anchors(const Tensor& scores, const Tensor& labels, Tensor& anchors) = 0;
  /// Eqs. 7 and 8: sum over classes, except class `skip` (-1: all), of the mean over the class's samples of
  /// mean_d (f - anchor)^2.
  virtual void anchor_loss_forward(const Tensor& features, const Tensor& labels, const Tensor& anchors,
                                   std::int64_t skip, Tensor& loss) = 0;
  virtual void anchor_loss_backward(const Tensor& features, const Tensor& labels, const Tensor& anchors,
                                    std::int64_t skip, const Tensor& dloss, Tensor& dfeatures) = 0;
  /// Eq. 9 in a form linear in n: 2 n sum_i |f_i - mean|^2 / D / (n - 1)^2 over the n neutral samples; 0 if
  /// n < 2.
  virtual void neutral_loss_forward(const Tensor& features, const Tensor& labels, std::int64_t neutral,
                                    Tensor& loss) = 0;
  virtual void neutral_loss_backward(const Tensor& features, const Tensor& labels, std::int64_t neutral,
                                     const Tensor& dloss, Tensor& dfeatures) = 0;
  /// Eq. 9 as printed: the sum over all ordered pairs, quadratic in n. For teaching, and the reference that
  /// neutral_loss_forward is tested against.
  virtual void neutral_loss_pairwise_forward(const Tensor& features, const Tensor& labels,
                                             std::int64_t neutral, Tensor& loss) = 0;

  // --- optimizers (optimizer.cpp) ----------------------------------------------------------------------
  /// step: counts from 1 (bias correction).
  virtual void adam_step(std::span<AdamSlot> slots, const AdamOptions& options, std::int64_t step) = 0;
  /// step: counts from 1; at step 1 the momentum buffer is set to the gradient itself (PyTorch's rule).
  virtual void sgd_step(std::span<SgdSlot> slots, const SgdOptions& options, std::int64_t step) = 0;
  /// SAM's ascent: saved = param, param += rho / (norm + 1e-12) * grad. norm: the result of global_norm
  /// (float64).
  virtual void sam_ascend(std::span<SamSlot> slots, double rho, const Tensor& norm) = 0;
  /// Undoes sam_ascend: param = saved, bit for bit.
  virtual void sam_restore(std::span<SamSlot> slots) = 0;
  /// norm (float64 scalar) = the square root of the sum of squares of all elements of all tensors, summed in
  /// float64 in a fixed order.
  virtual void global_norm(std::span<const Tensor> tensors, Tensor& norm) = 0;

  // --- images (image.cpp) -------------------------------------------------------------------------------
  /// images uint8 N x H x W x C (C = 1 or 3) -> y N x H x W x 3: (pixel / 255 - mean) / std, with each
  /// image's transform; erased pixels are 0 after normalisation. transforms: N of them, in host memory.
  virtual void preprocess_images(const Tensor& images, std::span<const ImageTransform> transforms,
                                 const float mean[3], const float std[3], Tensor& y) = 0;
  /// images uint8 N x H x W x C -> y uint8 N x H' x W' x C (resize.cpp): bilinear, antialiased when it
  /// shrinks; the bytes equal those of Pillow's resize.
  virtual void resize_images(const Tensor& images, Tensor& y) = 0;
};

/// The backend of a device, created at first use. DeviceError, saying what to do, if this build or machine
/// has none.
Backend& backend(Device device);
/// The backend of a tensor's device, for the kernels of an operation. Inside ShapesOnly, a backend whose
/// kernels do nothing.
Backend& backend_of(const Tensor& tensor);

/// While alive, operations of this thread check their inputs and return outputs of the right shapes, but
/// compute nothing: the contents of the outputs are undefined.
class ShapesOnly {
 public:
  ShapesOnly();
  ~ShapesOnly();
  ShapesOnly(const ShapesOnly&) = delete;
  ShapesOnly& operator=(const ShapesOnly&) = delete;

 private:
  bool before_;
};

/// Whether backend(device) would succeed; `reason`, if given, receives why not.
bool is_available(Device device, std::string* reason = nullptr);

/// Implemented by src/cpu, src/simt and src/cuda, or by a stand-in that says why the device is missing.
std::unique_ptr<Backend> make_cpu_backend();
std::unique_ptr<Backend> make_simt_backend();
std::unique_ptr<Backend> make_cuda_backend();

}  // namespace fer
