// Communicator: the processes of one run, numbered from 0 (the ranks), and what they do together. A program
// started by mpirun or srun makes one and uses it in all of its processes in the same way:
//
//   auto ranks = fer::make_communicator();
//   ranks->broadcast(weights);              // all start from rank 0's
//   auto sum = ranks->start_all_reduce(gradient);
//   ...                                     // computes while the sum travels
//   sum->wait();                            // gradient is the sum over all ranks
//
// Every operation here is a collective: all ranks call the same ones in the same order, with the same type and
// shape except where the comment says otherwise. Results are the same on all ranks, bit for bit, and the same
// in every run with as many ranks: sums are taken in the order of the ranks.
//
// Tensors on the device cuda travel between the GPUs, by NCCL, each rank having a GPU of its own. NCCL chooses
// the order of sums, so they are the same in every run with the same ranks, GPUs, network and version of NCCL.
// A result is there for the kernels that are submitted later, and for copies to the host: as with other work on
// that device, the host does not wait for it.
//
// A rank that does not answer within the time limit, that has died, failed or ended, and ranks that call
// different collectives are a CommunicationError on every other rank. After it the communicator only repeats
// that error. Use a communicator from one thread at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "fer/tensor/tensor.h"

namespace fer {

/// How all_reduce joins the values of the ranks. sum: float32, float64, int64, and bfloat16, which is added in
/// float32 and rounded once (by NCCL: whenever a sum travels on). min, max: float32, float64, int64, uint8. bit_or: int64 and uint8.
enum class Reduction : std::uint8_t { sum, min, max, bit_or };
std::string_view name_of(Reduction reduction);

/// A collective under way. Its tensor must be neither read nor written before wait() has returned. Destroying
/// it does not stop the collective, which keeps the tensor's memory alive.
class Transfer {
 public:
  virtual ~Transfer() = default;
  /// Blocks until the result is there; on device cuda, until all ranks have called the same collective.
  /// CommunicationError as described above.
  virtual void wait() = 0;
};

class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// "local", "mpi", or "nccl", which is MPI and NCCL.
  virtual std::string_view kind() const = 0;
  /// Text to display: "rank 1 of 3 on node7 (mpi: Open MPI v4.1.4)".
  virtual std::string describe() const = 0;
  /// The name of the machine on which a rank runs.
  virtual std::string host_of(int rank) const = 0;

  /// Replaces x by the reduction over all ranks, elementwise. TypeError for a type that the reduction does not
  /// take, or memory that the communicator cannot reach.
  void all_reduce(Tensor& x, Reduction reduction = Reduction::sum) { start_all_reduce(x, reduction)->wait(); }
  /// The same without waiting; several may be under way.
  virtual std::unique_ptr<Transfer> start_all_reduce(Tensor x, Reduction reduction = Reduction::sum) = 0;

  /// The rows (dimension 0) of all ranks, in the order of the ranks. Ranks may have different numbers of rows,
  /// also none; the other extents agree. `rows`, if given, receives each rank's number.
  virtual Tensor all_gather(const Tensor& x, std::vector<std::int64_t>* rows = nullptr) = 0;
  /// Overwrites x by the x of rank `root`.
  virtual void broadcast(Tensor& x, int root = 0) = 0;
  /// Returns when all ranks have called it.
  virtual void barrier() = 0;
  /// One decision for all: the reduction of each rank's value. With max, one rank's "stop" stops all.
  std::int64_t agree(std::int64_t mine, Reduction reduction = Reduction::max);
  /// The text of rank `root`.
  std::string share(std::string mine, int root = 0);
  /// The text of each rank.
  std::vector<std::string> share_all(const std::string& mine);
  /// The seconds for which calls have waited for other ranks, since the communicator was made.
  virtual double seconds_waiting() const = 0;

  /// Tells the other ranks that this one fails, and why: they end with a CommunicationError that says so. Waits
  /// a moment for them to have read it. Later calls of collectives fail. Returns what this rank should print,
  /// so that all of them print it once: `why`, with the rank's name if others have not failed for the same reason;
  /// or nothing, if a rank before it prints. The destructor calls it if an exception destroys the communicator.
  virtual std::string leave(const std::string& why) noexcept = 0;
  /// Makes the launcher end all ranks, this one included if there are others. For the place that ends the
  /// program with `code` after an error; a stopped rank would otherwise keep the launcher waiting.
  virtual void end_all(int code) noexcept = 0;
};

struct CommunicatorOptions {
  /// A rank that gives no sign of life for so long is lost: it is stopped, or cut off. One that only computes
  /// answers, and is waited for, also by the destructor. On device cuda it is also how long a GPU may take for a
  /// collective that all ranks have called, once it has computed the operand.
  std::chrono::milliseconds time_limit{60'000};
  /// The device that computes. cuda: its tensors travel by NCCL.
  Device device = Device::cpu;
  /// If given, ranks that die or are lost end the program without waiting for its next collective: the
  /// communicator's own thread calls this with what this rank should print, nothing if another rank prints, and
  /// then ends all processes with exit code 1.
  std::function<void(const std::string& report)> on_lost = {};
};

/// The communicator of this process: `mpi`, or `nccl` for the device cuda, if a launcher has started several,
/// else `local`. CommunicationError, saying what to do, if a launcher has started several and they cannot find
/// each other (they would all do the same), or if NCCL is missing. Call it once in a program, from the main thread.
std::unique_ptr<Communicator> make_communicator(const CommunicatorOptions& options = {});

/// A run of one process: rank 0 of 1.
Communicator& one_process();

/// The name of the MPI library that this build can load; empty if there is none, with the reason.
std::string mpi_library_name(std::string* reason = nullptr);
/// The same for NCCL.
std::string nccl_library_name(std::string* reason = nullptr);

/// What the environment says about how this process was started.
struct Launch {
  std::string launcher;  ///< "mpirun", "srun"; empty if by none
  int size = 1;          ///< 0: unknown
};
/// `variable` returns the value of an environment variable, or null.
Launch find_launch(const char* (*variable)(const char* name));

}  // namespace fer
