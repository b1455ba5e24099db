// A block of threads in execution: its lanes, warps, shared memory and barrier, and its scheduler. Each OS
// thread that executes kernels has one Block object and runs one block after the other in it.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "fer/simt/device.h"
#include "fer/simt/executor.h"
#include "fer/simt/gpu_simt.h"
#include "simt/context.h"
#include "simt/shared_arena.h"
#include "simt/time_limit.h"

namespace fer::simt::detail {

inline constexpr int max_threads = 1024;
inline constexpr int max_warps = max_threads / 32;

struct Block;
struct Warp;
struct BlockShadow;

/// A warp operation that lanes wait for. Its mask identifies it.
struct Collective {
  using Finish = void (*)(Block& block, Warp& warp, const Collective& collective);
  unsigned mask = 0;
  unsigned arrived = 0;
  const char* operation = nullptr;
  bool same_place = false;  ///< lanes must be at the same source line, not just in the same operation
  Where where{};
  Finish finish = nullptr;
};

struct Warp {
  unsigned exists = 0;    ///< lanes that the block has
  unsigned started = 0;   ///< lanes that have a stack, or had one
  unsigned runnable = 0;  ///< lanes that can be taken, started or not
  unsigned finished = 0;
  int number = 0;
  int collectives = 0;
  std::array<Collective, 32> collective;
  std::array<void*, 32> operand{};  ///< the operand of each waiting lane, on its own stack
};

/// Copies that a lane started by cp.async and has not waited for.
struct AsyncQueue {
  struct Copy {
    char* to;
    const char* from;
    int bytes, source_bytes;
  };
  std::vector<Copy> copies;
  std::vector<std::size_t> group_ends;  ///< committed groups, as ends of ranges of `copies`
};

struct Lane {
  void* context = nullptr;  ///< where to resume it
  void* fake_stack = nullptr;
  int stack = -1;
  uint3 index{};
  // for reports: the operation that it waits for
  const char* operation = nullptr;
  unsigned mask = 0;
  Where where{};
  AsyncQueue async;
};

/// The data that all blocks of one launch share.
struct Launch {
  const LaunchRequest* request;
  Options options;
  int threads = 0;
  std::int64_t blocks = 0;
  std::uint64_t first_serial = 0;  ///< of the checker: the serial of block position 0
};

/// The error of a block. "@1" and "@2" in the text stand for places: code addresses that are looked up after
/// the fibers have been left.
struct Failure {
  std::string text;
  const void* place[2] = {nullptr, nullptr};
  bool raised = false;
};

/// "conv2d.cu:81"
std::string place_name(const Where& where);

struct Block {
  Block();
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  /// Sets up everything that all blocks of a launch have in common: lanes, warps, arrays.
  void begin_launch(const Launch& of);
  /// Runs one block to its end, or to its first error (then failure.raised).
  void run(uint3 block_index, std::int64_t block_position);

  // --- for the operations ----------------------------------------------------------------------------
  Lane& lane() { return lanes[static_cast<std::size_t>(now)]; }
  Warp& warp() { return warps[static_cast<std::size_t>(now >> 5)]; }
  unsigned lane_bit() const { return 1u << (now & 31); }

  /// Suspends this lane, which must not be runnable, until another lane makes it runnable.
  void wait(const char* operation, unsigned mask, Where where);
  void make_runnable(Warp& which, unsigned lanes_of_it) {
    if (lanes_of_it == 0) return;
    which.runnable |= lanes_of_it;
    runnable_warps |= 1u << which.number;
  }
  void barrier_arrive(const char* operation, Where where);
  /// Joins the warp operation; returns when all lanes of `mask` have joined and `finish` has run.
  void join(const char* operation, bool same_place, unsigned mask, void* operand, Collective::Finish finish,
            Where where);

  /// Ends the block with an error. Fibers are abandoned, never unwound, because a check may be reached from
  /// noexcept code. So the caller must have no live object with a destructor.
  template <typename... Parts>
  void raise(const Parts&... parts) {
    failure.text = concat(parts...);
    failure.raised = true;
  }
  [[noreturn]] void leave();

  /// Ends the block if its time is up. Every operation that a loop may repeat calls it (time_limit.h).
  void check_time(const Where& where) {
    if (!out_of_time) [[likely]]
      return;
    raise_time_limit(place_name(where));
    leave();
  }
  /// `place`: the running lane's position, or "@1" for failure.place[0].
  void raise_time_limit(const std::string& place);

  std::string thread_name(int thread) const;  ///< "thread (3,0,0)"
  /// What each waiting thread waits for, one line per group. `running`: a thread that does not wait; -1: all
  /// wait.
  std::string waiting_threads(int running = -1) const;

  // --- state -----------------------------------------------------------------------------------------
  const Launch* launch = nullptr;
  uint3 index{};
  std::int64_t position = 0;
  int threads = 0;
  int now = 0;  ///< the lane that runs
  int finished = 0;
  int last_finished = -1;

  int arrived = 0;  ///< at the block barrier
  int barrier_first = 0;
  int barrier_sum = 0, barrier_result = 0;
  const char* barrier_operation = nullptr;
  Where barrier_where{};

  unsigned runnable_warps = 0;
  int warp_now = 0;
  std::uint64_t random_state = 1;
  LaneOrder order = LaneOrder::forward;

  Failure failure;
  // What a signal handler found (faults.cpp).
  int fault_signal = 0;
  void* fault_address = nullptr;
  bool fault_misaligned = false;
  void* fault_code = nullptr;
  int fault_stack = -1;
  // The time limit (time_limit.cpp). The signal handler of this OS thread reads and writes these.
  volatile bool out_of_time = false;
  volatile std::uint64_t runs = 0;  ///< blocks begun
  std::uint64_t timed_run = 0;      ///< the run that the handler saw last; `ticks` counts how often in a row
  int ticks = 0;
  BlockTimer timer;

  SharedArena shared;
  std::array<Warp, max_warps> warps;
  std::vector<Lane> lanes;
  StackPool stacks;
  void* host_context = nullptr;
  void* host_fake_stack = nullptr;
  const void* host_stack = nullptr;
  std::size_t host_stack_bytes = 0;

  std::unique_ptr<BlockShadow> shadow;
  // The checker's clock: events counts barriers and __syncwarps of this block (shadow.h).
  bool instrumented = false;
  std::uint32_t serial = 0;
  std::uint32_t events = 0;
  std::uint32_t barrier_event = 0;
  std::array<std::uint32_t, max_warps> warp_event{};
  std::array<std::vector<std::uint32_t>, max_warps> known;  ///< 32 x 32 once a part of a warp synchronised
  bool fenced = false;

 private:
  int choose(unsigned mask) {
    if (order == LaneOrder::forward) return std::countr_zero(mask);
    return order == LaneOrder::reverse ? 31 - std::countl_zero(mask) : choose_any(mask);
  }
  int choose_any(unsigned mask);
  /// Takes a runnable lane and returns it; -1 if there is none.
  int pick() {
    if (warps[static_cast<std::size_t>(warp_now)].runnable == 0) {
      if (runnable_warps == 0) return -1;
      warp_now = choose(runnable_warps);
    }
    Warp& w = warps[static_cast<std::size_t>(warp_now)];
    const int lane = choose(w.runnable);
    w.runnable &= ~(1u << lane);
    if (w.runnable == 0) runnable_warps &= ~(1u << warp_now);
    return warp_now * 32 + lane;
  }
  void start(int thread);
  void finish_lane();
  void complete(Warp& which, int number);
  void deadlock();
  static void fiber_main();
  void resume(int thread, void** save, void** save_fake_stack);
  void run_kernel();
};

/// The block whose fiber this OS thread is running; null outside of kernels.
inline constinit thread_local Block* current_block = nullptr;

[[noreturn]] void outside_of_kernels(const char* operation);
/// Returns current_block. Throws CheckError if `operation` is used outside of a kernel.
inline Block& block_here(const char* operation) {
  if (current_block == nullptr) [[unlikely]]
    outside_of_kernels(operation);
  return *current_block;
}

/// The index of the block that runs at `position` of the launch's order.
uint3 block_at(const Launch& launch, std::int64_t position);

/// The block object of this OS thread.
Block& block_of_this_thread();

inline bool same_place(const Where& a, const Where& b) {
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}
}  // namespace fer::simt::detail
