// Where threads wait for each other: the block barrier and the rendezvous of a warp's lanes. Reports threads
// that will never meet.
#include <algorithm>
#include <bit>
#include <cstring>
#include <sstream>

#include "simt/block.h"
#include "simt/shadow.h"

namespace fer::simt::detail {

void outside_of_kernels(const char* operation) {
  throw CheckError(
      concat("[simt] ", operation,
             " was called outside of a kernel; only code run by gpu::launch has threads and blocks"));
}

std::string place_name(const Where& where) {
  const char* file = where.file;
  if (const char* slash = std::strrchr(file, '/')) file = slash + 1;
  return concat(file, ":", where.line);
}

// --- the block's barrier ---

void Block::barrier_arrive(const char* operation, Where where) {
  check_time(where);
  if (arrived == 0) {
    barrier_first = now;
    barrier_where = where;
    barrier_operation = operation;
  } else if (operation != barrier_operation || !same_place(where, barrier_where)) {
    raise(thread_name(now), " is at ", operation, " (", place_name(where), ") while ",
          thread_name(barrier_first), " waits at ", barrier_operation, " (", place_name(barrier_where),
          "): divergent barrier; all threads of a block must come to the same one, so move it out of the "
          "branch");
    leave();
  }
  if (finished > 0) {
    raise(thread_name(now), " is at ", operation, " (", place_name(where), "), but ",
          thread_name(last_finished),
          " has returned: divergent barrier; every thread of the block must reach it, so return only behind "
          "it");
    leave();
  }
  if (++arrived < threads) {
    wait(operation, 0, where);
    return;
  }
  // The last thread to arrive makes all others runnable and continues.
  arrived = 0;
  barrier_result = barrier_sum;
  barrier_sum = 0;
  if (instrumented) note_block_barrier(*this);
  for (int i = 0; i * 32 < threads; ++i) {
    Warp& w = warps[static_cast<std::size_t>(i)];
    make_runnable(w, i == now >> 5 ? w.exists & ~lane_bit() : w.exists);
  }
}

void block_barrier(Where where) {
  block_here("__syncthreads").barrier_arrive("__syncthreads", where);
}

int block_barrier_count(int value, Where where) {
  Block& block = block_here("__syncthreads_count");
  block.barrier_sum += value;
  block.barrier_arrive("__syncthreads_count", where);
  return block.barrier_result;
}

// --- the rendezvous of a warp ---

namespace {

std::string hexadecimal(unsigned mask) {
  std::ostringstream out;
  out << "0x" << std::hex << mask;
  return out.str();
}

/// "lanes 0-3, 7"
std::string lane_list(unsigned mask) {
  std::string text = std::popcount(mask) == 1 ? "lane" : "lanes";
  for (int i = 0; i < 32; ++i) {
    if ((mask >> i & 1u) == 0) continue;
    int last = i;
    while (last < 31 && (mask >> (last + 1) & 1u) != 0) ++last;
    text += concat(text.back() == 'e' || text.back() == 's' ? " " : ", ", i);
    if (last > i) text += concat("-", last);
    i = last;
  }
  return text;
}

}  // namespace

void Block::join(const char* operation, bool strict, unsigned mask, void* operand, Collective::Finish finish,
                 Where where) {
  check_time(where);
  Warp& w = warp();
  const unsigned bit = lane_bit();
  if ((mask & bit) == 0) {
    raise(thread_name(now), " calls ", operation, " (", place_name(where), ") with mask ", hexadecimal(mask),
          ", which leaves out its own lane ", now & 31, "; a lane may only call for masks that name it");
    leave();
  }
  int number = -1;
  for (int i = 0; i < w.collectives; ++i) {
    const Collective& c = w.collective[static_cast<std::size_t>(i)];
    if (c.mask == mask && c.operation == operation && (!strict || same_place(c.where, where))) {
      number = i;
    } else if ((c.arrived & mask) != 0 && (c.mask & bit) != 0) {  // they would wait for each other forever
      raise(thread_name(now), " is at ", operation, " with mask ", hexadecimal(mask), " (", place_name(where),
            "), while ", lane_list(c.arrived), " of its warp wait for it at ", c.operation, " with mask ",
            hexadecimal(c.mask), " (", place_name(c.where),
            "): mismatch; all lanes named by a mask must call the same operation with the same mask");
      leave();
    }
  }
  if (number < 0) {
    number = w.collectives++;
    w.collective[static_cast<std::size_t>(number)] = {mask, 0, operation, strict, where, finish};
  }
  Collective& c = w.collective[static_cast<std::size_t>(number)];
  c.arrived |= bit;
  w.operand[static_cast<std::size_t>(now & 31)] = operand;
  const unsigned needed = mask & w.exists & ~w.finished;
  if ((c.arrived & needed) == needed) {
    complete(w, number);
  } else {
    wait(operation, mask, where);
  }
}

void Block::complete(Warp& which, int number) {
  const Collective c = which.collective[static_cast<std::size_t>(number)];
  which.collective[static_cast<std::size_t>(number)] =
      which.collective[static_cast<std::size_t>(--which.collectives)];
  c.finish(*this, which, c);
  unsigned others = c.arrived;
  if (which.number == now >> 5) others &= ~lane_bit();
  make_runnable(which, others);
}

void warp_barrier(unsigned mask, Where where) {
  Block& block = block_here("__syncwarp");
  // Lanes may meet from different lines here: CUDA requires only the same mask.
  block.join(
      "__syncwarp", false, mask, nullptr,
      [](Block& b, Warp& w, const Collective& c) {
        if (b.instrumented) note_warp_barrier(b, w, c.mask);
      },
      where);
}

// --- deadlock ---

std::string Block::waiting_threads(int running) const {
  struct Group {
    const Lane* first;
    int first_thread, warp, count;
    unsigned lanes;
  };
  std::vector<Group> groups;
  int unstarted = 0;
  for (int i = 0; i < threads; ++i) {
    const Warp& w = warps[static_cast<std::size_t>(i >> 5)];
    const unsigned bit = 1u << (i & 31);
    if ((w.finished & bit) != 0) continue;
    if ((w.started & bit) == 0) ++unstarted;
    if ((w.started & bit) == 0 || (w.runnable & bit) != 0 || i == running) continue;
    const Lane& lane = lanes[static_cast<std::size_t>(i)];
    const auto same = std::find_if(groups.begin(), groups.end(), [&](const Group& g) {
      return g.first->operation == lane.operation && g.first->mask == lane.mask &&
             (lane.mask == 0 || g.warp == i >> 5) && same_place(g.first->where, lane.where);
    });
    if (same == groups.end()) {
      groups.push_back({&lane, i, i >> 5, 1, bit});
    } else {
      ++same->count;
      same->lanes |= bit;
    }
  }
  std::ostringstream out;
  for (std::size_t i = 0; i < groups.size() && i < 8; ++i) {
    const Group& g = groups[i];
    out << "\n  " << g.count << (g.count == 1 ? " thread waits" : " threads wait") << " at "
        << g.first->operation << " (" << place_name(g.first->where) << ")";
    if (g.first->mask == 0) {
      out << ", " << thread_name(g.first_thread) << " the first";
    } else {
      const Warp& w = warps[static_cast<std::size_t>(g.warp)];
      out << " with mask " << hexadecimal(g.first->mask) << ": " << lane_list(g.lanes) << " of warp "
          << g.warp << "; missing: " << lane_list(g.first->mask & w.exists & ~w.finished & ~g.lanes);
    }
  }
  if (groups.size() > 8) out << "\n  ... and " << groups.size() - 8 << " more groups";
  if (finished > 0)
    out << "\n  " << finished << (finished == 1 ? " thread has" : " threads have") << " returned";
  if (unstarted > 0)
    out << "\n  " << unstarted << (unstarted == 1 ? " thread has" : " threads have") << " not begun";
  return out.str();
}

void Block::deadlock() {
  raise("deadlock: no thread of the block can go on, each waits for one that will not come",
        waiting_threads());
}

}  // namespace fer::simt::detail
