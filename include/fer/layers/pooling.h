// Pooling layers over N x H x W x C.
#pragma once

#include "fer/layers/module.h"

namespace fer {

/// The maximum of each kernel x kernel window; the padding never wins. With kernel 1 it takes every stride-th
/// pixel, which is the shortcut of an IR unit with equal channel counts; with kernel 1 and stride 1 it returns
/// x.
class MaxPool2d : public Layer {
 public:
  /// ConfigError unless kernel and stride are at least 1 and 0 <= padding <= kernel / 2.
  MaxPool2d(int kernel, int stride, int padding = 0);
  std::string describe() const override;
  Variable forward(const Variable& x) override;

 private:
  int kernel_, stride_, padding_;
};

/// N x H x W x C -> N x C, the mean over the pixels.
class GlobalAvgPool2d : public Layer {
 public:
  std::string describe() const override { return "GlobalAvgPool2d"; }
  Variable forward(const Variable& x) override;
};

}  // namespace fer
