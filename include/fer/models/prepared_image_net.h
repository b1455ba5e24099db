// PreparedImageNet: the image backbone made ready for inference without changing its values.
//
// Of a unit, y = norm2(conv2(prelu(conv1(norm1(x))))) + shortcut(x), two convolutions are left, with all the
// rest done on their way:
//  - norm2, like the stem's norm and that of a shortcut, is a factor and an offset for each output of its
//  convolution,
//    and goes into its weight and bias.
//  - norm1, s x + t, comes before a convolution that sees zeros around its input. With p = -t / s around x
//  instead,
//    s p + t = 0 is what it sees there, so that s goes into the weight, and t, the same at every pixel now,
//    into the bias. Where an s is zero there is no such p: that unit keeps its norm1 as a step of its own.
//  - PReLU and the sum with the shortcut are applied to what a convolution writes.
//
// Results differ by rounding alone.
#pragma once

#include <string>
#include <vector>

#include "fer/models/ir50.h"

namespace fer {

class PreparedImageNet {
 public:
  /// Reads the backbone's present values. On its device and in its type.
  explicit PreparedImageNet(IRBackbone& net);

  /// x: N x H x W x 3 -> as IRBackbone in evaluation mode. No gradient.
  Variable features(const Variable& x) const;
  /// Whether the backbone still has the values, type and device that it had then.
  bool is_current() const { return made_from_.is_current(); }

 private:
  struct Unit {
    BatchNorm* norm1 = nullptr;  // null: folded
    PreparedConv2d conv1, conv2, shortcut;
    bool projects = false;
    int stride = 1;
    Variable run(const Variable& x) const;
  };
  static Unit prepare(const IRUnit& unit, const std::string& root);

  PreparedConv2d stem_;
  std::vector<Unit> units_;
  Snapshot made_from_;
};

}  // namespace fer
