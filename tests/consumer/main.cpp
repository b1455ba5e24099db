// Trains one step of the tiny network, and fails unless a gradient arrived.
#include <iostream>

#include "fer/autograd/ops.h"
#include "fer/models/fernet.h"

int main() {
  fer::FERNet model(fer::preset("tiny"));
  model.initialise(1);
  const fer::Variable image(fer::Tensor::full({2, 112, 112, 3}, 0.5));
  const fer::NetworkOutput out = model(image);
  fer::cross_entropy(out.scores, fer::Tensor::from<std::int64_t>({2}, {0, 6})).backward();
  std::cout << "parameters " << model.parameter_count() << "\n";
  return model.head().weight.grad().defined() ? 0 : 1;
}
