// Collective: one all_reduce, all_gather, broadcast or barrier as messages, advanced step by step.
//
// Each begins with a header from every rank to every other. It shows who has arrived, that all call the same
// collective, and how many rows each rank has. Then the data travel.
//
// all_reduce fixes the order of its sums: each element is ((rank 0 + rank 1) + rank 2) + ... A large tensor is
// cut into one slice a rank. Each rank receives its slice from all others, adds them up, and sends the sum to
// all others: as many bytes as a ring, in two steps. A small one goes to all ranks whole, in one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "comm/transport.h"
#include "fer/tensor/communicator.h"

namespace fer::comm {

/// start: of the transport between devices.
enum class CollectiveKind : std::uint32_t { all_reduce, all_gather, broadcast, barrier, start };

struct CollectiveHeader {
  CollectiveKind kind = CollectiveKind::barrier;
  DType dtype = DType::uint8;
  std::uint8_t detail = 0;    ///< the Reduction
  bool on_device = false;     ///< the data travel by a DeviceTransport; ranks only exchange headers here
  std::int32_t root = 0;      ///< of a broadcast
  std::int64_t rows = 0;      ///< all_gather: the sender's; otherwise the elements
  std::int64_t row_size = 1;  ///< all_gather: elements in a row
};

class Collective {
 public:
  /// x: the operand, whose memory the host can reach; undefined for a barrier, and on a device. `number` counts the collectives
  /// of this run. Nothing is sent yet.
  Collective(Transport& transport, std::int64_t number, const CollectiveHeader& header, Tensor x);

  /// Does what is possible without waiting; returns whether the collective is done. CommunicationError if
  /// ranks disagree about what they call; `name_of_rank` names them.
  bool advance(const std::function<std::string(int rank)>& name_of_rank);

  /// Whether the header of `rank` has arrived.
  bool has_arrived(int rank) const;
  /// "all_reduce sum of 8 float32".
  std::string describe() const;

  /// all_gather: the rows of all ranks (undefined on a device), and each rank's number, once it is done.
  Tensor gathered;
  std::vector<std::int64_t> rows;

 private:
  struct Message {
    Request request;
    int peer;
    bool incoming, done;
  };
  struct Slice {
    std::size_t start, count;  // elements
  };
  enum class Step { start, headers, data, sums };

  void post(bool incoming, void* data, std::size_t bytes, int peer);
  bool all_done();
  void begin_step(Step step);
  void compare_headers(const std::function<std::string(int rank)>& name_of_rank) const;
  void exchange_data();
  void count_rows();
  void exchange_slices();
  void add_slices();
  void spread_sums();
  void gather_rows();
  Slice slice_of(int rank) const;
  bool is_sliced() const;
  std::byte* element(std::size_t index) { return memory_ + index * size_of(header_.dtype); }

  Transport& transport_;
  int rank_, size_, tag_;
  CollectiveHeader header_;
  Tensor x_;
  std::byte* memory_ = nullptr;  // of x_, or of `gathered`
  Step step_ = Step::start;
  std::vector<CollectiveHeader> headers_;
  std::vector<std::vector<std::byte>> received_;  // by rank: its values of this rank's slice
  std::vector<Message> messages_;
};

}  // namespace fer::comm
