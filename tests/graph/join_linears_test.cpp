// join_linears: projections of embedded tokens read the original maps directly.
#include "fer/graph/compiled.h"
#include "fer/graph/multiply_adds.h"
#include "fer/models/dual_attention.h"
#include "tests/models/reference_fill.h"
#include "tests/ops/op_test.h"

namespace fer {
namespace {

using test::difference;
using test::fill_as_reference;
using test::filled;

OP_TEST("graph: an embedding and the projections behind it are joined") {
  using Config = DualAttentionConfig;
  const Config plain{.dim = 8, .heads = 2, .depth = 2, .mlp_ratio = 2};
  std::vector<Config> configs(5, plain);
  configs[1].qkv_bias = true;
  configs[2].pos_embed = configs[2].final_norm = true;
  configs[3].cross = configs[3].product = false;
  configs[4].depth = 3, configs[4].pos_embed = configs[4].qkv_bias = true;
  for (std::size_t i = 0; i < configs.size(); ++i) {
    for (const DType dtype : {DType::float64, DType::float32}) {
      CAPTURE(i);
      DualAttention attention(6, 4, 9, configs[i]);
      fill_as_reference(attention, "join_linears/");
      attention.eval();
      attention.to(dtype);
      attention.to(device);
      const Tensor f_img = filled("f_img", {3, 3, 3, 6}, -1, 1).to(dtype).to(device);
      const Tensor f_lm = filled("f_lm", {3, 3, 3, 4}, -1, 1).to(dtype).to(device);
      const double tolerance = dtype == DType::float64 ? 1e-13 : 1e-5;
      Compiled token([&](const std::vector<Variable>& in) { return std::vector{attention(in[0], in[1])}; });
      const Tensor first = token({f_img, f_lm})[0];
      const NoGrad no_grad;
      CHECK(difference(first, attention(Variable(f_img), Variable(f_lm)).value()) < tolerance);
      // Tokens of 7 or 5 numbers instead of 8, in all four products or in three.
      const MultiplyAdds macs = multiply_adds(*token.graph());
      CHECK(macs.under("blocks.0.k_fusion") == 10 * 7 * 8);
      CHECK(macs.under("blocks.0.v_fusion") == 10 * 7 * 8);
      CHECK(macs.under("blocks.0.q_lm") == 10 * (configs[i].cross ? 5 : 7) * 8);
      fill_as_reference(attention, "another/");
      attention.to(dtype);
      attention.to(device);
      const Tensor second = token({f_img, f_lm})[0];
      CHECK(difference(second, first) > 1e-3);
      CHECK(difference(second, attention(Variable(f_img), Variable(f_lm)).value()) < tolerance);
    }
  }
}

}  // namespace
}  // namespace fer
