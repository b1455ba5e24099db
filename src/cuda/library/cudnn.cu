// Four descriptors describe a convolution to cuDNN. Its heuristics list the algorithms for it, best first.
#include "cuda/library/cudnn.h"

#include <cudnn.h>

#include <array>

#include "cuda/op_support.h"
#include "fer/tensor/precision.h"

namespace fer::cuda {
namespace {

#define FER_CUDNN(F)                               \
  F(cudnnCreate)                                   \
  F(cudnnDestroy)                                  \
  F(cudnnSetStream)                                \
  F(cudnnGetErrorString)                           \
  F(cudnnCreateTensorDescriptor)                   \
  F(cudnnDestroyTensorDescriptor)                  \
  F(cudnnSetTensor4dDescriptor)                    \
  F(cudnnCreateFilterDescriptor)                   \
  F(cudnnDestroyFilterDescriptor)                  \
  F(cudnnSetFilter4dDescriptor)                    \
  F(cudnnCreateConvolutionDescriptor)              \
  F(cudnnDestroyConvolutionDescriptor)             \
  F(cudnnSetConvolution2dDescriptor)               \
  F(cudnnSetConvolutionGroupCount)                 \
  F(cudnnSetConvolutionMathType)                   \
  F(cudnnGetConvolutionForwardAlgorithm_v7)        \
  F(cudnnGetConvolutionBackwardDataAlgorithm_v7)   \
  F(cudnnGetConvolutionBackwardFilterAlgorithm_v7) \
  F(cudnnConvolutionForward)                       \
  F(cudnnConvolutionBackwardData)                  \
  F(cudnnConvolutionBackwardFilter)
FER_LIBRARY_FUNCTIONS(Functions, FER_CUDNN);

const Functions& functions() {
  static const Functions found(SharedLibrary(concat("libcudnn.so.", CUDNN_MAJOR), "cuDNN"));
  return found;
}

void check(cudnnStatus_t status, const char* call) {
  require<DeviceError>(status == CUDNN_STATUS_SUCCESS, "[cudnn] ", call, ": ",
                       functions().cudnnGetErrorString(status));
}

/// Whether an algorithm that multiplies by `math` rounds no more than requested: not at all, or to tf32
/// (`rounded`). Without conversion, tensor cores treat float32 as tf32. With conversion they may use half
/// precision, which rounds like tf32 but ends at 65504, while tf32 has the range of float32.
constexpr bool precise_enough(cudnnMathType_t math, bool rounded) {
  const bool as_described = math == CUDNN_FMA_MATH || math == CUDNN_DEFAULT_MATH;  // the default may be tf32
  return as_described || (rounded && math == CUDNN_TENSOR_OP_MATH);
}
static_assert(!precise_enough(CUDNN_TENSOR_OP_MATH, false) && precise_enough(CUDNN_TENSOR_OP_MATH, true));
static_assert(!precise_enough(CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION, true));

/// The descriptors of x, weight and y, and of the convolution between them.
class Descriptors {
 public:
  Descriptors(const Tensor& x_like, const Tensor& weight_like, const Tensor& y_like,
              const Conv2dOptions& options) {
    const Functions& f = functions();
    check(f.cudnnCreateTensorDescriptor(&x), "cudnnCreateTensorDescriptor");
    check(f.cudnnCreateTensorDescriptor(&y), "cudnnCreateTensorDescriptor");
    check(f.cudnnCreateFilterDescriptor(&weight), "cudnnCreateFilterDescriptor");
    check(f.cudnnCreateConvolutionDescriptor(&convolution), "cudnnCreateConvolutionDescriptor");
    describe(x, x_like);
    describe(y, y_like);
    const auto w = [&](int i) { return static_cast<int>(weight_like.dim(i)); };  // O x kh x kw x I
    check(f.cudnnSetFilter4dDescriptor(weight, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NHWC, w(0), w(3), w(1), w(2)),
          "cudnnSetFilter4dDescriptor");
    check(f.cudnnSetConvolution2dDescriptor(convolution, options.padding, options.padding, options.stride,
                                            options.stride, 1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
          "cudnnSetConvolution2dDescriptor");
    check(f.cudnnSetConvolutionGroupCount(convolution, options.groups), "cudnnSetConvolutionGroupCount");
    rounded_ = precision(Device::cuda) == Precision::tf32;
    set_math(rounded_ ? CUDNN_DEFAULT_MATH : CUDNN_FMA_MATH);
  }
  ~Descriptors() {
    const Functions& f = functions();
    if (convolution != nullptr) (void)f.cudnnDestroyConvolutionDescriptor(convolution);
    if (weight != nullptr) (void)f.cudnnDestroyFilterDescriptor(weight);
    if (y != nullptr) (void)f.cudnnDestroyTensorDescriptor(y);
    if (x != nullptr) (void)f.cudnnDestroyTensorDescriptor(x);
  }
  Descriptors(const Descriptors&) = delete;
  Descriptors& operator=(const Descriptors&) = delete;

  /// Whether an algorithm may multiply by `math`. If so, sets it in the convolution's descriptor; float32
  /// stays with FMA.
  bool allow(cudnnMathType_t math) const {
    if (!precise_enough(math, rounded_)) return false;
    if (rounded_) set_math(math);
    return true;
  }

  cudnnTensorDescriptor_t x = nullptr, y = nullptr;
  cudnnFilterDescriptor_t weight = nullptr;
  cudnnConvolutionDescriptor_t convolution = nullptr;

 private:
  bool rounded_ = false;

  void set_math(cudnnMathType_t math) const {
    check(functions().cudnnSetConvolutionMathType(convolution, math), "cudnnSetConvolutionMathType");
  }
  static void describe(cudnnTensorDescriptor_t descriptor, const Tensor& t) {
    const auto extent = [&](int i) { return static_cast<int>(t.dim(i)); };
    check(functions().cudnnSetTensor4dDescriptor(descriptor, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, extent(0),
                                                 extent(3), extent(1), extent(2)),
          "cudnnSetTensor4dDescriptor");
  }
};

bool is_unsupported(cudnnStatus_t status) {
#if CUDNN_MAJOR >= 9
  return status / 1000 == CUDNN_STATUS_NOT_SUPPORTED / 1000;  // one code per reason
#else
  return status == CUDNN_STATUS_NOT_SUPPORTED;
#endif
}

/// Runs the first algorithm of `ask(count, &found, results)` that is deterministic, rounds no more than the
/// descriptor allows, and does not fail as unsupported when it runs: heuristics list some that do.
/// run(algorithm, workspace, bytes of the workspace) runs the algorithm.
template <typename Result, typename Ask, typename Run>
void run_best(const char* what, const Tensor& image, const Tensor& weight, const Descriptors& descriptors,
              Backend& memory, const Ask& ask, const Run& run) {
  std::array<Result, 8> results{};
  int found = 0;
  check(ask(static_cast<int>(results.size()), &found, results.data()), what);
  for (int i = 0; i < found; ++i) {
    const Result& r = results[static_cast<std::size_t>(i)];
    if (r.status != CUDNN_STATUS_SUCCESS || r.determinism != CUDNN_DETERMINISTIC) continue;
    if (!descriptors.allow(r.mathType)) continue;
    const DeviceArray<char> workspace(memory, static_cast<index_t>(r.memory));
    const cudnnStatus_t status = run(r.algo, workspace.data(), r.memory);
    if (is_unsupported(status)) continue;
    return check(status, what);
  }
  throw DeviceError(concat("[cudnn] ", what, ": no deterministic algorithm for an image of shape ",
                           image.shape(), " and weight ", weight.shape(), "; use --math native"));
}

constexpr float one = 1, zero = 0;

}  // namespace

Cudnn::Cudnn(gpu::Stream stream, Backend& memory) : memory_(memory) {
  check(functions().cudnnCreate(&handle_), "cudnnCreate");
  check(functions().cudnnSetStream(handle_, stream), "cudnnSetStream");
}

Cudnn::~Cudnn() {
  (void)functions().cudnnDestroy(handle_);
}

void Cudnn::check_installed() {
  (void)functions();
}

void Cudnn::forward(const Tensor& x, const Tensor& weight, const Conv2dOptions& options, Tensor& y) const {
  const Functions& f = functions();
  const Descriptors d(x, weight, y, options);
  run_best<cudnnConvolutionFwdAlgoPerf_t>(
      "cudnnConvolutionForward", x, weight, d, memory_,
      [&](auto... out) {
        return f.cudnnGetConvolutionForwardAlgorithm_v7(handle_, d.x, d.weight, d.convolution, d.y, out...);
      },
      [&](auto algorithm, void* workspace, std::size_t bytes) {
        return f.cudnnConvolutionForward(handle_, &one, d.x, x.data<float>(), d.weight, weight.data<float>(),
                                         d.convolution, algorithm, workspace, bytes, &zero, d.y,
                                         y.mutable_data<float>());
      });
}

void Cudnn::backward_input(const Tensor& dy, const Tensor& weight, const Conv2dOptions& options,
                           Tensor& dx) const {
  const Functions& f = functions();
  const Descriptors d(dx, weight, dy, options);
  run_best<cudnnConvolutionBwdDataAlgoPerf_t>(
      "cudnnConvolutionBackwardData", dx, weight, d, memory_,
      [&](auto... out) {
        return f.cudnnGetConvolutionBackwardDataAlgorithm_v7(handle_, d.weight, d.y, d.convolution, d.x,
                                                             out...);
      },
      [&](auto algorithm, void* workspace, std::size_t bytes) {
        return f.cudnnConvolutionBackwardData(handle_, &one, d.weight, weight.data<float>(), d.y,
                                              dy.data<float>(), d.convolution, algorithm, workspace, bytes,
                                              &zero, d.x, dx.mutable_data<float>());
      });
}

void Cudnn::backward_weight(const Tensor& x, const Tensor& dy, const Conv2dOptions& options,
                            Tensor& dweight) const {
  const Functions& f = functions();
  const Descriptors d(x, dweight, dy, options);
  run_best<cudnnConvolutionBwdFilterAlgoPerf_t>(
      "cudnnConvolutionBackwardFilter", x, dweight, d, memory_,
      [&](auto... out) {
        return f.cudnnGetConvolutionBackwardFilterAlgorithm_v7(handle_, d.x, d.y, d.convolution, d.weight,
                                                               out...);
      },
      [&](auto algorithm, void* workspace, std::size_t bytes) {
        return f.cudnnConvolutionBackwardFilter(handle_, &one, d.x, x.data<float>(), d.y, dy.data<float>(),
                                                d.convolution, algorithm, workspace, bytes, &zero, d.weight,
                                                dweight.mutable_data<float>());
      });
}

}  // namespace fer::cuda
