// Running one block: lanes are fibers that start lazily. A lane that returns passes its stack to the next
// unstarted lane without a switch, so a kernel without barriers runs like a loop. A lane that must wait
// switches directly to the next runnable lane. Lanes of the current warp go first, which keeps its data in
// the cache.
#include "simt/block.h"

#include <algorithm>
#include <bit>

#include "simt/shadow.h"

namespace fer::simt::detail {

Block::Block() : lanes(max_threads) {
  for (int i = 0; i < max_warps; ++i) warps[static_cast<std::size_t>(i)].number = i;
}
Block::~Block() = default;

Block& block_of_this_thread() {
  // On the heap: a library that a running program opens has little room for thread-local memory.
  static thread_local const auto block = std::make_unique<Block>();
  return *block;
}

void Block::begin_launch(const Launch& of) {
  launch = &of;
  threads = of.threads;
  order = of.options.order;
  instrumented = of.request->instrumented;
  const dim3 size = of.request->block;
  for (int i = 0; i < threads; ++i) {
    const auto rank = static_cast<unsigned>(i);
    lanes[rank].index = {rank % size.x, rank / size.x % size.y, rank / (size.x * size.y)};
  }
  for (int i = 0; i < max_warps; ++i) {
    const int count = std::clamp(threads - 32 * i, 0, 32);
    warps[static_cast<std::size_t>(i)].exists = count == 32 ? ~0u : (1u << count) - 1u;
  }
  shared.begin_launch(of.request->shared_bytes, of.request->allowed_shared, of.options.shared_limit);
  if (fault_stack < 0) fault_stack = stacks.take();
  timer.set_limit(of.options.time_limit);
}

void Block::run(uint3 block_index, std::int64_t block_position) {
  index = block_index;
  position = block_position;
  blockIdx = block_index;
  blockDim = launch->request->block;
  gridDim = launch->request->grid;
  random_state = (launch->options.seed + 1) * 0x9e3779b97f4a7c15u ^
                 (static_cast<std::uint64_t>(block_position) + 1) * 0xd1342543de82ef95u;
  const int warp_count = (threads + 31) / 32;
  runnable_warps = warp_count == 32 ? ~0u : (1u << warp_count) - 1u;
  for (int i = 0; i < warp_count; ++i) {
    Warp& w = warps[static_cast<std::size_t>(i)];
    w.runnable = w.exists;
    w.started = w.finished = 0;
    w.collectives = 0;
  }
  warp_now = choose(runnable_warps);
  finished = arrived = barrier_sum = 0;
  last_finished = -1;
  failure = {};
  fault_signal = 0;
  out_of_time = false;
  runs = runs + 1;
  shared.begin_block();
  serial = static_cast<std::uint32_t>(launch->first_serial + static_cast<std::uint64_t>(block_position));
  events = barrier_event = 0;
  fenced = false;
  if (instrumented) begin_checked_block(*this);

  current_block = this;
  host_stack = nullptr;
  resume(pick(), &host_context, &host_fake_stack);
  current_block = nullptr;

  if (failure.raised) {  // fibers were abandoned in place
    stacks.reset();
    fault_stack = stacks.take();
    for (Lane& lane : lanes) lane.async.copies.clear(), lane.async.group_ends.clear();
  } else if (std::string damage = shared.damage(); !damage.empty()) {
    failure.raised = true;
    failure.text = concat("a thread ", damage);
  }
}

int Block::choose_any(unsigned mask) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  const int turn = static_cast<int>(random_state >> 32 & 31);
  return (std::countr_zero(std::rotr(mask, turn)) + turn) & 31;
}

/// Gives an unstarted lane a stack of its own.
void Block::start(int thread) {
  Lane& lane = lanes[static_cast<std::size_t>(thread)];
  try {
    lane.stack = stacks.take();
  } catch (const Error& error) {
    if (current_block == nullptr || failure.raised) throw;
    raise(error.what());
  }
  if (failure.raised) leave();
  lane.context = prepare_context(stacks.top(lane.stack), &Block::fiber_main);
  warps[static_cast<std::size_t>(thread >> 5)].started |= 1u << (thread & 31);
}

/// Continues `thread`. Returns when *save is resumed.
void Block::resume(int thread, void** save, [[maybe_unused]] void** save_fake_stack) {
  const Warp& w = warps[static_cast<std::size_t>(thread >> 5)];
  if ((w.started >> (thread & 31) & 1u) == 0) start(thread);
  Lane& next = lanes[static_cast<std::size_t>(thread)];
  now = thread;
  threadIdx = next.index;
#if FER_SIMT_ASAN
  __sanitizer_start_switch_fiber(save_fake_stack, stacks.bottom(next.stack), StackPool::stack_bytes);
#endif
  fer_simt_switch(save, next.context);
#if FER_SIMT_ASAN
  __sanitizer_finish_switch_fiber(save_fake_stack == nullptr ? nullptr : *save_fake_stack, nullptr, nullptr);
#endif
}

void Block::wait(const char* operation, unsigned mask, Where where) {
  Lane& me = lane();
  me.operation = operation;
  me.mask = mask;
  me.where = where;
  const int next = pick();
  if (next < 0) {
    deadlock();
    leave();
  }
  resume(next, &me.context, &me.fake_stack);
}

void Block::leave() {
  void* never_resumed = nullptr;
#if FER_SIMT_ASAN
  __sanitizer_start_switch_fiber(nullptr, host_stack, host_stack_bytes);
#endif
  fer_simt_switch(&never_resumed, host_context);
  __builtin_unreachable();
}

void Block::run_kernel() {
  try {
    launch->request->invoke(launch->request->kernel, launch->request->arguments);
  } catch (const std::exception& error) {
    raise(thread_name(now), ": an exception left the kernel: ", error.what());
  } catch (...) {
    raise(thread_name(now), ": an exception left the kernel");
  }
  if (failure.raised) leave();
}

void Block::fiber_main() {
  Block& block = *current_block;
#if FER_SIMT_ASAN
  const void* bottom = nullptr;
  std::size_t bytes = 0;
  __sanitizer_finish_switch_fiber(nullptr, &bottom, &bytes);
  if (block.host_stack == nullptr) {  // the first fiber of a block comes from the caller's stack
    block.host_stack = bottom;
    block.host_stack_bytes = bytes;
  }
#endif
  const int stack = block.lane().stack;
  for (;;) {
    block.run_kernel();
    block.finish_lane();
    const int next = block.pick();
    if (next < 0) {
      if (block.finished < block.threads) block.deadlock();
      block.stacks.give_back(stack);
      block.leave();
    }
    Warp& w = block.warps[static_cast<std::size_t>(next >> 5)];
    const unsigned bit = 1u << (next & 31);
    if ((w.started & bit) == 0) {  // takes over this stack: no switch
      w.started |= bit;
      Lane& lane = block.lanes[static_cast<std::size_t>(next)];
      lane.stack = stack;
      block.now = next;
      threadIdx = lane.index;
    } else {
      block.stacks.give_back(stack);
      void* never_resumed = nullptr;
      block.resume(next, &never_resumed, nullptr);
    }
  }
}

void Block::finish_lane() {
  Lane& me = lane();
  Warp& w = warp();
  w.finished |= lane_bit();
  ++finished;
  last_finished = now;
  me.async.copies.clear();
  me.async.group_ends.clear();
  if (arrived > 0) {
    raise(thread_name(now), " returned while ", thread_name(barrier_first), " waits at ", barrier_operation,
          " (", place_name(barrier_where),
          "): divergent barrier; every thread of the block must reach it, so return only behind it");
  }
  if (failure.raised) leave();
  for (int i = w.collectives - 1; i >= 0; --i) {  // the others no longer wait for this lane
    const Collective& c = w.collective[static_cast<std::size_t>(i)];
    const unsigned needed = c.mask & w.exists & ~w.finished;
    if ((c.mask & lane_bit()) != 0 && (c.arrived & needed) == needed) complete(w, i);
  }
}

void* static_shared(const SharedArray& array) {
  Block& block = block_here("FER_SHARED");
  const std::size_t parts = block.shared.parts().size();
  void* data = block.shared.find(array, &block.failure.text);
  if (data == nullptr) {
    block.failure.raised = true;
    block.leave();
  }
  if (block.instrumented && block.shared.parts().size() != parts)
    add_checked_part(block, block.shared.parts().back());
  return data;
}

void* dynamic_shared() {
  return block_here("FER_DYNAMIC_SHARED").shared.dynamic();
}

std::string Block::thread_name(int thread) const {
  const uint3 i = lanes[static_cast<std::size_t>(thread)].index;
  return concat("thread (", i.x, ",", i.y, ",", i.z, ")");
}

}  // namespace fer::simt::detail
