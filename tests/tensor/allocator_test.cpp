#include <doctest/doctest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "fer/error.h"
#include "fer/tensor/tensor.h"
#include "tensor/caching_allocator.h"

namespace fer {
namespace {

// Counts what is taken from the system and refuses beyond `room` bytes.
struct System {
  std::size_t room = SIZE_MAX, held = 0, calls = 0;

  CachingAllocator allocator(CachingAllocator::Caching caching = CachingAllocator::Caching::on) {
    return {"test",
            [this](std::size_t bytes) -> void* {
              if (held + bytes > room) return nullptr;
              ++calls;
              held += bytes;
              return std::malloc(bytes);
            },
            [this](void* data, std::size_t bytes) {
              held -= bytes;
              std::free(data);
            },
            {},
            caching};
  }
};

bool caching() {
  const char* off = std::getenv("FER_NO_CACHE");
  const bool on = !(off && std::string(off) == "1");
  if (!on) MESSAGE("skipped: FER_NO_CACHE=1 keeps nothing");
  return on;
}

TEST_CASE("a released block serves the next request of its size") {
  if (!caching()) return;
  System system;
  CachingAllocator allocator = system.allocator();
  void* first = allocator.allocate(1000);
  allocator.release(first, 1000);
  CHECK(allocator.allocate(900) == first);  // sizes within a grain of 256 bytes share blocks
  CHECK(system.calls == 1);
  void* second = allocator.allocate(1000);
  CHECK(second != first);
  CHECK(system.calls == 2);
  allocator.release(first, 900);
  allocator.release(second, 1000);
}

TEST_CASE("statistics follow live, peak and reserved bytes") {
  if (!caching()) return;
  System system;
  CachingAllocator allocator = system.allocator();
  void* a = allocator.allocate(256);
  void* b = allocator.allocate(512);
  CHECK(allocator.stats().live == 768);
  CHECK(allocator.stats().reserved == 768);
  allocator.release(a, 256);
  CHECK(allocator.stats().live == 512);
  CHECK(allocator.stats().peak == 768);
  CHECK(allocator.stats().reserved == 768);
  allocator.reset_peak();
  CHECK(allocator.stats().peak == 512);
  allocator.trim();
  CHECK(allocator.stats().reserved == 512);
  CHECK(system.held == 512);
  allocator.release(b, 512);
  allocator.trim();
  CHECK(system.held == 0);
  CHECK(allocator.stats().live == 0);
}

TEST_CASE("at most an eighth of a large block is wasted") {
  System system;
  CachingAllocator allocator = system.allocator();
  for (std::size_t bytes : {3000u, 4097u, 100000u, 1234567u}) {
    CAPTURE(bytes);
    const std::size_t before = system.held;
    void* data = allocator.allocate(bytes);
    CHECK(system.held - before >= bytes);
    CHECK(system.held - before <= bytes + bytes / 8);
    allocator.release(data, bytes);
  }
}

TEST_CASE("without caching blocks have the size that was asked for, and go back at once") {
  System system;
  CachingAllocator allocator = system.allocator(CachingAllocator::Caching::off);
  void* data = allocator.allocate(1234567);
  CHECK(system.held == 1234567);
  CHECK(allocator.stats().live == 1234567);
  CHECK(allocator.stats().reserved == 1234567);
  allocator.release(data, 1234567);
  CHECK(system.held == 0);
  CHECK(allocator.stats().live == 0);
  CHECK(allocator.stats().reserved == 0);
  CHECK(allocator.stats().peak == 1234567);
}

TEST_CASE("cached blocks are returned to the device before an out-of-memory error") {
  if (!caching()) return;
  System system;
  system.room = 4096;
  CachingAllocator allocator = system.allocator();
  void* small = allocator.allocate(2048);
  allocator.release(small, 2048);
  void* large = allocator.allocate(4096);  // only fits once the kept 2048 are given back
  CHECK(large != nullptr);
  CHECK(system.held == 4096);
  CHECK_THROWS_WITH_AS(allocator.allocate(1 << 20),
                       "device test is out of memory: 1.0 MiB asked for, 0.0 MiB in use. A smaller batch or "
                       "gradient checkpointing needs less.",
                       DeviceError);
  allocator.release(large, 4096);
}

TEST_CASE("a limit holds, and the error names it") {
  System system;
  CachingAllocator allocator = system.allocator();
  allocator.set_limit(3 << 20);
  CHECK(allocator.stats().limit == 3u << 20);
  void* data = allocator.allocate(2 << 20);
  CHECK_THROWS_WITH_AS(
      allocator.allocate(2 << 20),
      "device test is out of memory: 2.0 MiB asked for, 2.0 MiB in use of a limit of 3.0 MiB. A "
      "smaller batch or gradient checkpointing needs less.",
      DeviceError);
  allocator.release(data, 2 << 20);
  void* other = allocator.allocate(3 << 20);  // what was kept makes room
  CHECK(other != nullptr);
  allocator.release(other, 3 << 20);
}

TEST_CASE("the CPU's memory is aligned to cache lines and counted") {
  Backend& cpu = backend(Device::cpu);
  std::vector<Tensor> tensors;
  const std::size_t before = cpu.memory_stats().live;
  for (std::int64_t n : {1, 3, 100, 1000, 100001}) {
    tensors.push_back(Tensor::empty({n}));
    CHECK(reinterpret_cast<std::uintptr_t>(tensors.back().raw()) % 64 == 0);
  }
  CHECK(cpu.memory_stats().live == before + 4 * (1 + 3 + 100 + 1000 + 100001));
  cpu.reset_peak_memory();
  const std::size_t peak = cpu.memory_stats().peak;
  CHECK(peak == cpu.memory_stats().live);
  tensors.clear();
  CHECK(cpu.memory_stats().live == before);
  CHECK(cpu.memory_stats().peak == peak);
}

TEST_CASE("a training-like loop holds no memory after its steps") {
  Backend& cpu = backend(Device::cpu);
  const MemoryStats before = cpu.memory_stats();
  for (int i = 0; i < 10; ++i) {
    const Tensor a = Tensor::zeros({1000, 30}), b = Tensor::zeros({77}), c = a.clone();
    CHECK(c.to_vector<float>()[0] == 0);
  }
  CHECK(cpu.memory_stats().live == before.live);
  CHECK(cpu.memory_stats().reserved == before.reserved);
}

}  // namespace
}  // namespace fer
