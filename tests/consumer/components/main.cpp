// The gradient of the sum of x * x, with nothing but fer's core and autograd.
#include <iostream>
#include <vector>

#include "fer/autograd/ops.h"

int main() {
  const fer::Variable x(fer::Tensor::from<float>({3}, {1, 2, 3}), /*requires_grad=*/true);
  fer::sum(x * x).backward();
  const auto gradient = x.grad().to_vector<float>();
  for (const float g : gradient) std::cout << g << " ";
  std::cout << "\n";
  return gradient == std::vector<float>{2, 4, 6} ? 0 : 1;
}
