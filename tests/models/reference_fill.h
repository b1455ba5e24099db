// The values that the reference implementation gives every parameter and buffer. They follow from the names
// alone (FNV-1a and SplitMix64), so the models' golden files need not store them.
#pragma once

#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "fer/layers/activation.h"
#include "fer/layers/module.h"
#include "fer/tensor/random.h"

namespace fer::test {

/// `count` numbers in [-1, 1): number i is the top 53 bits of splitmix64(fnv1a64(name) + (i + 1) gamma).
inline std::vector<double> splitmix64_uniform(const std::string& name, std::int64_t count) {
  std::vector<double> values(static_cast<std::size_t>(count));
  const std::uint64_t start = fnv1a64(name);
  for (std::int64_t i = 0; i < count; ++i) {
    std::uint64_t z = start + (static_cast<std::uint64_t>(i) + 1) * 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    z ^= z >> 31;
    values[static_cast<std::size_t>(i)] = static_cast<double>(z >> 11) * 0x1p-52 - 1.0;
  }
  return values;
}

/// Permutes the values of a rank-4 tensor from O x I x kh x kw (N x C x H x W) to O x kh x kw x I.
inline std::vector<double> channels_moved_last(const std::vector<double>& values, const Shape& shape) {
  const std::int64_t n = shape[0], h = shape[1], w = shape[2], c = shape[3];
  std::vector<double> moved(values.size());
  for (std::int64_t a = 0; a < n; ++a) {
    for (std::int64_t p = 0; p < h * w; ++p) {
      for (std::int64_t i = 0; i < c; ++i) moved[(a * h * w + p) * c + i] = values[(a * c + i) * h * w + p];
    }
  }
  return moved;
}

/// A float64 tensor in fer's layout with the reference's numbers for a name.
inline Tensor filled(const std::string& name, const Shape& shape, double scale = 1.0, double shift = 0.0) {
  std::vector<double> values = splitmix64_uniform(name, shape.numel());
  for (double& value : values) value = value * scale + shift;
  return Tensor::from<double>(shape, shape.rank() == 4 ? channels_moved_last(values, shape) : values);
}

inline Tensor reference_value(const std::string& key, const std::string& name, const Shape& shape,
                              bool is_prelu) {
  if (is_prelu) return filled(key, shape, 0.1, 0.25);
  if (name.ends_with("_class")) return filled(key, shape, 0.5);
  if (name.ends_with("running_var")) return filled(key, shape, 0.2, 1.0);
  if (shape.rank() >= 2) {
    const double fan_in = static_cast<double>(shape.numel() / shape[0]);
    return filled(key, shape, std::sqrt(3.0 / fan_in));
  }
  if (name.ends_with("weight")) return filled(key, shape, 0.2, 1.0);
  return filled(key, shape, 0.1);
}

/// Fills a module as the reference does, with the key salt + name for each tensor.
inline void fill_as_reference(Module& module, const std::string& salt) {
  std::set<std::string> prelus;
  for (const auto& [path, child] : module.named_modules()) {
    if (dynamic_cast<const PReLU*>(child)) prelus.insert(path + ".weight");
  }
  for (NamedVariable& p : module.named_parameters()) {
    p.variable.mutable_value().copy_from(
        reference_value(salt + p.name, p.name, p.variable.shape(), prelus.contains(p.name)));
  }
  for (NamedBuffer& b : module.named_buffers()) {
    b.buffer->copy_from(reference_value(salt + b.name, b.name, b.buffer->shape(), false));
  }
}

}  // namespace fer::test
