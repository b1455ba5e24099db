// Multiply-adds of products, convolutions and attention, counted from a graph.
//
//   fer::MultiplyAdds macs = fer::multiply_adds(graph);
//   macs.total(); macs.under("attention");
//
// Norms, activations and sums are not counted, as is customary. After passes, the changed graph is counted.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "fer/graph/graph.h"

namespace fer {

struct MultiplyAdds {
  std::map<std::string, std::int64_t> by_module;  ///< each module's own, without its children's

  std::int64_t total() const;
  /// The sum over the module at `path` and all modules below it.
  std::int64_t under(std::string_view path) const;
};

MultiplyAdds multiply_adds(const Graph& graph, std::int64_t images = 1);

}  // namespace fer
