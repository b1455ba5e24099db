// mma.sync and ldmatrix for a whole warp, from the fragment layouts in the PTX manual: with g = lane / 4 and
// t = lane % 4, an accumulator of 16 x 8 lies in c = (g, 2t) (g, 2t+1) (g+8, 2t) (g+8, 2t+1).
#include <bit>
#include <cstdint>
#include <cstring>

#include "simt/block.h"
#include "simt/shadow.h"

namespace fer::simt::detail {
namespace {

[[noreturn]] void report_partial_warp(Block& block, const Warp& warp, const char* operation,
                                      const Where& where) {
  block.raise(block.thread_name(block.now), ": ", operation, " (", place_name(where),
              ") needs all 32 lanes of a warp, but warp ", warp.number, " has ",
              std::popcount(warp.exists & ~warp.finished),
              warp.finished != 0 ? " left (the others returned)" : "",
              "; use blocks of a multiple of 32 threads and return no lane early");
  block.leave();
}

/// Called on arrival: lanes that are missing now will never come.
void require_full_warp(Block& block, const char* operation, const Where& where) {
  const Warp& warp = block.warp();
  if ((warp.exists & ~warp.finished) != ~0u) report_partial_warp(block, warp, operation, where);
}

/// Called when the lanes have met: some may have returned instead of arriving.
void require_all_met(Block& block, const Warp& warp, const Collective& c) {
  if (c.arrived != ~0u) report_partial_warp(block, warp, c.operation, c.where);
}

struct MmaOperand {
  float* d;
  const std::uint32_t* a;
  const std::uint32_t* b;
  const float* c;
};

float bf16_of(std::uint32_t pair, int half) {
  return std::bit_cast<float>(half == 0 ? pair << 16 : pair & 0xffff0000u);
}
/// The hardware reads the upper 19 bits of a tf32 operand and ignores the others.
float tf32_of(std::uint32_t bits) {
  return std::bit_cast<float>(bits & 0xffffe000u);
}

/// d = a b + c, a 16 x depth and b depth x 8 already taken from the lanes' registers.
template <int depth>
void multiply(Warp& warp, const float (&a)[16][depth], const float (&b)[depth][8]) {
  float d[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const auto& operand = *static_cast<const MmaOperand*>(warp.operand[static_cast<std::size_t>(lane)]);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) d[g + i / 2 * 8][2 * t + i % 2] = operand.c[i];
  }
  for (int m = 0; m < 16; ++m) {
    for (int k = 0; k < depth; ++k) {
      for (int n = 0; n < 8; ++n) d[m][n] += a[m][k] * b[k][n];
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    const auto& operand = *static_cast<const MmaOperand*>(warp.operand[static_cast<std::size_t>(lane)]);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) operand.d[i] = d[g + i / 2 * 8][2 * t + i % 2];
  }
}

void finish_mma_tf32(Block& block, Warp& warp, const Collective& c) {
  require_all_met(block, warp, c);
  float a[16][8], b[8][8];
  for (int lane = 0; lane < 32; ++lane) {
    const auto& operand = *static_cast<const MmaOperand*>(warp.operand[static_cast<std::size_t>(lane)]);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) a[g + i % 2 * 8][t + i / 2 * 4] = tf32_of(operand.a[i]);
    for (int i = 0; i < 2; ++i) b[t + i * 4][g] = tf32_of(operand.b[i]);
  }
  multiply<8>(warp, a, b);
}

void finish_mma_bf16(Block& block, Warp& warp, const Collective& c) {
  require_all_met(block, warp, c);
  float a[16][16], b[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const auto& operand = *static_cast<const MmaOperand*>(warp.operand[static_cast<std::size_t>(lane)]);
    const int g = lane / 4, t = lane % 4;
    for (int half = 0; half < 2; ++half) {
      for (int i = 0; i < 4; ++i) a[g + i % 2 * 8][2 * t + half + i / 2 * 8] = bf16_of(operand.a[i], half);
      for (int i = 0; i < 2; ++i) b[2 * t + half + i * 8][g] = bf16_of(operand.b[i], half);
    }
  }
  multiply<16>(warp, a, b);
}

struct LoadOperand {
  std::uint32_t* r;
  const void* row;
  int matrices;
  bool transpose;
};

void finish_load(Block& block, Warp& warp, const Collective& c) {
  require_all_met(block, warp, c);
  const auto operand = [&](int lane) -> const LoadOperand& {
    return *static_cast<const LoadOperand*>(warp.operand[static_cast<std::size_t>(lane)]);
  };
  const int matrices = operand(0).matrices;
  const bool transpose = operand(0).transpose;
  for (int i = 0; i < matrices; ++i) {
    std::uint16_t m[8][8];
    for (int row = 0; row < 8; ++row) std::memcpy(m[row], operand(8 * i + row).row, 16);
    for (int lane = 0; lane < 32; ++lane) {
      const int g = lane / 4, t = lane % 4;
      const std::uint32_t low = transpose ? m[2 * t][g] : m[g][2 * t];
      const std::uint32_t high = transpose ? m[2 * t + 1][g] : m[g][2 * t + 1];
      operand(lane).r[i] = low | high << 16;
    }
  }
}

}  // namespace

void mma_tf32(float* d, const std::uint32_t* a, const std::uint32_t* b, const float* c, Where where) {
  Block& block = block_here("mma_m16n8k8_tf32");
  require_full_warp(block, "mma_m16n8k8_tf32", where);
  MmaOperand operand{d, a, b, c};
  block.join("mma_m16n8k8_tf32", true, ~0u, &operand, &finish_mma_tf32, where);
}

void mma_bf16(float* d, const std::uint32_t* a, const std::uint32_t* b, const float* c, Where where) {
  Block& block = block_here("mma_m16n8k16_bf16");
  require_full_warp(block, "mma_m16n8k16_bf16", where);
  MmaOperand operand{d, a, b, c};
  block.join("mma_m16n8k16_bf16", true, ~0u, &operand, &finish_mma_bf16, where);
}

void load_matrix(std::uint32_t* r, int matrices, bool transpose, const void* row, Where where) {
  static constexpr const char* names[2][3] = {
      {"ldmatrix_x1", "ldmatrix_x2", "ldmatrix_x4"},
      {"ldmatrix_x1_trans", "ldmatrix_x2_trans", "ldmatrix_x4_trans"}};
  const char* name = names[transpose ? 1 : 0][matrices / 2];
  Block& block = block_here(name);
  require_full_warp(block, name, where);
  if ((block.now & 31) < 8 * matrices) {  // the addresses of the other lanes are not read
    const bool aligned = reinterpret_cast<std::uintptr_t>(row) % 16 == 0;
    if (!aligned || !block.shared.in_one_array(row, 16)) {
      block.raise(block.thread_name(block.now), ": ", name, " (", place_name(where), "): the row's address ",
                  aligned ? "is not 16 bytes of the block's shared memory"
                          : "is not a multiple of 16 bytes; pad rows to multiples of 8 elements",
                  block.shared.contains(row) ? ": " : "",
                  block.shared.contains(row) ? block.shared.describe(row) : "");
      block.leave();
    }
    if (block.instrumented) check_access(block, row, 16, Access::read, __builtin_return_address(0));
  }
  LoadOperand operand{r, row, matrices, transpose};
  block.join(name, true, ~0u, &operand, &finish_load, where);
}

}  // namespace fer::simt::detail
