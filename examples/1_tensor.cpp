// 1. A tensor and its gradient.
//
// A Tensor is a block of numbers with a shape. A Variable is a tensor that remembers how it was computed, so
// that backward() can say how a result changes with each of its inputs. Operations accept both; they treat a
// Tensor as a constant.
#include <cmath>
#include <exception>
#include <iostream>

#include "fer/autograd/ops.h"

int main() try {
  // Two rows of three numbers. Everywhere in fer, rows are positions and the last dimension is the channels.
  const fer::Tensor x = fer::Tensor::from<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  std::cout << "x has shape " << x.shape() << " and " << x.numel() << " elements\n";

  // A view shares memory with its source; nothing is copied.
  const fer::Tensor second_row = x.slice(1, 1);
  std::cout << "its second row starts with " << second_row.to_vector<float>()[0] << "\n";

  // We ask for the gradient with respect to w. w is broadcast over the rows of x, as in NumPy.
  const fer::Variable w(fer::Tensor::from<float>({3}, {1, -1, 2}), /*requires_grad=*/true, "w");
  const fer::Variable y = x * w;
  const fer::Variable loss = fer::mean(y * y);
  std::cout << "the mean of (x w)^2 is " << loss.item() << "\n";

  // loss = 1/6 sum_rc (x_rc w_c)^2, so by hand d loss / d w_c = 1/3 w_c sum_r x_rc^2.
  loss.backward();
  const auto gradient = w.grad().to_vector<float>();
  const float by_hand[3] = {17.0f / 3, -29.0f / 3, 2 * 45.0f / 3};
  for (int c = 0; c < 3; ++c) {
    const auto i = static_cast<std::size_t>(c);
    std::cout << "d loss / d w[" << c << "] = " << gradient[i] << ", by hand " << by_hand[i] << "\n";
    if (std::abs(gradient[i] - by_hand[i]) > 1e-4f) return 1;
  }

  // The recorded graph, for Graphviz: example_1_tensor | tail -n +8 | dot -Tsvg > graph.svg
  std::cout << "\n" << fer::graph_dot(fer::mean(x * w));

  // A mistake is an exception that names the operation and the shapes.
  try {
    fer::matmul(w, x);
  } catch (const fer::Error& error) {
    std::cerr << "as it should be: " << error.what() << "\n";
    return 0;
  }
  return 1;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
