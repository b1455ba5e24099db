// The communicator over a Transport.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "comm/collective.h"
#include "comm/transport.h"
#include "fer/tensor/communicator.h"

namespace fer::comm {

/// How far this rank's device is with a collective on its memory.
enum class DeviceProgress {
  not_begun,  ///< it still computes the operand, so this rank does not wait for others yet
  under_way,
  done,
};

/// A collective whose data travel between devices, while ranks tell each other here that they call it.
class Announcement {
 public:
  virtual ~Announcement() = default;
  /// Blocks until all ranks have announced the same collective. CommunicationError as for Transfer::wait().
  virtual void wait_for_ranks() = 0;
  /// Blocks until this rank's device is also done.
  virtual void wait_for_device() = 0;
  /// all_gather: the rows of each rank, after wait_for_ranks().
  virtual const std::vector<std::int64_t>& rows() const = 0;
};

/// A communicator between hosts, which also watches over collectives between devices.
class HostCommunicator : public Communicator {
 public:
  /// Starts to announce a collective. `look` is called now and then, from another thread, once all ranks have
  /// announced it, until it returns `done`; then it is destroyed. An error that it throws ends the run. So does a
  /// device that is not done within the time limit, counted from when all ranks have announced the collective and
  /// this rank's device has begun it: the error names a rank whose device has not begun.
  virtual std::unique_ptr<Announcement> announce(const CollectiveHeader& header,
                                                 std::function<DeviceProgress()> look) = 0;
  /// `stop` is called once, from another thread, when the communicator fails.
  virtual void on_failure(std::function<void()> stop) = 0;
  /// Why it has failed; empty if it has not.
  virtual std::string failure() = 0;
};

/// `kind`: "mpi". Exchanges the names of the machines, so it is a collective itself. CommunicationError as for
/// collectives.
std::unique_ptr<HostCommunicator> make_message_communicator(std::unique_ptr<Transport> transport,
                                                            std::string_view kind,
                                                            const CommunicatorOptions& options);

}  // namespace fer::comm
