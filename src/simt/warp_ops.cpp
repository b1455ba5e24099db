// Shuffles and votes: the last lane to arrive computes the results of all.
#include <bit>
#include <cstring>

#include "simt/block.h"

namespace fer::simt::detail {
namespace {

struct ShuffleOperand {
  void* value;
  std::size_t bytes;
  Shuffle kind;
  int operand, width;
};

constexpr const char* shuffle_names[] = {"__shfl_sync", "__shfl_up_sync", "__shfl_down_sync",
                                         "__shfl_xor_sync"};

/// CUDA's rule: lanes form segments of `width`. A lane whose source is outside its segment reads its own
/// value (the exclusive-or form may read from earlier segments).
int source_lane(const ShuffleOperand& s, int lane) {
  const int segment = lane & ~(s.width - 1);
  switch (s.kind) {
    case Shuffle::index:
      return segment + (s.operand & (s.width - 1));
    case Shuffle::up:
      return lane - s.operand < segment ? lane : lane - s.operand;
    case Shuffle::down:
      return lane + s.operand >= segment + s.width ? lane : lane + s.operand;
    case Shuffle::exclusive_or:
      break;
  }
  const int source = lane ^ s.operand;
  return source < 0 || source >= segment + s.width ? lane : source;
}

void finish_shuffle(Block& block, Warp& warp, const Collective& c) {
  unsigned char values[32][16];
  std::size_t bytes = 0;
  for (unsigned rest = c.arrived; rest != 0; rest &= rest - 1) {
    const auto lane = static_cast<std::size_t>(std::countr_zero(rest));
    const auto& s = *static_cast<const ShuffleOperand*>(warp.operand[lane]);
    if (bytes != 0 && s.bytes != bytes) {
      block.raise("warp ", warp.number, ": ", c.operation, " (", place_name(c.where),
                  ") exchanges values of ", bytes, " bytes in one lane and of ", s.bytes, " in lane ", lane,
                  "; give all lanes one type");
      block.leave();
    }
    bytes = s.bytes;
    std::memcpy(values[lane], s.value, s.bytes);
  }
  for (unsigned rest = c.arrived; rest != 0; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    const auto& s = *static_cast<const ShuffleOperand*>(warp.operand[static_cast<std::size_t>(lane)]);
    const int source = source_lane(s, lane);
    const unsigned bit = 1u << source;
    if ((c.arrived & bit) == 0) {
      block.raise(block.thread_name(warp.number * 32 + lane), ": ", c.operation, " (", place_name(c.where),
                  ") reads from lane ", source,
                  (warp.exists & bit) == 0     ? ", which the block does not have"
                  : (warp.finished & bit) != 0 ? ", which has returned"
                                               : ", which is not in the mask",
                  ": the value is undefined; shuffle only between lanes that take part");
      block.leave();
    }
    std::memcpy(s.value, values[source], bytes);
  }
}

struct VoteOperand {
  bool predicate;
  unsigned ballot, voters;
};

void finish_vote(Block&, Warp& warp, const Collective& c) {
  unsigned ballot = 0;
  for (unsigned rest = c.arrived; rest != 0; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    if (static_cast<const VoteOperand*>(warp.operand[static_cast<std::size_t>(lane)])->predicate)
      ballot |= 1u << lane;
  }
  for (unsigned rest = c.arrived; rest != 0; rest &= rest - 1) {
    const auto lane = static_cast<std::size_t>(std::countr_zero(rest));
    auto* vote = static_cast<VoteOperand*>(warp.operand[lane]);
    vote->ballot = ballot;
    vote->voters = c.arrived;
  }
}

}  // namespace

void shuffle(Shuffle kind, unsigned mask, void* value, std::size_t bytes, int operand, int width,
             Where where) {
  const char* name = shuffle_names[static_cast<int>(kind)];
  Block& block = block_here(name);
  if (width < 1 || width > 32 || (width & (width - 1)) != 0) {
    block.raise(block.thread_name(block.now), ": ", name, " (", place_name(where), ") with width ", width,
                "; it must be a power of two up to 32");
    block.leave();
  }
  ShuffleOperand s{value, bytes, kind, operand, width};
  block.join(name, true, mask, &s, &finish_shuffle, where);
}

unsigned vote(Vote kind, unsigned mask, bool predicate, Where where) {
  static constexpr const char* names[] = {"__ballot_sync", "__any_sync", "__all_sync"};
  const char* name = names[static_cast<int>(kind)];
  VoteOperand operand{predicate, 0, 0};
  block_here(name).join(name, true, mask, &operand, &finish_vote, where);
  if (kind == Vote::ballot) return operand.ballot;
  return kind == Vote::any ? operand.ballot != 0 : operand.ballot == operand.voters;
}

void trap(const char* what, Where where) {
  Block& block = block_here(what);
  block.raise(block.thread_name(block.now), ": ", what, " (", place_name(where), ")");
  block.leave();
}

}  // namespace fer::simt::detail
