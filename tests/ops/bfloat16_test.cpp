// Data stored as bfloat16, on the devices that support it: an operation computes the same as on equal numbers
// in float32, and rounds its results once. If it rounds nothing else, the bits are compared.
#include <functional>

#include "fer/tensor/precision.h"
#include "tests/ops/op_test.h"

namespace fer::test {
namespace {

constexpr RandomKey key{7, fnv1a64("bfloat16_test"), 0};

/// One run of an operation: in bfloat16, or in float32 on numbers that are exact in bfloat16.
class Run {
 public:
  Run(Device device, bool narrow) : device_(device), type_(narrow ? DType::bfloat16 : DType::float32) {}

  Variable data(const Shape& shape) { return input(shape, type_); }
  Variable parameter(const Shape& shape) { return input(shape, DType::float32); }
  Tensor statistic(const Shape& shape, double value) const {
    return Tensor::full(shape, value, DType::float32, device_);
  }

  /// y, and the gradients of all inputs in their order.
  std::vector<Tensor> results(const Variable& y) {
    CHECK(y.dtype() == type_);
    // The same upstream gradient, in numbers that are exact in both types.
    const Tensor dy = random_cotangent(y.value()).to(DType::bfloat16).to(type_);
    y.backward(dy);
    std::vector<Tensor> all = {y.value()};
    for (const Variable& x : inputs_) {
      CHECK(x.grad().dtype() == x.dtype());
      all.push_back(x.grad());
    }
    return all;
  }

 private:
  Variable input(const Shape& shape, DType type) {
    Random random({11, fnv1a64("bfloat16_test.inputs"), inputs_.size()});
    std::vector<float> values(static_cast<std::size_t>(shape.numel()));
    for (float& value : values) value = static_cast<float>(random.uniform(-1.0, 1.0));
    const Tensor x = Tensor::from(shape, values).to(DType::bfloat16).to(type).to(device_);
    inputs_.emplace_back(x, true);
    return inputs_.back();
  }

  Device device_;
  DType type_;
  std::vector<Variable> inputs_;
};

using Operation = std::function<Variable(Run&)>;

struct StorageCase {
  std::string name;
  Operation operation;
  bool exact = true;  ///< no rounded value is read again to compute a result
};

std::vector<StorageCase> storage_cases() {
  return {
      {"add",
       [](Run& r) {
         return add(r.data({5, 7}), r.data({5, 7}));
       }},
      {"add, broadcast",
       [](Run& r) {
         return add(r.data({3, 5, 7}), r.data({7}));
       }},
      {"mul",
       [](Run& r) {
         return mul(r.data({3, 33}), r.data({3, 33}));
       }},
      {"mul, broadcast",
       [](Run& r) {
         return mul(r.data({3, 33}), r.data({3, 1}));
       },
       false},
      {"div",
       [](Run& r) {
         return div(r.data({3, 33}), exp(r.data({3, 33})));
       },
       false},
      {"exp", [](Run& r) { return exp(r.data({129})); }, false},
      {"log, abs", [](Run& r) { return log(abs(r.data({129}))); }, false},
      {"sqrt, exp", [](Run& r) { return sqrt(exp(r.data({129}))); }, false},
      {"scale", [](Run& r) { return scale(r.data({257}), 0.3); }},
      {"relu", [](Run& r) { return relu(r.data({129})); }},
      {"gelu", [](Run& r) { return gelu(r.data({129})); }},
      {"sigmoid", [](Run& r) { return sigmoid(r.data({129})); }, false},
      {"prelu",
       [](Run& r) {
         return prelu(r.data({9, 33}), r.parameter({33}));
       }},
      {"dropout", [](Run& r) { return dropout(r.data({131}), 0.4, key); }},
      {"dropout, by sample",
       [](Run& r) {
         return dropout(r.data({31, 7}), 0.4, key, DropoutMask::sample);
       }},
      {"permute",
       [](Run& r) {
         return permute(r.data({3, 5, 7}), {2, 0, 1});
       }},
      {"concat",
       [](Run& r) {
         return concat({r.data({2, 3}), r.data({2, 5})}, 1);
       }},
      {"slice",
       [](Run& r) {
         return slice(r.data({2, 7, 3}), 1, 2, 3);
       }},
      {"max_pool2d",
       [](Run& r) {
         return max_pool2d(r.data({2, 6, 8, 5}), 2, 2);
       }},
      {"max_pool2d, padded",
       [](Run& r) {
         return max_pool2d(r.data({2, 6, 7, 5}), 3, 3, 1);
       }},  // windows that overlap would round each sum of their gradients
      {"global_avg_pool2d",
       [](Run& r) {
         return global_avg_pool2d(r.data({2, 5, 7, 33}));
       }},
      {"depthwise conv2d",
       [](Run& r) {
         return conv2d(r.data({2, 7, 6, 9}), r.parameter({9, 3, 3, 1}), {}, {2, 1, 9});
       }},
      {"batch_norm",
       [](Run& r) {
         Tensor mean = r.statistic({33}, 0.0), var = r.statistic({33}, 1.0);
         return batch_norm(r.data({9, 33}), r.parameter({33}), r.parameter({33}), mean, var, 0.1, 1e-5,
                           r.parameter({33}), r.data({9, 33}));
       }},
      {"batch_norm_eval",
       [](Run& r) {
         return batch_norm_eval(r.data({9, 33}), r.parameter({33}), r.parameter({33}), r.statistic({33}, 0.3),
                                r.statistic({33}, 1.7), 1e-5);
       }},
      {"layer_norm",
       [](Run& r) {
         return layer_norm(r.data({5, 33}), r.parameter({33}), r.parameter({33}), 1e-5);
       }},
      {"attention",
       [](Run& r) {
         return attention(r.data({2, 17, 36}), r.data({2, 70, 36}), r.data({2, 70, 36}), 3);
       },
       false},
      {"attention, odd heads",
       [](Run& r) {
         return attention(r.data({1, 5, 21}), r.data({1, 9, 21}), r.data({1, 9, 21}), 3);
       },
       false},
      {"heatmap_product, max",
       [](Run& r) {
         return heatmap_product(r.data({2, 3, 3, 9}), r.data({2, 3, 3, 16}), HeatmapKind::max);
       }},
      {"heatmap_product, sum",
       [](Run& r) {
         return heatmap_product(r.data({2, 3, 3, 8}), r.data({2, 3, 3, 16}), HeatmapKind::sum);
       },
       false},
      {"matmul",
       [](Run& r) {
         return matmul(r.data({2, 9, 70}), r.data({2, 70, 17}));
       }},
      {"linear",
       [](Run& r) {
         return linear(r.data({9, 70}), r.parameter({17, 70}), r.parameter({17}), r.data({9, 17}));
       }},
      {"linear_gelu",
       [](Run& r) {
         return linear_gelu(r.data({9, 70}), r.parameter({17, 70}), r.parameter({17}));
       },
       false},
      {"conv2d",
       [](Run& r) {
         return conv2d(r.data({2, 7, 6, 8}), r.parameter({5, 3, 3, 8}), r.parameter({5}), {2, 1, 1});
       }},
  };
}

OP_TEST("bfloat16: an operation's result is that of float32, rounded") {
  if (device == Device::cpu) return;
  const PrecisionScope scope(device, Precision::bf16);  // float32 operands of products are rounded, too
  for (const StorageCase& c : storage_cases()) {
    CAPTURE(c.name);
    Run narrow(device, true), wide(device, false);
    const std::vector<Tensor> got = narrow.results(c.operation(narrow)),
                              expected = wide.results(c.operation(wide));
    REQUIRE(got.size() == expected.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
      CAPTURE(i);  // 0: the value, i: the gradient of input i - 1
      if (c.exact) {
        CHECK(numbers(got[i]) == numbers(expected[i].to(got[i].dtype())));
      } else {
        CHECK(difference(got[i], expected[i]) <= 0x1p-7);
        CHECK(difference(got[i], expected[i]) > 0);  // it did round
      }
    }
  }
}

OP_TEST("bfloat16: refused where it is not supported, with an error that names the operation") {
  const Variable x(Tensor::from<float>({2, 2}, {1, 2, 3, 4}).to(DType::bfloat16).to(device));
  if (device == Device::cpu) {
    CHECK_MESSAGE_OF(relu(x), TypeError, "[relu] x is bfloat16, needs float32 or float64");
  } else {
    CHECK_MESSAGE_OF(softmax(x), TypeError, "[softmax] needs float32 or float64, got bfloat16");
    const Variable weight(Tensor::full({2, 2}, 1.0, DType::bfloat16, device));
    CHECK_MESSAGE_OF(linear(x, weight), TypeError, "[linear] x is bfloat16, but weight is bfloat16");
  }
}

}  // namespace
}  // namespace fer::test
