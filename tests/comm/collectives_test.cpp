// Collectives, in one process or in as many as a launcher has started: ctest runs this suite alone, and under
// mpirun with two and three ranks.
#include <doctest/doctest.h>

#include "fer/tensor/communicator.h"

using fer::DType;
using fer::Reduction;
using fer::Tensor;

namespace {

fer::Communicator& ranks() {
  static const auto made = fer::make_communicator({std::chrono::milliseconds(20'000)});
  return *made;
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

std::vector<float> sum_in_order(std::int64_t count) {
  std::vector<float> sum = values_of(0, count);
  for (int rank = 1; rank < ranks().size(); ++rank) {
    const std::vector<float> values = values_of(rank, count);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += values[i];
  }
  return sum;
}

}  // namespace

TEST_SUITE_BEGIN("collectives");

TEST_CASE("sums are taken in the order of the ranks, bit for bit, at every size") {
  for (const std::int64_t count : {0, 1, 2, 1000, 8191, 8192, 8193, 300'001}) {
    const std::vector<float> expected = sum_in_order(count);
    for (int run = 0; run < 2; ++run) {
      Tensor x = Tensor::from({count}, values_of(ranks().rank(), count));
      ranks().all_reduce(x);
      CHECK_MESSAGE(x.to_vector<float>() == expected, count, " elements");
    }
  }
}

TEST_CASE("reductions of every type") {
  const int n = ranks().size(), me = ranks().rank();
  const auto reduced = [&](DType dtype, double mine, Reduction reduction) {
    Tensor x = Tensor::full({3}, mine, dtype);
    ranks().all_reduce(x, reduction);
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
}

TEST_CASE("bfloat16 is added in float32 and rounded once") {
  // Rank 0 has 256, the others 1 each: a bfloat16 near 256 has steps of 2, so 256 + 1 + 1 rounded twice is 256.
  Tensor x = Tensor::full({40'000}, ranks().rank() == 0 ? 256 : 1, DType::bfloat16);
  ranks().all_reduce(x);
  const double expected = Tensor::scalar(255.0 + ranks().size(), DType::bfloat16).item();
  CHECK(x.to(DType::float32).to_vector<float>() == std::vector<float>(40'000, static_cast<float>(expected)));
  if (ranks().size() == 3) CHECK(expected == 258);
}

TEST_CASE("operands that a reduction does not take") {
  Tensor bytes = Tensor::zeros({2}, DType::uint8), floats = Tensor::zeros({2}),
         half = Tensor::zeros({2}, DType::float16);
  CHECK_THROWS_WITH_AS(ranks().all_reduce(bytes), "[all_reduce] sum does not take uint8", fer::TypeError);
  CHECK_THROWS_WITH_AS(ranks().all_reduce(floats, Reduction::bit_or),
                       "[all_reduce] bit_or does not take float32", fer::TypeError);
  CHECK_THROWS_AS(ranks().all_reduce(half), fer::TypeError);
  CHECK_THROWS_AS(ranks().broadcast(floats, ranks().size()), fer::ConfigError);
}

TEST_CASE("all_gather takes different numbers of rows, also none") {
  const int n = ranks().size(), me = ranks().rank();
  const auto rows_of = [&](int rank) { return n == 1 ? 2 : (rank == 0 ? 0 : rank * 3); };  // rank 0 has none
  std::vector<std::int64_t> rows, expected_rows;
  std::vector<double> expected;
  for (int rank = 0; rank < n; ++rank) {
    expected_rows.push_back(rows_of(rank));
    expected.insert(expected.end(), static_cast<std::size_t>(rows_of(rank)) * 4, rank + 0.5);
  }
  const Tensor all = ranks().all_gather(Tensor::full({rows_of(me), 2, 2}, me + 0.5, DType::float64), &rows);
  CHECK(rows == expected_rows);
  CHECK(all.rank() == 3);
  CHECK(all.to_vector<double>() == expected);
}

TEST_CASE("broadcast from each rank") {
  for (int root = 0; root < ranks().size(); ++root) {
    Tensor x = Tensor::full({70'000}, ranks().rank() * 10 + 1);
    ranks().broadcast(x, root);
    CHECK(x.to_vector<float>() == std::vector<float>(70'000, static_cast<float>(root * 10 + 1)));
  }
}

TEST_CASE("text of a rank, also an empty one") {
  for (int root = 0; root < ranks().size(); ++root) {
    const std::string mine = "from rank " + std::string(static_cast<std::size_t>(ranks().rank()), 'r');
    CHECK(ranks().share(mine, root) == "from rank " + std::string(static_cast<std::size_t>(root), 'r'));
    CHECK(ranks().share("", root).empty());
  }
}

TEST_CASE("one decision for all") {
  CHECK(ranks().agree(ranks().rank() == ranks().size() - 1 ? 15 : 0) == 15);
  CHECK(ranks().agree(ranks().rank() + 3, Reduction::min) == 3);
  ranks().barrier();
}

TEST_CASE("buckets travel while others are computed") {
  std::vector<Tensor> buckets;
  std::vector<std::unique_ptr<fer::Transfer>> transfers;
  for (int i = 0; i < 20; ++i) {
    buckets.push_back(Tensor::from({20'000 + i}, values_of(ranks().rank(), 20'000 + i)));
    transfers.push_back(ranks().start_all_reduce(buckets.back()));
  }
  for (std::size_t i = buckets.size(); i-- > 0;) {  // in any order
    transfers[i]->wait();
    CHECK(buckets[i].to_vector<float>() == sum_in_order(20'000 + static_cast<std::int64_t>(i)));
  }
}

TEST_SUITE_END();
