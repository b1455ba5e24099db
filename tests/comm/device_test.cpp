// Collectives between devices: their order with kernels, the life of their memory, and what happens when a rank, a
// device or the library fails. Ranks and devices are threads.
#include <doctest/doctest.h>

#include <algorithm>

#include "tests/support/thread_devices.h"

using fer::Communicator;
using fer::DType;
using fer::Tensor;
using fer::test::DeviceOptions;
using fer::test::on_device_ranks;
using fer::test::ThreadDevice;

namespace {

using Strings = std::vector<std::string>;

/// What queued kernels wait for.
class Gate {
 public:
  void open() { promise_.set_value(); }

 private:
  std::promise<void> promise_;

 public:
  const std::shared_future<void> opened = promise_.get_future().share();
};

/// The error of `body`; empty if there is none.
template <typename Body>
std::string error_of(const Body& body) {
  try {
    body();
    return "";
  } catch (const fer::CommunicationError& error) {
    return error.what();
  }
}

Tensor eight() {
  return Tensor::zeros({8});
}

std::vector<float> values_once_computed(ThreadDevice& device, const Tensor& x) {
  std::promise<std::vector<float>> values;
  device.launch([&] { values.set_value(x.to_vector<float>()); });
  return values.get_future().get();
}

DeviceOptions short_limit() {
  return {.queued = true, .time_limit = std::chrono::seconds(1)};
}

const std::string sum_of_eight = "all_reduce sum of 8 float32 on the device";

}  // namespace

TEST_CASE(
    "device: a collective runs between the kernels before it and those after, and the host waits for "
    "neither") {
  on_device_ranks(3, {.queued = true}, [](Communicator& ranks, ThreadDevice& device) {
    Gate gate;  // opened when all work has been submitted
    Tensor sum = eight(), rows = Tensor::zeros({ranks.rank() + 1, 2}), sent = eight();
    device.launch([&, opened = gate.opened] {
      opened.wait();
      sum.fill(ranks.rank() + 1);
      rows.fill(ranks.rank() + 1);
      sent.fill(ranks.rank() + 1);
    });
    const auto transfer = ranks.start_all_reduce(sum);
    const Tensor all = ranks.all_gather(rows);
    ranks.broadcast(sent, 2);
    transfer->wait();
    Tensor twice = eight();
    device.launch([&] { twice.copy_from(sum); });
    gate.open();
    CHECK(values_once_computed(device, twice) == std::vector<float>(8, 6));
    CHECK(values_once_computed(device, sent) == std::vector<float>(8, 3));
    CHECK(values_once_computed(device, all) == std::vector<float>{1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3});
    return 0;
  });
}

TEST_CASE("device: a collective keeps its memory until the device is done, though nobody waits for it") {
  const auto released = std::make_shared<std::atomic<int>>(0);
  on_device_ranks(2, {.queued = true}, [&](Communicator& ranks, ThreadDevice& device) {
    Gate gate;
    device.launch([opened = gate.opened] { opened.wait(); });
    ranks.start_all_reduce(Tensor::from_blob(static_cast<void*>(new float[8]()), {8}, DType::float32,
                                             fer::Device::cpu, [released](void* data) {
                                               delete[] static_cast<float*>(data);
                                               ++*released;
                                             }));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    CHECK(*released == 0);
    ranks.barrier();
    gate.open();
    return 0;
  });
  CHECK(*released == 2);  // the communicators have waited for it
}

TEST_CASE("device: slow kernels are no lost rank") {
  on_device_ranks(2, short_limit(), [](Communicator& ranks, ThreadDevice& device) {
    Tensor x = eight();
    ranks.barrier();
    device.launch([] { std::this_thread::sleep_for(std::chrono::milliseconds(2000)); });
    const auto transfer = ranks.start_all_reduce(x);
    transfer->wait();
    values_once_computed(device, x);
    ranks.barrier();
    return 0;
  });
}

TEST_CASE("device: a rank that computes for longer than the time limit is waited for") {
  on_device_ranks(3, short_limit(), [](Communicator& ranks, ThreadDevice& device) {
    Tensor x = Tensor::full({8}, 1);
    ranks.all_reduce(x);
    if (ranks.rank() == 2) std::this_thread::sleep_for(std::chrono::milliseconds(2000));
    ranks.all_reduce(x);
    CHECK(values_once_computed(device, x) == std::vector<float>(8, 9));
    return 0;
  });
}

TEST_CASE("device: a rank that is stopped before the collective") {
  DeviceOptions options = short_limit();
  Gate end;
  std::atomic<int> ended = 0;
  const Strings errors = on_device_ranks(3, options, [&](Communicator& ranks, ThreadDevice&) -> std::string {
    Tensor x = eight();
    ranks.all_reduce(x);
    ranks.barrier();
    if (ranks.rank() == 2) {
      options.between_hosts->cut_off(2);
      end.opened.wait();
      return "";
    }
    const std::string error = error_of([&] { ranks.all_reduce(x); });
    CHECK(error_of([&] { ranks.broadcast(x); }) == error);
    if (++ended == 2) end.open();
    return error;
  });
  const std::string expected = "[" + sum_of_eight + "] rank 2 (thread) has not answered for 1 s";
  CHECK(errors == Strings{expected, expected, ""});
}

TEST_CASE("device: a rank that is lost while data travel") {
  DeviceOptions options = short_limit();
  Gate end;
  options.before = [opened = end.opened, hosts = options.between_hosts](int rank) {
    if (rank != 2) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));  // all have said that they call it
    hosts->cut_off(2);
    opened.wait();
  };
  std::atomic<int> aborted = 0;
  options.on_abort = [&](int) { ++aborted; };
  std::atomic<int> ended = 0;
  const Strings errors =
      on_device_ranks(3, options, [&](Communicator& ranks, ThreadDevice& device) -> std::string {
        Tensor x = eight();
        ranks.all_reduce(x);  // the host goes on
        if (ranks.rank() == 2) {
          end.opened.wait();
          return "";
        }
        values_once_computed(device, x);  // ends, because the library is stopped
        const std::string error = error_of([&] { ranks.barrier(); });
        if (++ended == 2) end.open();
        return error;
      });
  const std::string expected = "[" + sum_of_eight + "] rank 2 (thread) has not answered for 1 s";
  CHECK(errors == Strings{expected, expected, ""});
  CHECK(aborted == 3);
}

TEST_CASE("device: a rank whose kernels hang") {
  const auto gate = std::make_shared<Gate>();
  std::atomic<int> failed = 0;
  const Strings errors = on_device_ranks(3, short_limit(), [&](Communicator& ranks, ThreadDevice& device) {
    Tensor x = eight();
    if (ranks.rank() == 2) device.launch([gate] { gate->opened.wait(); });
    const std::string error = error_of([&] {
      ranks.all_reduce(x);
      std::this_thread::sleep_for(std::chrono::milliseconds(2000));
      ranks.barrier();
    });
    if (++failed == 3) gate->open();
    return error;
  });
  const std::string expected =
      "[" + sum_of_eight + "] the device of rank 2 (thread) has not answered for 1 s";
  CHECK(errors == Strings(3, expected));
}

TEST_CASE("device: a collective that hangs though all devices have begun it") {
  DeviceOptions options = short_limit();
  Gate end;
  options.after = [opened = end.opened](int rank) {
    if (rank < 2) opened.wait();
  };
  std::atomic<int> failed = 0;
  const Strings errors = on_device_ranks(3, options, [&](Communicator& ranks, ThreadDevice&) {
    Tensor x = eight();
    const std::string error = error_of([&] {
      ranks.broadcast(x, 2);  // rank 2 is done, and has no other collective under way
      std::this_thread::sleep_for(std::chrono::milliseconds(2000));
      ranks.barrier();
    });
    if (++failed == 3) end.open();
    return error;
  });
  CHECK(errors == Strings(3,
                          "[broadcast of 8 float32 from rank 2 on the device] the devices have not "
                          "answered for 1 s"));
}

TEST_CASE("device: a rank whose kernels hang ends the run, though its program waits for its device") {
  const auto gate = std::make_shared<Gate>();
  std::mutex mutex;
  Strings reports(3);
  DeviceOptions options = short_limit();
  options.on_lost = [&, gate](int rank, const std::string& report) {
    const std::lock_guard lock(mutex);
    reports[static_cast<std::size_t>(rank)] = report;
  };
  std::atomic<int> ends = 0;
  options.on_end = [&, gate] {
    if (++ends == 1) gate->open();
  };
  on_device_ranks(3, options, [&](Communicator& ranks, ThreadDevice& device) {
    Tensor x = eight();
    if (ranks.rank() == 2) device.launch([gate] { gate->opened.wait(); });
    error_of([&] { ranks.all_reduce(x); });
    values_once_computed(device, x);
    return 0;
  });
  CHECK(reports ==
        Strings{"[" + sum_of_eight + "] the device of rank 2 (thread) has not answered for 1 s", "", ""});
}

TEST_CASE("device: a library that fails") {
  DeviceOptions options{.queued = true};
  options.before = [](int rank) {
    fer::require<fer::Error>(rank != 1, "NCCL 2.28.9: unhandled system error");
  };
  const Strings errors = on_device_ranks(2, options, [](Communicator& ranks, ThreadDevice& device) {
    Tensor x = eight();
    return error_of([&] {
      ranks.all_reduce(x);
      values_once_computed(device, x);
      ranks.barrier();
      ranks.barrier();
    });
  });
  CHECK(errors == Strings(2, "rank 1 (thread) failed: NCCL 2.28.9: unhandled system error"));
}

TEST_CASE("device: a library that hangs while it is stopped does not keep the program") {
  Gate end;
  DeviceOptions options = short_limit();
  options.on_abort = [opened = end.opened](int) { opened.wait(); };
  const auto start = std::chrono::steady_clock::now();
  const Strings errors = on_device_ranks(2, options, [](Communicator& ranks, ThreadDevice&) -> std::string {
    Tensor x = eight();
    ranks.all_reduce(x);
    ranks.leave("enough");
    return error_of([&] { ranks.all_reduce(x); });
  });
  CHECK(errors[0].ends_with("enough"));
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(15));
  end.open();
}

TEST_CASE("device: a rank that fails, ends, or calls another collective") {
  const auto errors = [](const std::function<void(Communicator&)>& last) {
    return on_device_ranks(3, {.queued = true}, [&](Communicator& ranks, ThreadDevice&) -> std::string {
      Tensor x = eight();
      ranks.all_reduce(x);
      if (ranks.rank() < 2) return error_of([&] { ranks.all_reduce(x); });
      return error_of([&] { last(ranks); });
    });
  };
  const auto check = [](const Strings& seen, const std::string& error) {
    CHECK(seen[0] == error);
    CHECK(seen[1] == error);
  };
  check(errors([](Communicator& ranks) { ranks.leave("a picture is missing"); }),
        "rank 2 (thread) failed: a picture is missing");
  check(errors([](Communicator&) {}), "rank 2 (thread) has ended and does not take part in " + sum_of_eight);
  for (const std::string& error : errors([](Communicator& ranks) {
         Tensor x = Tensor::zeros({9});
         ranks.all_reduce(x);
       }))
    CHECK_MESSAGE(error.find("all_reduce sum of 9 float32 on the device") != std::string::npos, error);
}

TEST_CASE("device: a captured step cannot wait for other processes") {
  on_device_ranks(2, {}, [](Communicator& ranks, ThreadDevice& device) {
    Tensor x = eight();
    device.capturing = true;
    CHECK_THROWS_WITH_AS(ranks.all_reduce(x), "[devices] a captured step cannot wait for other processes",
                         fer::CaptureError);
    device.capturing = false;
    ranks.all_reduce(x);
    return 0;
  });
}

TEST_CASE("device: what the communicator says of itself") {
  on_device_ranks(2, {}, [](Communicator& ranks, ThreadDevice&) {
    CHECK(ranks.kind() == "devices");
    CHECK(ranks.describe() ==
          fer::concat("rank ", ranks.rank(),
                      " of 2 on thread (threads: threads of one process; devices: threads)"));
    CHECK(ranks.host_of(1) == "thread");
    return 0;
  });
}
