// A convolution is described to cuDNN by four descriptors; its own heuristics name the algorithms that it has
// for them, best first.
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
    // The default is tf32 where there are tensor cores.
    const bool rounded = precision(Device::cuda) == Precision::tf32;
    check(f.cudnnSetConvolutionMathType(convolution, rounded ? CUDNN_DEFAULT_MATH : CUDNN_FMA_MATH),
          "cudnnSetConvolutionMathType");
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

  cudnnTensorDescriptor_t x = nullptr, y = nullptr;
  cudnnFilterDescriptor_t weight = nullptr;
  cudnnConvolutionDescriptor_t convolution = nullptr;

 private:
  static void describe(cudnnTensorDescriptor_t descriptor, const Tensor& t) {
    const auto extent = [&](int i) { return static_cast<int>(t.dim(i)); };
    check(functions().cudnnSetTensor4dDescriptor(descriptor, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, extent(0),
                                                 extent(3), extent(1), extent(2)),
          "cudnnSetTensor4dDescriptor");
  }
};

/// The first algorithm of `ask(count, &found, results)` that works and gives the same result each time.
template <typename Result, typename Ask>
Result choose(const char* what, const Tensor& image, const Tensor& weight, const Ask& ask) {
  std::array<Result, 8> results{};
  int found = 0;
  const cudnnStatus_t status = ask(static_cast<int>(results.size()), &found, results.data());
  if (status == CUDNN_STATUS_SUCCESS) {
    for (int i = 0; i < found; ++i) {
      const Result& r = results[static_cast<std::size_t>(i)];
      if (r.status == CUDNN_STATUS_SUCCESS && r.determinism == CUDNN_DETERMINISTIC) return r;
    }
  }
  throw DeviceError(concat("[", what, "] cuDNN has no deterministic algorithm for an image of shape ",
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
  const auto chosen = choose<cudnnConvolutionFwdAlgoPerf_t>("conv2d", x, weight, [&](auto... out) {
    return f.cudnnGetConvolutionForwardAlgorithm_v7(handle_, d.x, d.weight, d.convolution, d.y, out...);
  });
  const DeviceArray<char> workspace(memory_, static_cast<index_t>(chosen.memory));
  check(f.cudnnConvolutionForward(handle_, &one, d.x, x.data<float>(), d.weight, weight.data<float>(),
                                  d.convolution, chosen.algo, workspace.data(), chosen.memory, &zero, d.y,
                                  y.mutable_data<float>()),
        "cudnnConvolutionForward");
}

void Cudnn::backward_input(const Tensor& dy, const Tensor& weight, const Conv2dOptions& options,
                           Tensor& dx) const {
  const Functions& f = functions();
  const Descriptors d(dx, weight, dy, options);
  const auto chosen =
      choose<cudnnConvolutionBwdDataAlgoPerf_t>("conv2d backward", dx, weight, [&](auto... out) {
        return f.cudnnGetConvolutionBackwardDataAlgorithm_v7(handle_, d.weight, d.y, d.convolution, d.x,
                                                             out...);
      });
  const DeviceArray<char> workspace(memory_, static_cast<index_t>(chosen.memory));
  check(f.cudnnConvolutionBackwardData(handle_, &one, d.weight, weight.data<float>(), d.y, dy.data<float>(),
                                       d.convolution, chosen.algo, workspace.data(), chosen.memory, &zero,
                                       d.x, dx.mutable_data<float>()),
        "cudnnConvolutionBackwardData");
}

void Cudnn::backward_weight(const Tensor& x, const Tensor& dy, const Conv2dOptions& options,
                            Tensor& dweight) const {
  const Functions& f = functions();
  const Descriptors d(x, dweight, dy, options);
  const auto chosen =
      choose<cudnnConvolutionBwdFilterAlgoPerf_t>("conv2d backward", x, dweight, [&](auto... out) {
        return f.cudnnGetConvolutionBackwardFilterAlgorithm_v7(handle_, d.x, d.y, d.convolution, d.weight,
                                                               out...);
      });
  const DeviceArray<char> workspace(memory_, static_cast<index_t>(chosen.memory));
  check(f.cudnnConvolutionBackwardFilter(handle_, &one, d.x, x.data<float>(), d.y, dy.data<float>(),
                                         d.convolution, chosen.algo, workspace.data(), chosen.memory, &zero,
                                         d.weight, dweight.mutable_data<float>()),
        "cudnnConvolutionBackwardFilter");
}

}  // namespace fer::cuda
