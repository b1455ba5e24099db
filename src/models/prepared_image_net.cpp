#include "fer/models/prepared_image_net.h"

#include <cmath>

#include "fer/autograd/ops.h"
#include "models/folding.h"

namespace fer {
namespace {

/// A batch norm in evaluation: y = scale x + shift, a channel.
struct NormLine {
  std::vector<double> scale, shift;

  explicit NormLine(const BatchNorm& norm)
      : scale(values_of(norm.weight.value())), shift(values_of(norm.bias.value())) {
    const std::vector<double> mean = values_of(norm.running_mean), var = values_of(norm.running_var);
    for (std::size_t c = 0; c < scale.size(); ++c) {
      scale[c] /= std::sqrt(var[c] + norm.eps());
      shift[c] -= mean[c] * scale[c];
    }
  }
};

/// A convolution in float64 while norms are folded into it.
class FoldedConv {
 public:
  explicit FoldedConv(const Conv2d& conv)
      : conv_(conv),
        taps_(conv.weight.dim(1) * conv.weight.dim(2)),
        weight_(values_of(conv.weight.value())),
        bias_(static_cast<std::size_t>(conv.out()), 0.0) {}

  /// A norm of the outputs.
  void fold_after(const NormLine& norm) {
    for (std::size_t o = 0; o < bias_.size(); ++o) {
      for (std::int64_t k = 0; k < taps_ * conv_.in(); ++k) weight_[o * size() + k] *= norm.scale[o];
      bias_[o] = bias_[o] * norm.scale[o] + norm.shift[o];
    }
  }

  /// A norm of the inputs. False, and nothing happened, if a scale is so near to zero that the border
  /// overflows.
  bool fold_before(const NormLine& norm) {
    std::vector<double> border(norm.scale.size());
    for (std::size_t i = 0; i < border.size(); ++i) {
      border[i] = -norm.shift[i] / norm.scale[i];
      if (!(std::abs(border[i]) < 1e18)) return false;
    }
    border_ = border;
    for (std::size_t o = 0; o < bias_.size(); ++o) {
      for (std::size_t k = 0; k < size(); ++k) {
        double& w = weight_[o * size() + k];
        const std::size_t i = k % border.size();
        bias_[o] += w * norm.shift[i];
        w *= norm.scale[i];
      }
    }
    return true;
  }

  PreparedConv2d prepare(std::string name, const Tensor& slope = {}) const {
    return PreparedConv2d({.name = std::move(name),
                           .weight = make(conv_.weight.shape(), weight_),
                           .bias = make({conv_.out()}, bias_),
                           .slope = slope,
                           .border = border_.empty() ? Tensor() : make({conv_.in()}, border_),
                           .options = conv_.options()});
  }

 private:
  std::size_t size() const { return static_cast<std::size_t>(taps_ * conv_.in()); }
  Tensor make(const Shape& shape, const std::vector<double>& values) const {
    const Tensor& like = conv_.weight.value();
    return Tensor::from<double>(shape, values).to(like.dtype()).to(like.device());
  }

  const Conv2d& conv_;
  std::int64_t taps_;
  std::vector<double> weight_, bias_, border_;
};

/// "image_backbone.body.3.res_layer.1" without the root's part: profiles put the rest in front.
std::string name_below(const Module& module, const std::string& root) {
  return root.empty() ? module.path() : module.path().substr(root.size() + 1);
}

}  // namespace

PreparedImageNet::Unit PreparedImageNet::prepare(const IRUnit& unit, const std::string& root) {
  const IRUnit::Parts& parts = unit.parts();
  Unit prepared;
  FoldedConv conv1(*parts.conv1), conv2(*parts.conv2);
  if (!conv1.fold_before(NormLine(*parts.norm1))) prepared.norm1 = parts.norm1;
  conv2.fold_after(NormLine(*parts.norm2));
  prepared.conv1 = conv1.prepare(name_below(*parts.conv1, root), parts.prelu->weight.value());
  prepared.conv2 = conv2.prepare(name_below(*parts.conv2, root));
  prepared.stride = unit.stride();
  if (parts.shortcut_conv) {
    FoldedConv shortcut(*parts.shortcut_conv);
    shortcut.fold_after(NormLine(*parts.shortcut_norm));
    prepared.shortcut = shortcut.prepare(name_below(*parts.shortcut_conv, root));
    prepared.projects = true;
  }
  return prepared;
}

PreparedImageNet::PreparedImageNet(IRBackbone& net) : made_from_(net) {
  FoldedConv stem(*net.stem().conv);
  stem.fold_after(NormLine(*net.stem().norm));
  stem_ = stem.prepare(name_below(*net.stem().conv, net.path()), net.stem().prelu->weight.value());
  for (const IRUnit* unit : net.units()) units_.push_back(prepare(*unit, net.path()));
}

Variable PreparedImageNet::Unit::run(const Variable& x) const {
  const Variable inner = conv1(norm1 ? norm1->forward(x) : x);
  if (projects) return conv2(inner, shortcut(x));
  return conv2(inner, stride == 1 ? x : max_pool2d(x, 1, stride));
}

Variable PreparedImageNet::features(const Variable& x) const {
  require<ShapeError>(x.rank() == 4 && x.dim(3) == 3, "[image_backbone] needs images N x H x W x 3, got ",
                      x.shape());
  NoGrad no_grad;
  Variable y = stem_(x);
  for (const Unit& unit : units_) y = unit.run(y);
  return y;
}

}  // namespace fer
