// Collectives run on a queue of their own, so that kernels go on meanwhile. Events keep the order: a collective
// starts after the kernels that compute its operand, and the kernels that are submitted after wait() start after
// the collective. The host waits for the other ranks' hosts to call the same collective, but not for the data.
#include "comm/device_communicator.h"

#include <atomic>
#include <future>
#include <mutex>
#include <thread>
#include <utility>

#include "comm/operands.h"

namespace fer::comm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds abort_patience{5};        // for a library that hangs while it is stopped
constexpr std::chrono::microseconds between_looks{500};  // at a device, which costs its other callers time

/// A collective on its way through the device. The messenger's thread looks at it.
class DeviceWork {
 public:
  DeviceWork(DeviceRuntime& runtime, std::shared_ptr<DeviceTransport> transport)
      : runtime_(runtime), transport_(std::move(transport)) {}

  /// `operands` keep their memory until the device is done.
  void begin(std::vector<Tensor> operands, std::unique_ptr<DeviceEvent> ready) {
    const std::lock_guard lock(mutex_);
    operands_ = std::move(operands);
    ready_ = std::move(ready);
  }
  void set_done(std::shared_ptr<DeviceEvent> done) {
    const std::lock_guard lock(mutex_);
    done_ = std::move(done);
  }
  std::shared_ptr<DeviceEvent> done() {
    const std::lock_guard lock(mutex_);
    return done_;
  }

  DeviceProgress look() {
    if (Clock::now() < next_look_) return last_;
    next_look_ = Clock::now() + between_looks;
    runtime_.enter_thread();
    transport_->ready();           // for its errors
    std::vector<Tensor> released;  // without the lock
    const std::lock_guard lock(mutex_);
    last_ = DeviceProgress::under_way;
    if (ready_ && !ready_->reached()) {
      last_ = DeviceProgress::not_begun;
    } else if (done_ && done_->reached()) {
      last_ = DeviceProgress::done;
      released.swap(operands_);
    }
    return last_;
  }

 private:
  DeviceRuntime& runtime_;
  std::shared_ptr<DeviceTransport> transport_;
  Clock::time_point next_look_{};
  DeviceProgress last_ = DeviceProgress::under_way;
  std::mutex mutex_;  // guards what follows
  std::vector<Tensor> operands_;
  std::unique_ptr<DeviceEvent> ready_;
  std::shared_ptr<DeviceEvent> done_;
};

/// Leaves a library that does not return to itself.
void abort_patiently(const std::shared_ptr<DeviceTransport>& transport) {
  auto aborted = std::make_shared<std::promise<void>>();
  std::thread([transport, aborted] {
    transport->abort();
    aborted->set_value();
  }).detach();
  aborted->get_future().wait_for(abort_patience);
}

class DeviceCommunicator final : public Communicator {
 public:
  DeviceCommunicator(std::unique_ptr<HostCommunicator> host, std::string_view kind, DeviceLink link)
      : host_(std::move(host)), kind_(kind), link_(std::move(link)) {}
  ~DeviceCommunicator() override {
    host_.reset();  // waits for all collectives of all ranks, or gives up
    // The library's own way to end may wait for other ranks, of which some may be lost.
    if (transport_ && !aborted_) abort_patiently(transport_);
  }

  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }
  std::string_view kind() const override { return kind_; }
  std::string describe() const override {
    std::string text = host_->describe();
    if (text.ends_with(")")) text.pop_back();
    return concat(text, "; ", kind_, ": ", link_.library, ")");
  }
  std::string host_of(int rank) const override { return host_->host_of(rank); }

  std::unique_ptr<Transfer> start_all_reduce(Tensor x, Reduction reduction) override {
    check_reduction(x, reduction);
    if (x.device() != link_.device) return host_->start_all_reduce(x, reduction);
    if (reduction == Reduction::bit_or) {  // not among the library's
      Tensor copy = x.to(Device::cpu);
      host_->all_reduce(copy, reduction);
      if (!copy.shares_memory_with(x)) x.copy_from(copy);
      return std::make_unique<DoneTransfer>();
    }
    void* const data = x.mutable_raw();
    auto begun = announce(
        {CollectiveKind::all_reduce, x.dtype(), static_cast<std::uint8_t>(reduction), true, 0, x.numel(), 1});
    add(*begun, {x}, [&](void* stream) {
      transport_->all_reduce(data, static_cast<std::size_t>(x.numel()), x.dtype(), reduction, stream);
    });
    return begun;
  }
  Tensor all_gather(const Tensor& x, std::vector<std::int64_t>* rows) override {
    check_rows(x);
    if (x.device() != link_.device) return host_->all_gather(x, rows);
    std::int64_t row_size = 1;
    for (int i = 1; i < x.rank(); ++i) row_size *= x.dim(i);
    auto begun = announce({CollectiveKind::all_gather, x.dtype(), 0, true, 0, x.dim(0), row_size});
    begun->announcement->wait_for_ranks();
    const std::vector<std::int64_t>& counts = begun->announcement->rows();
    Tensor all = empty_rows(x, counts);
    std::vector<std::size_t> bytes;
    for (const std::int64_t count : counts)
      bytes.push_back(static_cast<std::size_t>(count * row_size) * size_of(x.dtype()));
    add(*begun, {x, all},
        [&](void* stream) { transport_->all_gather(x.raw(), all.mutable_raw(), bytes, stream); });
    begun->wait();
    if (rows) *rows = counts;
    return all;
  }
  void broadcast(Tensor& x, int root) override {
    check_rank(root, size());
    require<ShapeError>(x.defined(), "[broadcast] of an undefined tensor");
    if (x.device() != link_.device) return host_->broadcast(x, root);
    void* const data = x.mutable_raw();
    auto begun = announce({CollectiveKind::broadcast, x.dtype(), 0, true, root, x.numel(), 1});
    add(*begun, {x}, [&](void* stream) { transport_->broadcast(data, x.bytes(), root, stream); });
    begun->wait();
  }
  void barrier() override { host_->barrier(); }
  double seconds_waiting() const override { return host_->seconds_waiting(); }
  std::string leave(const std::string& why) noexcept override { return host_->leave(why); }
  void end_all(int code) noexcept override { host_->end_all(code); }

 private:
  struct DoneTransfer final : Transfer {
    void wait() override {}
  };
  struct DeviceTransfer final : Transfer {
    explicit DeviceTransfer(DeviceCommunicator& owner_) : owner(owner_) {}
    void wait() override {
      announcement->wait_for_ranks();
      owner.check();
      owner.runtime().wait_for(*work->done());
    }
    DeviceCommunicator& owner;
    std::shared_ptr<DeviceWork> work;
    std::unique_ptr<Announcement> announcement;
  };

  DeviceRuntime& runtime() { return link_.runtime(); }

  void check() {
    const std::string failure = host_->failure();
    require<CommunicationError>(failure.empty(), failure);
  }

  std::unique_ptr<DeviceTransfer> announce(const CollectiveHeader& header) {
    require<CaptureError>(!runtime().is_capturing(), "[", kind_,
                          "] a captured step cannot wait for other processes");
    join();
    auto transfer = std::make_unique<DeviceTransfer>(*this);
    transfer->work = std::make_shared<DeviceWork>(runtime(), transport_);
    transfer->announcement = host_->announce(header, [work = transfer->work] { return work->look(); });
    return transfer;
  }

  /// Adds what `call` does to the queue of collectives.
  template <typename Call>
  void add(DeviceTransfer& transfer, std::vector<Tensor> operands, const Call& call) {
    auto ready = runtime().record();
    queue_->wait_for(*ready);
    transfer.work->begin(std::move(operands), std::move(ready));
    report_errors([&] { call(queue_->stream()); });
    transfer.work->set_done(queue_->record());
  }

  /// The devices of all ranks, once.
  void join() {
    if (transport_) return check();
    report_errors([&] {
      const std::string id = host_->share(rank() == 0 ? link_.make_id() : "");
      queue_ = runtime().make_queue();
      transport_ = link_.join(id, rank(), size());
    });
    host_->on_failure([this, transport = transport_] {
      aborted_ = true;
      abort_patiently(transport);
    });
    const auto ready = [transport = transport_] {
      return transport->ready() ? DeviceProgress::done : DeviceProgress::under_way;
    };
    host_->announce({CollectiveKind::start, DType::uint8, 0, true, 0, 0, 1}, ready)->wait_for_device();
  }

  /// The error of the library is this rank's failure, unless the library only reports that it was stopped.
  template <typename Call>
  void report_errors(const Call& call) {
    try {
      call();
    } catch (const std::exception& error) {
      check();
      host_->leave(error.what());
      throw CommunicationError(error.what());
    }
  }

  std::unique_ptr<HostCommunicator> host_;
  std::string kind_;
  DeviceLink link_;
  std::unique_ptr<DeviceQueue> queue_;
  std::shared_ptr<DeviceTransport> transport_;
  std::atomic<bool> aborted_ = false;
};

}  // namespace

std::unique_ptr<Communicator> make_device_communicator(std::unique_ptr<HostCommunicator> host,
                                                       std::string_view kind, DeviceLink link) {
  return std::make_unique<DeviceCommunicator>(std::move(host), kind, std::move(link));
}

}  // namespace fer::comm
