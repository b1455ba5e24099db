// Operations in a GlobalBatch: several ranks compute what one process computes for the whole batch.
#include "fer/autograd/global_batch.h"

#include "tests/support/shared_batch.h"

namespace fer::test {
namespace {

constexpr RandomKey mask_key{5, fnv1a64("global_batch_test"), 9};

Tensor values_of(const Shape& shape, double value, Device device) {
  return Tensor::full(shape, value, DType::float64, device);
}

OP_TEST("global batch: batch norm has the statistics of all ranks") {
  for (const bool needs_dx : {true, false}) {
    for (const auto& [positions, channels] : {std::pair<std::int64_t, std::int64_t>{1, 5}, {90, 33}}) {
      const Shape shape{7, positions, channels};
      BatchInputs in;
      // Far from zero, and further so on the first ranks, so that moments about a common value would cancel.
      in.rows = CaseInputs("batch_norm", device)
                    .uniform("x", shape, 20, 23, needs_dx)
                    .uniform("residual", shape)
                    .take();
      in.parameters = CaseInputs("batch_norm", device)
                          .uniform("weight", {channels})
                          .uniform("bias", {channels})
                          .uniform("slope", {channels})
                          .take();
      in.state = {values_of({channels}, 1, device), values_of({channels}, 2, device)};
      for (int parts = 0; parts < 4; ++parts) {
        CAPTURE(parts);
        check_ranks(
            [&](const auto& x, const auto& p, auto& state) {
              const Variable y = batch_norm(x[0], p[0], p[1], state[0], state[1], 0.1, 1e-3,
                                            parts & 1 ? p[2] : Variable(), parts & 2 ? x[1] : Variable());
              return add(y, mul(x[1], scale(p[2], 0.5)));  // uses what this batch norm leaves out
            },
            in);
      }
    }
  }
}

OP_TEST("global batch: batch norm adds its gradient to one that waits, and y is recomputed") {
  BatchInputs in;
  in.rows = CaseInputs("batch_norm shared x", device).uniform("x", {7, 3, 5}, 2, 5).take();
  in.parameters = CaseInputs("batch_norm shared x", device)
                      .uniform("weight", {5})
                      .uniform("bias", {5})
                      .uniform("matrix", {4, 5})
                      .take();
  in.state = {values_of({5}, 0, device), values_of({5}, 1, device)};
  check_ranks(
      [](const auto& rows, const auto& p, auto& state) {
        const Variable x = scale(rows[0], 2.0);
        const Variable y = batch_norm(x, p[0], p[1], state[0], state[1], 0.1, 1e-3);
        return linear(mul(relu(y), x), p[2], {});
      },
      in);
}

OP_TEST("global batch: batch norm of one row for each rank") {
  BatchInputs in;
  in.rows = CaseInputs("batch_norm rows", device).uniform("x", {2, 4}).take();
  in.parameters = CaseInputs("batch_norm rows", device).uniform("weight", {4}).uniform("bias", {4}).take();
  in.state = {values_of({4}, 0, device), values_of({4}, 1, device)};
  const BatchFunction f = [](const auto& x, const auto& p, auto& state) {
    return batch_norm(x[0], p[0], p[1], state[0], state[1], 0.1, 1e-3);
  };
  check_ranks([&](const Share& share) { return compute_share(f, in, DType::float64, share); }, {1, 1}, 1e-12);
}

OP_TEST("global batch: masks of dropout continue from rank to rank") {
  for (const Shape& shape : {Shape{7}, Shape{7, 3, 5}, Shape{7, 64}, Shape{7, 1501}}) {
    BatchInputs in;
    in.rows = CaseInputs("dropout", device).uniform("x", shape).take();
    for (const DropoutMask mask : {DropoutMask::element, DropoutMask::sample}) {
      check_ranks([&](const auto& x, const auto&, auto&) { return dropout(x[0], 0.4, mask_key, mask); }, in);
    }
  }
}

OP_TEST("global batch: masks of tokens, drawn again where their product needs them") {
  BatchInputs in;
  in.rows = CaseInputs("dropout tokens", device).uniform("x", {7, 3, 5}).take();
  in.parameters = CaseInputs("dropout tokens", device).uniform("matrix", {4, 5}).take();
  for (const DropoutMask mask : {DropoutMask::element, DropoutMask::sample}) {
    check_ranks(
        [&](const auto& x, const auto& p, auto&) {
          const Variable tokens = reshape(x[0], {-1, 5});  // three rows for each sample
          return linear(dropout(gelu(tokens), 0.4, mask_key, mask), p[0], {});
        },
        in);
  }
}

OP_TEST("global batch: gathered rows and shares of losses") {
  BatchInputs in;
  in.rows = CaseInputs("gather_rows", device).uniform("x", {7, 3}).take();
  in.parameters = CaseInputs("gather_rows", device).uniform("w", {7, 7}).take();
  check_ranks(
      [](const auto& x, const auto& p, auto&) {
        const Variable all = gather_rows(x[0]), pairs = matmul(all, transpose(all));
        return add(share_of_common(sum(mul(pairs, p[0]))), share_of_mean(mean(mul(x[0], x[0]))));
      },
      in);
}

TEST_CASE("global batch: tensors of every type are gathered") {
  const auto gathered = on_ranks(2, [](Communicator& ranks) {
    const GlobalBatch batch(ranks, ranks.rank() == 0 ? 0 : 2, ranks.rank() == 0 ? 2 : 1, 3);
    const std::vector<std::int64_t> mine =
        ranks.rank() == 0 ? std::vector<std::int64_t>{4, 5} : std::vector<std::int64_t>{6};
    return gather_rows(labels(mine, Device::cpu)).to_vector<std::int64_t>();
  });
  for (const auto& all : gathered) CHECK(all == std::vector<std::int64_t>{4, 5, 6});
}

TEST_CASE("global batch: scopes") {
  CHECK(GlobalBatch::current() == nullptr);
  const auto nested = on_ranks(2, [](Communicator& ranks) {
    const GlobalBatch outer(ranks, 0, 1, 2);
    bool right = GlobalBatch::current() == &outer;
    {
      const GlobalBatch inner(ranks, 1, 3, 4);
      right = right && GlobalBatch::current() == &inner;
    }
    return right && GlobalBatch::current() == &outer ? 1 : 0;
  });
  CHECK(nested == std::vector<int>{1, 1});
  const auto alone = on_ranks(1, [](Communicator& ranks) {  // computes as without any
    const GlobalBatch batch(ranks, 0, 5, 5);
    const Variable x(Tensor::zeros({5}));
    return GlobalBatch::current() == nullptr && gather_rows(x).id() == x.id() ? 1 : 0;
  });
  CHECK(alone == std::vector<int>{1});
}

/// The message that rank 0 of two gets from `body`, which runs on both.
template <typename Body>
std::string message_on_ranks(const Body& body) {
  return on_ranks(2, [&](Communicator& ranks) {
    try {
      body(ranks);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  })[0];
}

TEST_CASE("global batch: errors") {
  CHECK(message_on_ranks([](Communicator& ranks) { GlobalBatch(ranks, 0, 0, 1); }) ==
        "rank 0 of 2 has no sample of a batch of 1; a batch must have one for each process");
  CHECK(message_on_ranks([](Communicator& ranks) { GlobalBatch(ranks, 3, 2, 4); }) ==
        "samples 3 to 5 are no part of a batch of 4");
  CHECK(message_on_ranks([](Communicator& ranks) {
          const GlobalBatch batch(ranks, 2 * ranks.rank(), 2, 4);
          (void)gather_rows(Tensor::zeros({3, 2}));
        }) == "[gather_rows] x of shape (3, 2) needs a row for each of this rank's 2 samples");
  CHECK(message_on_ranks([](Communicator& ranks) {
          const GlobalBatch batch(ranks, 2 * ranks.rank(), 2, 5);
          (void)gather_rows(Tensor::zeros({2}));
        }) ==
        "[gather_rows] rank 0 has the samples from 0 on, of 5, but the ranks before it have 0, and all of "
        "them 4");
  CHECK(message_on_ranks([](Communicator& ranks) {
          const GlobalBatch batch(ranks, 2 * ranks.rank(), 2, 4);
          (void)dropout(Variable(Tensor::zeros({3, 3})), 0.5, mask_key);
        }) == "[dropout] x of shape (3, 3) cannot be divided among this rank's 2 samples");
}

}  // namespace
}  // namespace fer::test
