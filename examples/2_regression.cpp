// 2. A regression with a training loop written by hand.
//
// Gradient descent finds slope and intercept from noisy points on the line y = 3 x - 1. There is no module
// and no optimizer, only the three steps of every training loop.
#include <cmath>
#include <exception>
#include <iostream>
#include <vector>

#include "fer/autograd/ops.h"

int main() try {
  constexpr std::int64_t count = 64;
  std::vector<float> xs, ys;
  for (std::int64_t i = 0; i < count; ++i) {
    const float x = -1 + 2 * static_cast<float>(i) / (count - 1);
    xs.push_back(x);
    ys.push_back(3 * x - 1 + 0.1f * std::sin(37.0f * static_cast<float>(i)));
  }
  const auto x = fer::Tensor::from<float>({count, 1}, xs), y = fer::Tensor::from<float>({count, 1}, ys);
  fer::Variable weight(fer::Tensor::zeros({1, 1}), /*requires_grad=*/true, "weight");
  fer::Variable bias(fer::Tensor::zeros({1}), /*requires_grad=*/true, "bias");

  constexpr float rate = 0.3f;
  for (int step = 0; step <= 60; ++step) {
    // 1. The loss, which records how it is computed.
    const fer::Variable error = fer::linear(x, weight, bias) - y;
    const fer::Variable loss = fer::mean(error * error);
    if (step % 10 == 0) std::cout << "step " << step << "  loss " << loss.item() << "\n";

    // 2. Its gradients. They accumulate over calls, so they are cleared first.
    weight.zero_grad();
    bias.zero_grad();
    loss.backward();

    // 3. A step against the gradients, in place.
    for (fer::Variable* parameter : {&weight, &bias}) {
      const float gradient = parameter->grad().data<float>()[0];
      parameter->mutable_value().mutable_data<float>()[0] -= rate * gradient;
    }
  }
  const double slope = weight.value().to_vector<float>()[0], intercept = bias.value().to_vector<float>()[0];
  std::cout << "y = " << slope << " x + " << intercept << "  (drawn from y = 3 x - 1)\n";
  return std::abs(slope - 3) < 0.1 && std::abs(intercept + 1) < 0.1 ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
