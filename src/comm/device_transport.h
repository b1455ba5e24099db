// DeviceTransport: collectives between the memories of devices, one for each process of a run. NCCL implements
// it in a module of its own, as MPI implements Transport: the module shares this header with fer, and no code.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "fer/tensor/communicator.h"

namespace fer::comm {

/// All ranks call the same functions in the same order. None waits for other ranks. `stream` is
/// DeviceQueue::stream(); a collective is added to its end. Functions throw std::runtime_error if the library
/// reports an error, or after abort().
class DeviceTransport {
 public:
  virtual ~DeviceTransport() = default;

  /// Whether all ranks have joined. Throws the errors of collectives under way. Any thread may call it.
  virtual bool ready() = 0;

  virtual void all_reduce(void* data, std::size_t count, DType dtype, Reduction reduction, void* stream) = 0;
  /// bytes[r]: how much rank r contributes; 0 is possible.
  virtual void all_gather(const void* mine, void* all, const std::vector<std::size_t>& bytes,
                          void* stream) = 0;
  virtual void broadcast(void* data, std::size_t bytes, int root, void* stream) = 0;

  /// Ends what is under way, whose results are then undefined, and frees the library's memory. Any thread may
  /// call it, also twice. It may take long if the library fails.
  virtual void abort() noexcept = 0;
};

/// What the module exports as `fer_nccl_module`.
struct NcclModule {
  /// "NCCL 2.28.9".
  std::string (*library)();
  /// A text that one rank makes and all join with.
  std::string (*make_id)();
  /// Begins to join the other ranks with the calling thread's current GPU. Its owner deletes the result.
  DeviceTransport* (*join)(const std::string& id, int rank, int size);
};

}  // namespace fer::comm
