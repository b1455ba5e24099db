// Transport: messages between the processes of one run. MPI implements it in a module of its own, so that
// programs start without MPI, and on machines that have none. The module shares this header with fer, and
// no code.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace fer::comm {

/// A message under way.
using Request = std::uint64_t;

/// Functions throw std::runtime_error if MPI reports an error. Only one thread calls them at a time.
class Transport {
 public:
  /// Ends MPI, unless give_up() was called. Waits for all ranks.
  virtual ~Transport() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// This machine, as MPI names it.
  virtual std::string host() const = 0;
  /// "Open MPI v4.1.4".
  virtual std::string library() const = 0;

  /// Memory must stay valid until test() has returned true. At most `longest_message` bytes. Messages between
  /// two ranks with one tag (0 to 32767) arrive in order.
  virtual Request send(const void* data, std::size_t bytes, int to, int tag) = 0;
  virtual Request receive(void* data, std::size_t bytes, int from, int tag) = 0;
  /// Whether the message has left, or arrived. Not to be called again after true.
  virtual bool test(Request& request) = 0;

  /// Other ranks may be lost: nothing waits for them any more.
  virtual void give_up() noexcept = 0;
  /// Ends all processes of the run.
  virtual void abort(int code) noexcept = 0;
};

inline constexpr std::size_t longest_message = std::size_t{1} << 30;

/// What the module exports as `fer_mpi_module`: starts MPI. Its owner deletes the result.
struct MpiModule {
  Transport* (*start)();
};

}  // namespace fer::comm
