// The drawing of the tape.
#include <doctest/doctest.h>

#include "fer/autograd/ops.h"

namespace fer {
namespace {

TEST_CASE("graph_dot draws operations, leaves and constants once each") {
  const Variable w(Tensor::zeros({4, 3}), true, "fc.weight");
  const Variable x(Tensor::zeros({2, 3}));
  Variable h;
  {
    ModuleScope scope("fc");
    h = linear(x, w);
  }
  const Variable loss = sum(mul(h, h));
  const std::string expected =
      "digraph tape {\n"
      "  rankdir=BT;\n"
      "  node [shape=box, fontname=\"sans-serif\"];\n"
      "  n0 [label=\"sum\"];\n"
      "  n1 [label=\"mul\"];\n"
      "  n1 -> n0 [label=\"(2, 4)\"];\n"
      "  n2 [label=\"linear\\nfc\"];\n"
      "  n2 -> n1 [label=\"(2, 4)\"];\n"
      "  n2 -> n1 [label=\"(2, 4)\"];\n"
      "  n3 [label=\"constant\\n(2, 3)\", style=rounded];\n"
      "  n3 -> n2 [label=\"(2, 3)\"];\n"
      "  n4 [label=\"fc.weight\\n(4, 3)\", style=rounded, color=blue];\n"
      "  n4 -> n2 [label=\"(4, 3)\"];\n"
      "}\n";
  CHECK(graph_dot(loss) == expected);
}

TEST_CASE("graph_dot of a leaf, of names with quotes, and of nothing") {
  CHECK(graph_dot(Variable(Tensor::zeros({2}), true, "a \"b\"")) ==
        "digraph tape {\n  rankdir=BT;\n  node [shape=box, fontname=\"sans-serif\"];\n"
        "  n0 [label=\"a \\\"b\\\"\\n(2)\", style=rounded, color=blue];\n}\n");
  CHECK_THROWS_AS(graph_dot(Variable()), AutogradError);
}

TEST_CASE("graph_dot leaves out the inputs that were not given") {
  const Variable x(Tensor::zeros({2, 3}), true, "x"), w(Tensor::zeros({4, 3}), true, "w");
  CHECK(graph_dot(linear(x, w)).find("constant") == std::string::npos);
}

}  // namespace
}  // namespace fer
