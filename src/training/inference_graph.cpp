#include "fer/training/inference_graph.h"

#include <utility>

#include "fer/autograd/variable.h"

namespace fer {

InferenceGraph::InferenceGraph(Network network) : network_(std::move(network)) {}

std::vector<Tensor> InferenceGraph::operator()(const Tensor& x) {
  const NoGrad no_grad;
  const bool known =
      x_.defined() && x_.shape() == x.shape() && x_.dtype() == x.dtype() && x_.device() == x.device();
  if (!known) {
    graph_ = nullptr;
    x_ = x;
    results_ = network_(x);
    return results_;
  }
  if (!graph_) {
    x_ = x.clone();
    graph_ = capture_graph(x.device(), [this] { results_ = network_(x_); });
  } else {
    x_.copy_from(x);
  }
  graph_->replay();
  return results_;
}

}  // namespace fer
