// Devices that are threads: the communicator that runs over NCCL, over messages in memory. The memory of such a
// device is the host's. Kernels and collectives run on queues of their own, as on a GPU.
//
//   on_device_ranks(3, {}, [&](Communicator& ranks, ThreadDevice& device) { ...; return 0; });
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <future>

#include "comm/device_communicator.h"
#include "fer/tensor/device_runtime.h"
#include "tests/support/thread_ranks.h"

namespace fer::test {

class ThreadEvent final : public DeviceEvent {
 public:
  struct State {
    std::promise<void> promise;
    std::shared_future<void> reached{promise.get_future()};
  };
  void wait() override { state->reached.wait(); }
  bool reached() override {
    return state->reached.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  }
  std::shared_ptr<State> state = std::make_shared<State>();
};

/// Runs tasks in order. Like a stream, it can be destroyed while it works.
class ThreadQueue final : public DeviceQueue {
 public:
  ThreadQueue() {
    std::thread([state = state_] {
      while (true) {
        std::unique_lock lock(state->mutex);
        state->changed.wait(lock, [&] { return state->closing || !state->tasks.empty(); });
        if (state->tasks.empty()) return;
        const auto task = std::move(state->tasks.front());
        state->tasks.pop_front();
        lock.unlock();
        task();
      }
    }).detach();
  }
  ~ThreadQueue() override {
    const std::lock_guard lock(state_->mutex);
    state_->closing = true;
    state_->changed.notify_all();
  }
  void add(std::function<void()> task) {
    const std::lock_guard lock(state_->mutex);
    state_->tasks.push_back(std::move(task));
    state_->changed.notify_all();
  }

  void* stream() override { return this; }
  void wait_for(DeviceEvent& event) override {
    add([reached = static_cast<ThreadEvent&>(event).state->reached] { reached.wait(); });
  }
  std::unique_ptr<DeviceEvent> record() override {
    auto event = std::make_unique<ThreadEvent>();
    add([state = event->state] { state->promise.set_value(); });
    return event;
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::function<void()>> tasks;
    bool closing = false;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

class ThreadDevice final : public DeviceRuntime {
 public:
  /// queued: kernels run later, in a thread. Otherwise they run at once, as those of the device cpu do, so that the
  /// host also sees the result of a collective after wait().
  explicit ThreadDevice(bool queued) : queued_(queued) {}
  void launch(std::function<void()> kernel) { kernels_.add(std::move(kernel)); }

  void enter_thread() override {}
  bool is_capturing() const override { return capturing; }
  std::unique_ptr<DeviceEvent> record() override { return kernels_.record(); }
  void wait_for(DeviceEvent& event) override {
    if (!queued_) return event.wait();
    kernels_.wait_for(event);
  }
  std::unique_ptr<DeviceQueue> make_queue() override { return std::make_unique<ThreadQueue>(); }

  void begin_capture() override {}
  std::unique_ptr<DeviceGraph> end_capture() override { return nullptr; }
  void abandon_capture() noexcept override {}
  double seconds_between(DeviceEvent&, DeviceEvent&) override { return 0; }
  std::shared_ptr<void> pinned_memory(std::size_t) override { return nullptr; }
  std::unique_ptr<DeviceEvent> copy_beside(void*, const void*, std::size_t, DeviceEvent*) override {
    return nullptr;
  }
  void set_math_mode(MathMode) override {}
  MathMode math_mode() const override { return MathMode::native; }

  bool capturing = false;

 private:
  bool queued_;
  ThreadQueue kernels_;
};

struct DeviceOptions {
  bool queued = false;  ///< see ThreadDevice
  std::chrono::milliseconds time_limit{60'000};
  std::shared_ptr<Mailboxes> between_hosts = std::make_shared<Mailboxes>();
  /// Called on the queue before each collective: may throw, as the library may fail, or wait.
  std::function<void(int rank)> before = [](int) {};
  std::function<void(int rank)> after = [](int) {};                       ///< called after it
  std::function<void(int rank)> on_abort = [](int) {};                    ///< of the library
  std::function<void(int rank, const std::string& report)> on_lost = {};  ///< see CommunicatorOptions
  std::function<void()> on_end = std::abort;  ///< instead of the program's end after it
};

class ThreadDeviceTransport final : public comm::DeviceTransport {
 public:
  ThreadDeviceTransport(const std::shared_ptr<Mailboxes>& mailboxes, int rank, int size,
                        DeviceOptions options)
      : shared_(std::make_shared<Shared>()) {
    shared_->rank = rank;
    shared_->options = std::move(options);
    std::promise<std::shared_ptr<Communicator>> joined;
    shared_->ranks = joined.get_future().share();
    std::thread([mailboxes, rank, size, promise = std::move(joined)]() mutable {
      try {
        promise.set_value(thread_communicator(mailboxes, rank, size, {std::chrono::seconds(5)}));
      } catch (...) {
        promise.set_exception(std::current_exception());
      }
    }).detach();
  }

  bool ready() override {
    {
      const std::lock_guard lock(shared_->mutex);
      if (!shared_->error.empty()) throw std::runtime_error(shared_->error);
    }
    return shared_->ranks.wait_for(std::chrono::seconds(0)) == std::future_status::ready &&
           shared_->ranks.get();
  }
  void all_reduce(void* data, std::size_t count, DType dtype, Reduction reduction, void* stream) override {
    add(stream, [=](Communicator& ranks) {
      Tensor x = Tensor::from_blob(data, {static_cast<std::int64_t>(count)}, dtype);
      ranks.all_reduce(x, reduction);
    });
  }
  void all_gather(const void* mine, void* all, const std::vector<std::size_t>& bytes, void* stream) override {
    add(stream, [=](Communicator& ranks) {
      const auto own = static_cast<std::int64_t>(bytes[static_cast<std::size_t>(ranks.rank())]);
      const Tensor rows = ranks.all_gather(Tensor::from_blob(mine, {own}, DType::uint8));
      if (rows.bytes() > 0) std::memcpy(all, rows.raw(), rows.bytes());
    });
  }
  void broadcast(void* data, std::size_t bytes, int root, void* stream) override {
    add(stream, [=](Communicator& ranks) {
      Tensor x = Tensor::from_blob(data, {static_cast<std::int64_t>(bytes)}, DType::uint8);
      ranks.broadcast(x, root);
    });
  }
  void abort() noexcept override {
    shared_->options.on_abort(shared_->rank);
    if (shared_->ranks.wait_for(std::chrono::seconds(0)) == std::future_status::ready) try {
        shared_->ranks.get()->leave("it was aborted");
      } catch (const std::exception&) {  // never joined
      }
  }

 private:
  struct Shared {
    int rank;
    DeviceOptions options;
    std::shared_future<std::shared_ptr<Communicator>> ranks;
    std::mutex mutex;
    std::string error;
  };

  void add(void* stream, std::function<void(Communicator&)> collective) {
    static_cast<ThreadQueue*>(stream)->add([shared = shared_, collective] {
      try {
        shared->options.before(shared->rank);
        collective(*shared->ranks.get());
        shared->options.after(shared->rank);
      } catch (const std::exception& error) {
        const std::lock_guard lock(shared->mutex);
        if (shared->error.empty()) shared->error = error.what();
      }
    });
  }

  std::shared_ptr<Shared> shared_;
};

/// body(communicator, device) in a thread for each rank, as on_ranks. Tensors on the device cpu are the device's.
template <typename Body>
auto on_device_ranks(int size, DeviceOptions options, const Body& body) {
  const auto between_devices = std::make_shared<Mailboxes>();
  return in_threads(size, [&](int rank) {
    ThreadDevice device(options.queued);
    comm::DeviceLink link{
        Device::cpu, "threads", [&]() -> DeviceRuntime& { return device; }, [] { return std::string("id"); },
        [&](const std::string& id, int own, int all) -> std::unique_ptr<comm::DeviceTransport> {
          require<CommunicationError>(id == "id", "the id is '", id, "'");
          return std::make_unique<ThreadDeviceTransport>(between_devices, own, all, options);
        }};
    CommunicatorOptions of_hosts{options.time_limit};
    if (options.on_lost)
      of_hosts.on_lost = [&, rank](const std::string& report) { options.on_lost(rank, report); };
    const auto ranks = comm::make_device_communicator(
        thread_communicator(options.between_hosts, rank, size, of_hosts, options.on_end), "devices",
        std::move(link));
    return body(*ranks, device);
  });
}

}  // namespace fer::test
