#include "fer/graph/passes.h"

namespace fer {

void optimise(Graph& graph) {
  fold_constants(graph);
  fold_norms(graph);
  drop_constant_channels(graph);
  fuse_epilogues(graph);
  join_linears(graph);
  fold_constants(graph);
  cast_weights(graph);
}

}  // namespace fer
