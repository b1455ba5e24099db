// Collectives, in one process or in as many as a launcher has started: ctest runs this suite alone, and under
// mpirun with two and three ranks. Alone, it also runs on ranks that are threads: over messages, and over messages
// between hosts and another transport between devices. With FER_TEST_DEVICES=cuda the tensors are on GPUs, of which
// each rank takes its own (scripts/gpu-check).
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <string_view>

#include "fer/tensor/communicator.h"
#include "fer/tensor/device_runtime.h"
#include "tests/support/thread_devices.h"

using fer::Communicator;
using fer::Device;
using fer::DType;
using fer::Reduction;
using fer::Tensor;

namespace {

Device tested_device() {
  const char* devices = std::getenv("FER_TEST_DEVICES");
  return devices && std::string_view(devices) == "cuda" ? Device::cuda : Device::cpu;
}

Communicator& launched() {
  static const auto made = [] {
    auto ranks = fer::make_communicator({std::chrono::milliseconds(20'000), tested_device()});
    if (tested_device() == Device::cuda) fer::select_gpu(ranks->rank());  // of one machine
    return ranks;
  }();
  return *made;
}

/// Where a test runs.
struct Ranks {
  Communicator& all;
  Device device;

  int size() const { return all.size(); }
  int me() const { return all.rank(); }
  /// NCCL chooses the order of sums.
  bool in_order() const { return all.kind() != "nccl"; }

  template <typename T>
  Tensor tensor(const fer::Shape& shape, const std::vector<T>& values) const {
    return Tensor::from(shape, values).to(device);
  }
  Tensor full(const fer::Shape& shape, double value, DType dtype = DType::float32) const {
    return Tensor::full(shape, value, dtype).to(device);
  }
};

void everywhere(const std::function<void(const Ranks&)>& test) {
  test({launched(), tested_device()});
  if (launched().size() > 1 || tested_device() == Device::cuda) return;
  for (const int size : {2, 3}) {
    fer::test::on_ranks(size, [&](Communicator& ranks) { return test({ranks, Device::cpu}), 0; });
    fer::test::on_device_ranks(size, {}, [&](Communicator& ranks, fer::test::ThreadDevice&) {
      return test({ranks, Device::cpu}), 0;
    });
  }
}

/// Values of many magnitudes, so that their sum depends on its order; other ones on each rank.
std::vector<float> values_of(int rank, std::int64_t count) {
  std::vector<float> values;
  std::uint64_t state = 88172645463325252u + static_cast<std::uint64_t>(rank) * 7919;
  for (std::int64_t i = 0; i < count; ++i) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    values.push_back(static_cast<float>(static_cast<std::int64_t>(state % 2001) - 1000) *
                     (state % 3 == 0   ? 1e-6f
                      : state % 3 == 1 ? 1.1f
                                       : 3e5f));
  }
  return values;
}

std::vector<float> sum_in_order(int ranks, std::int64_t count) {
  std::vector<float> sum = values_of(0, count);
  for (int rank = 1; rank < ranks; ++rank) {
    const std::vector<float> values = values_of(rank, count);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += values[i];
  }
  return sum;
}

void check_sum(const Ranks& ranks, const Tensor& x) {
  const std::vector<float> sum = x.to_vector<float>(), expected = sum_in_order(ranks.size(), x.numel());
  if (ranks.in_order()) {
    CHECK_MESSAGE(sum == expected, x.numel(), " elements");
    return;
  }
  double largest = 0;  // values are at most 3e8
  for (std::size_t i = 0; i < sum.size(); ++i)
    largest = std::max(largest, std::abs(double{sum[i]} - double{expected[i]}));
  CHECK_MESSAGE(largest <= 3e8 * 1.2e-7 * ranks.size(), x.numel(), " elements");
}

}  // namespace

TEST_SUITE_BEGIN("collectives");

TEST_CASE("sums are taken in the order of the ranks, bit for bit, at every size") {
  everywhere([](const Ranks& ranks) {
    for (const std::int64_t count : {0, 1, 2, 1000, 8191, 8192, 8193, 300'001}) {
      std::vector<float> first;
      for (int run = 0; run < 2; ++run) {
        Tensor x = ranks.tensor({count}, values_of(ranks.me(), count));
        ranks.all.all_reduce(x);
        check_sum(ranks, x);
        if (run == 0) first = x.to_vector<float>();
        CHECK(x.to_vector<float>() == first);
      }
    }
  });
}

TEST_CASE("reductions of every type") {
  everywhere([](const Ranks& ranks) {
    const int n = ranks.size(), me = ranks.me();
    const auto reduced = [&](DType dtype, double mine, Reduction reduction) {
      Tensor x = ranks.full({3}, mine, dtype);
      ranks.all.all_reduce(x, reduction);
      return x.to(DType::float64).to_vector<double>().at(2);
    };
    for (const DType dtype : {DType::float32, DType::float64, DType::int64}) {
      CHECK(reduced(dtype, me + 1, Reduction::sum) == n * (n + 1) / 2);
      CHECK(reduced(dtype, me + 1, Reduction::min) == 1);
      CHECK(reduced(dtype, me + 1, Reduction::max) == n);
    }
    CHECK(reduced(DType::uint8, 1 << me, Reduction::bit_or) == (1 << n) - 1);
    CHECK(reduced(DType::int64, 1 << me, Reduction::bit_or) == (1 << n) - 1);
    CHECK(reduced(DType::uint8, me, Reduction::max) == n - 1);
  });
}

TEST_CASE("bfloat16 is added in float32 and rounded once") {
  everywhere([](const Ranks& ranks) {
    // Rank 0 has 256, the others 1 each: a bfloat16 near 256 has steps of 2, so 256 + 1 + 1 rounded twice is 256.
    Tensor x = ranks.full({40'000}, ranks.me() == 0 ? 256 : 1, DType::bfloat16);
    ranks.all.all_reduce(x);
    const float expected = static_cast<float>(Tensor::scalar(255.0 + ranks.size(), DType::bfloat16).item());
    if (ranks.size() == 3) CHECK(expected == 258);
    const std::vector<float> sum = x.to(DType::float32).to_vector<float>();
    if (ranks.in_order()) CHECK(sum == std::vector<float>(40'000, expected));
    for (const float value : {sum.front(), sum.back()}) CHECK(std::abs(value - expected) <= 2.0f);
  });
}

TEST_CASE("operands that a reduction does not take") {
  everywhere([](const Ranks& ranks) {
    Tensor bytes = ranks.full({2}, 0, DType::uint8), floats = ranks.full({2}, 0),
           half = ranks.full({2}, 0, DType::float16);
    CHECK_THROWS_WITH_AS(ranks.all.all_reduce(bytes), "[all_reduce] sum does not take uint8", fer::TypeError);
    CHECK_THROWS_WITH_AS(ranks.all.all_reduce(floats, Reduction::bit_or),
                         "[all_reduce] bit_or does not take float32", fer::TypeError);
    CHECK_THROWS_AS(ranks.all.all_reduce(half), fer::TypeError);
    CHECK_THROWS_AS(ranks.all.broadcast(floats, ranks.size()), fer::ConfigError);
    Tensor none;
    CHECK_THROWS_AS(ranks.all.broadcast(none), fer::ShapeError);
    CHECK_THROWS_AS(ranks.all.all_gather(Tensor::scalar(1)), fer::ShapeError);
  });
}

TEST_CASE("all_gather takes different numbers of rows, also none") {
  everywhere([](const Ranks& ranks) {
    const int n = ranks.size(), me = ranks.me();
    for (const bool even : {true, false}) {
      const auto rows_of = [&](int rank) {
        return even || n == 1 ? 2 : rank * 3;
      };  // uneven: rank 0 has none
      std::vector<std::int64_t> rows, expected_rows;
      std::vector<double> expected;
      for (int rank = 0; rank < n; ++rank) {
        expected_rows.push_back(rows_of(rank));
        expected.insert(expected.end(), static_cast<std::size_t>(rows_of(rank)) * 4, rank + 0.5);
      }
      const Tensor all =
          ranks.all.all_gather(ranks.full({rows_of(me), 2, 2}, me + 0.5, DType::float64), &rows);
      CHECK(rows == expected_rows);
      CHECK(all.rank() == 3);
      CHECK(all.device() == ranks.device);
      CHECK(all.to_vector<double>() == expected);
    }
    CHECK(ranks.all.all_gather(ranks.full({0, 5}, 1)).numel() == 0);
  });
}

TEST_CASE("broadcast from each rank") {
  everywhere([](const Ranks& ranks) {
    for (int root = 0; root < ranks.size(); ++root) {
      Tensor x = ranks.full({70'000}, ranks.me() * 10 + 1);
      ranks.all.broadcast(x, root);
      CHECK(x.to_vector<float>() == std::vector<float>(70'000, static_cast<float>(root * 10 + 1)));
    }
  });
}

TEST_CASE("text of a rank and of all, also an empty one") {
  everywhere([](const Ranks& ranks) {
    for (int root = 0; root < ranks.size(); ++root) {
      const std::string mine = "from rank " + std::string(static_cast<std::size_t>(ranks.me()), 'r');
      CHECK(ranks.all.share(mine, root) == "from rank " + std::string(static_cast<std::size_t>(root), 'r'));
      CHECK(ranks.all.share("", root).empty());
    }
    // Of every rank, with lengths from 0 on.
    const std::vector<std::string> texts =
        ranks.all.share_all(std::string(static_cast<std::size_t>(ranks.all.rank()), 'r'));
    REQUIRE(texts.size() == static_cast<std::size_t>(ranks.all.size()));
    for (std::size_t rank = 0; rank < texts.size(); ++rank) CHECK(texts[rank] == std::string(rank, 'r'));
  });
}

TEST_CASE("one decision for all") {
  everywhere([](const Ranks& ranks) {
    CHECK(ranks.all.agree(ranks.me() == ranks.size() - 1 ? 15 : 0) == 15);
    CHECK(ranks.all.agree(ranks.me() + 3, Reduction::min) == 3);
    ranks.all.barrier();
  });
}

TEST_CASE("buckets travel while others are computed") {
  everywhere([](const Ranks& ranks) {
    std::vector<Tensor> buckets;
    std::vector<std::unique_ptr<fer::Transfer>> transfers;
    for (int i = 0; i < 20; ++i) {
      buckets.push_back(ranks.tensor({20'000 + i}, values_of(ranks.me(), 20'000 + i)));
      transfers.push_back(ranks.all.start_all_reduce(buckets.back()));
    }
    for (std::size_t i = buckets.size(); i-- > 0;) {  // in any order
      transfers[i]->wait();
      check_sum(ranks, buckets[i]);
    }
  });
}

TEST_SUITE_END();
