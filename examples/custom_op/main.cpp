// Checks the gradient of rms_norm on every available device, in float64 against central differences, and that
// the check rejects its wrong twin. The README shows the output. Exit code 0 if both hold, else 1.
#include <fer/autograd/gradcheck.h>
#include <fer/tensor/backend.h>

#include <exception>
#include <iostream>

#include "rms_norm.h"

namespace {

fer::GradcheckResult check(const std::string& name, fer::Variable (*op)(const fer::Variable&, double),
                           fer::Device device) {
  fer::Random random({1, fer::fnv1a64("custom_op"), 0});
  std::vector<double> values(5 * 37);  // not a multiple of a block's rows, nor of a warp
  for (double& v : values) v = random.uniform(-2, 2);
  const fer::Variable x(fer::Tensor::from<double>({5, 37}, values, device), /*requires_grad=*/true, "x");
  return fer::gradcheck(name, [op](const auto& in) { return op(in[0], 1e-6); }, {x});
}

/// Whether the correct gradient passes on every device, and the wrong one on none.
bool check_all_devices() {
  bool as_expected = true;
  for (const fer::Device device : {fer::Device::cpu, fer::Device::simt, fer::Device::cuda}) {
    std::string reason;
    if (!fer::is_available(device, &reason)) {
      std::cout << device << ": not here (" << reason << ")\n";
      continue;
    }
    const fer::GradcheckResult right = check("rms_norm", example::rms_norm, device);
    std::cout << device << ": rms_norm: " << right.checked << " elements checked, "
              << (right.ok ? "all agree" : right.message) << "\n";
    const fer::GradcheckResult wrong = check("wrong_rms_norm", example::wrong_rms_norm, device);
    std::cout << device << ": its wrong twin: " << (wrong.ok ? "not noticed!" : wrong.message) << "\n";
    as_expected = as_expected && right.ok && !wrong.ok;
  }
  return as_expected;
}

}  // namespace

int main() {
  try {
    return check_all_devices() ? 0 : 1;
  } catch (const std::exception& error) {  // for example from a kernel: the executor says where and why
    std::cerr << "custom_op: " << error.what() << "\n";
    return 1;
  }
}
