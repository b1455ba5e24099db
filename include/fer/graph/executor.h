// Executor: runs a graph, for any number of images, on the device of its weights.
//
//   fer::Executor run(std::move(graph));
//   fer::Tensor scores = run({images})[0];
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fer/graph/graph.h"
#include "fer/tensor/backend.h"

namespace fer {

class Executor {
 public:
  /// Weights are converted at first use into the layout that the device's kernels read. GraphError if an
  /// operation is unknown.
  explicit Executor(Graph graph);
  ~Executor();
  Executor(Executor&&) noexcept;
  Executor& operator=(Executor&&) noexcept;

  /// The graph's outputs for these inputs. A value is held until its last reader has run. GraphError if an
  /// input differs from the graph's in more than the number of images.
  std::vector<Tensor> operator()(const std::vector<Tensor>& inputs) const;

  const Graph& graph() const { return graph_; }

 private:
  struct Step;
  /// Steps [begin, end) that run on a few images at a time: their maps stay in the processor's caches from
  /// one step to the next, which those of a whole batch would not.
  struct Group {
    std::size_t begin, end;
    std::vector<ValueId> inputs, outputs;  ///< their first extent is the number of images
  };
  using Values = std::vector<Tensor>;

  std::int64_t images_of(const std::vector<Tensor>& inputs) const;
  void find_groups();
  void run(std::size_t begin, std::size_t end, std::int64_t images, Values& values) const;
  void run_group(const Group& group, std::int64_t images, Values& values) const;

  Graph graph_;
  std::vector<Step> steps_;
  std::vector<Group> groups_;
};

}  // namespace fer
