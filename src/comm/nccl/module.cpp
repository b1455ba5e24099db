// The module fer_nccl: collectives between GPUs by NCCL.
#include <nccl.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <thread>

#include "comm/device_transport.h"

static_assert(NCCL_VERSION_CODE >= NCCL_VERSION(2, 14, 0), "calls that do not block came with NCCL 2.14");

namespace fer::comm {
namespace {

std::string version() {
  int code = 0;
  ncclGetVersion(&code);
  return "NCCL " + std::to_string(code / 10000) + "." + std::to_string(code / 100 % 100) + "." +
         std::to_string(code % 100);
}

/// `comm` may be null.
void check(ncclResult_t status, const char* call, ncclComm_t comm) {
  if (status == ncclSuccess || status == ncclInProgress) return;
  std::string text = version() + ": " + call + ": " + ncclGetErrorString(status);
  if (const char* more = ncclGetLastError(comm); more && *more) text += std::string(" (") + more + ")";
  throw std::runtime_error(text);
}

ncclDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::float32:
      return ncclFloat32;
    case DType::float64:
      return ncclFloat64;
    case DType::bfloat16:
      return ncclBfloat16;
    case DType::int64:
      return ncclInt64;
    case DType::uint8:
      return ncclUint8;
    default:
      throw std::runtime_error("NCCL does not add up this type");
  }
}

ncclRedOp_t operation_of(Reduction reduction) {
  switch (reduction) {
    case Reduction::sum:
      return ncclSum;
    case Reduction::min:
      return ncclMin;
    case Reduction::max:
      return ncclMax;
    default:
      throw std::runtime_error("NCCL has no such reduction");
  }
}

std::string make_id() {
  ncclUniqueId id;
  check(ncclGetUniqueId(&id), "ncclGetUniqueId", nullptr);
  return {id.internal, sizeof id.internal};
}

/// Calls return at once, also those that set up connections, so that no thread hangs in NCCL when a rank is lost.
class NcclTransport final : public DeviceTransport {
 public:
  NcclTransport(const std::string& id, int rank, int size) : rank_(rank) {
    ncclUniqueId unique;
    if (id.size() != sizeof unique.internal) throw std::runtime_error("rank 0 has another version of NCCL");
    std::memcpy(unique.internal, id.data(), id.size());
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    check(ncclCommInitRankConfig(&comm_, size, unique, rank, &config), "ncclCommInitRankConfig", nullptr);
  }

  bool ready() override {
    const std::lock_guard lock(mutex_);
    return state("ncclCommGetAsyncError") == ncclSuccess;
  }

  void all_reduce(void* data, std::size_t count, DType dtype, Reduction reduction, void* stream) override {
    if (count == 0) return;
    call("ncclAllReduce", [&] {
      return ncclAllReduce(data, data, count, type_of(dtype), operation_of(reduction), comm_,
                           static_cast<cudaStream_t>(stream));
    });
  }

  void all_gather(const void* mine, void* all, const std::vector<std::size_t>& bytes, void* stream) override {
    const auto on = static_cast<cudaStream_t>(stream);
    const std::size_t own = bytes[static_cast<std::size_t>(rank_)];
    if (std::all_of(bytes.begin(), bytes.end(), [&](std::size_t n) { return n == own; })) {
      if (own > 0) call("ncclAllGather", [&] { return ncclAllGather(mine, all, own, ncclUint8, comm_, on); });
      return;
    }
    call("ncclBroadcast", [&] {
      ncclGroupStart();
      ncclResult_t status = ncclSuccess;
      auto* to = static_cast<std::byte*>(all);
      for (std::size_t root = 0; root < bytes.size(); ++root) {
        if (bytes[root] > 0 && status == ncclSuccess)
          status = ncclBroadcast(mine, to, bytes[root], ncclUint8, static_cast<int>(root), comm_, on);
        to += bytes[root];
      }
      const ncclResult_t ended = ncclGroupEnd();
      return status == ncclSuccess || status == ncclInProgress ? ended : status;
    });
  }

  void broadcast(void* data, std::size_t bytes, int root, void* stream) override {
    if (bytes == 0) return;
    call("ncclBroadcast", [&] {
      return ncclBroadcast(data, data, bytes, ncclUint8, root, comm_, static_cast<cudaStream_t>(stream));
    });
  }

  void abort() noexcept override {
    const std::lock_guard lock(mutex_);
    if (comm_) ncclCommAbort(comm_);
    comm_ = nullptr;
  }

 private:
  /// ncclSuccess or ncclInProgress; throws other states.
  ncclResult_t state(const char* of) {
    if (!comm_) throw std::runtime_error("NCCL has been stopped");
    ncclResult_t state = ncclSuccess;
    check(ncclCommGetAsyncError(comm_, &state), "ncclCommGetAsyncError", comm_);
    check(state, of, comm_);
    return state;
  }

  /// Returns when the call's kernels are on their stream. Between looks another thread may call abort().
  template <typename Function>
  void call(const char* name, const Function& function) {
    {
      const std::lock_guard lock(mutex_);
      state(name);
      check(function(), name, comm_);
    }
    while (true) {
      {
        const std::lock_guard lock(mutex_);
        if (state(name) == ncclSuccess) return;
      }
      std::this_thread::yield();
    }
  }

  std::mutex mutex_;  // of comm_, which abort() deletes
  ncclComm_t comm_ = nullptr;
  int rank_;
};

}  // namespace
}  // namespace fer::comm

extern "C" __attribute__((visibility("default"))) const fer::comm::NcclModule fer_nccl_module{
    fer::comm::version, fer::comm::make_id,
    [](const std::string& id, int rank, int size) -> fer::comm::DeviceTransport* {
      return new fer::comm::NcclTransport(id, rank, size);
    }};
