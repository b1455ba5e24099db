// batch_norm, batch_norm_eval.
#include "tests/ops/op_test.h"

namespace fer::test {
namespace {

Tensor constant(std::int64_t channels, double value, Device device) {
  return Tensor::full({channels}, value, DType::float64, device);
}

OP_TEST("batch_norm: values and running statistics") {
  const Variable x = leaf({4, 2}, {1, 10, 2, 10, 3, 10, 6, 10}, device);
  Tensor mean = constant(2, 1.0, device), var = constant(2, 2.0, device);
  const Variable y =
      batch_norm(x, leaf({2}, {2, 3}, device), leaf({2}, {5, 7}, device), mean, var, 0.25, 0.5);
  // Column 0: mean 3, biased variance 3.5, unbiased 14/3. Column 1 is constant.
  check_values(y.value(), {4, 2}, {3, 7, 4, 7, 5, 7, 8, 7}, 1e-14);
  check_values(mean, {2}, {0.75 * 1 + 0.25 * 3, 0.75 * 1 + 0.25 * 10}, 1e-14);
  check_values(var, {2}, {0.75 * 2 + 0.25 * 14 / 3, 0.75 * 2}, 1e-14);
}

OP_TEST("batch_norm: equals layer norm of the transposed matrix, without eps of its own") {
  for (const auto& [rows, channels] :
       {std::pair<std::int64_t, std::int64_t>{2, 1}, {7, 33}, {65, 5}, {300, 3}}) {
    check_equivalent(
        [channels = channels](const auto& v) {
          Tensor mean = constant(channels, 0, v[0].device()), var = constant(channels, 1, v[0].device());
          return batch_norm(v[0], v[1], v[2], mean, var, 0.1, 1e-3);
        },
        [rows = rows](const auto& v) {
          const Variable one(constant(rows, 1, v[0].device())), zero(constant(rows, 0, v[0].device()));
          return add(mul(transpose(layer_norm(transpose(v[0]), one, zero, 1e-3)), v[1]), v[2]);
        },
        CaseInputs("batch_norm oracle", device)
            .uniform("x", {rows, channels}, 2, 5)
            .uniform("weight", {channels})
            .uniform("bias", {channels})
            .take(),
        1e-11);
  }
}

OP_TEST("batch_norm: a shift of the input does not matter, not even a large one in float32") {
  const std::vector<Variable> in = CaseInputs("batch_norm shift", device).uniform("x", {64, 5}).take();
  const Variable one(Tensor::full({5}, 1.0, DType::float32, device)),
      zero(Tensor::zeros({5}, DType::float32, device));
  const auto run = [&](double shift) {
    std::vector<double> values = numbers(in[0].value());
    // Multiples of 2^-6 survive the shift exactly.
    for (double& value : values) value = std::round(value * 64) / 64 + shift;
    Tensor mean = Tensor::zeros({5}, DType::float32, device),
           var = Tensor::zeros({5}, DType::float32, device);
    const Variable x(Tensor::from({64, 5}, values).to(DType::float32).to(device));
    return batch_norm(x, one, zero, mean, var, 1.0, 1e-5).value();
  };
  // The mean itself is stored in float32, so near 4096 its error is up to 2.4e-4.
  CHECK(difference(run(4096), run(0)) < 1e-3);
}

OP_TEST("batch_norm: with PReLU and residual equals the three operations") {
  for (const auto& [rows, channels] : {std::pair<std::int64_t, std::int64_t>{2, 1}, {65, 33}, {300, 16}}) {
    for (int parts = 0; parts < 4; ++parts) {
      CAPTURE(parts);
      const auto statistics = [channels = channels](const auto& v) {
        return std::pair{constant(channels, 0, v[0].device()), constant(channels, 1, v[0].device())};
      };
      check_equivalent(
          [&](const auto& v) {
            auto [mean, var] = statistics(v);
            return batch_norm(v[0], v[1], v[2], mean, var, 0.1, 1e-3, parts & 1 ? v[3] : Variable(),
                              parts & 2 ? v[4] : Variable());
          },
          [&](const auto& v) {
            auto [mean, var] = statistics(v);
            Variable y = batch_norm(v[0], v[1], v[2], mean, var, 0.1, 1e-3);
            if (parts & 1) y = prelu(y, v[3]);
            return parts & 2 ? add(y, v[4]) : y;
          },
          CaseInputs("batch_norm fused", device)
              .uniform("x", {rows, channels}, 2, 5)
              .uniform("weight", {channels})
              .uniform("bias", {channels})
              .uniform("slope", {channels})
              .uniform("residual", {rows, channels})
              .take(),
          1e-12);
    }
  }
}

OP_TEST("batch_norm: x as its own residual, and as input of earlier and later operations") {
  const std::vector<Variable> in = CaseInputs("batch_norm shared x", device)
                                       .uniform("x", {9, 5}, 2, 5)
                                       .uniform("weight", {5})
                                       .uniform("bias", {5})
                                       .take();
  const auto with = [&](bool fused) {
    return [fused](const auto& v) {
      const Variable x = scale(v[0], 2.0), before = mul(x, x);
      Tensor mean = constant(5, 0, x.device()), var = constant(5, 1, x.device());
      const Variable y = fused ? batch_norm(x, v[1], v[2], mean, var, 0.1, 1e-3, {}, x)
                               : add(batch_norm(x, v[1], v[2], mean, var, 0.1, 1e-3), x);
      return add(mul(y, x), before);
    };
  };
  check_equivalent(with(true), with(false), in, 1e-12);
}

OP_TEST("batch_norm_eval: equals its formula with the running statistics as constants") {
  check_equivalent(
      [](const auto& v) { return batch_norm_eval(v[0], v[1], v[2], v[3].value(), v[4].value(), 1e-5); },
      [](const auto& v) {
        std::vector<double> inverse = numbers(v[4].value());
        for (double& value : inverse) value = 1 / std::sqrt(value + 1e-5);
        const Variable scale_by = leaf({17}, inverse, v[0].device(), false);
        return add(mul(mul(sub(v[0], v[3]), scale_by), v[1]), v[2]);
      },
      CaseInputs("batch_norm_eval oracle", device)
          .uniform("x", {3, 5, 7, 17}, 2, 5)
          .uniform("weight", {17})
          .uniform("bias", {17})
          .uniform("running_mean", {17}, -1, 1, false)
          .uniform("running_var", {17}, 0.1, 2, false)
          .take());
}

OP_TEST("batch_norm_eval: leaves the statistics alone, and takes a single row") {
  const Tensor mean = constant(3, 1.0, device), var = constant(3, 4.0, device);
  const auto before = mean.version();
  const Variable one(constant(3, 1, device)), zero(constant(3, 0, device));
  check_values(batch_norm_eval(leaf({1, 3}, {1, 3, 5}, device), one, zero, mean, var, 0.0).value(), {1, 3},
               {0, 1, 2});
  CHECK(mean.version() == before);
}

OP_TEST("batch_norm: errors") {
  const auto zeros = [&](const Shape& shape) {
    return Variable(Tensor::zeros(shape, DType::float64, device));
  };
  Tensor mean = constant(3, 0, device), var = constant(3, 1, device), wrong = constant(2, 0, device), none;
  const Variable x = zeros({2, 3}), c = zeros({3});
  CHECK_MESSAGE_OF(batch_norm(x, zeros({2}), c, mean, var, 0.1, 1e-5), ShapeError,
                   "[batch_norm] weight has shape (2), needs (3) for the channels of x (2, 3)");
  CHECK_MESSAGE_OF(batch_norm(x, c, zeros({1, 3}), mean, var, 0.1, 1e-5), ShapeError,
                   "[batch_norm] bias has shape (1, 3), needs (3) for the channels of x (2, 3)");
  CHECK_MESSAGE_OF(batch_norm(x, c, c, wrong, var, 0.1, 1e-5), ShapeError,
                   "[batch_norm] running_mean has shape (2), needs (3) for the channels of x (2, 3)");
  CHECK_MESSAGE_OF(batch_norm_eval(x, c, c, mean, wrong, 1e-5), ShapeError,
                   "[batch_norm_eval] running_var has shape (2), needs (3) for the channels of x (2, 3)");
  CHECK_MESSAGE_OF(
      batch_norm(zeros({1, 1, 1, 3}), c, c, mean, var, 0.1, 1e-5), ShapeError,
      "[batch_norm] x of shape (1, 1, 1, 3) has one row; the variance of a batch needs at least two");
  CHECK_MESSAGE_OF(batch_norm(c, c, c, mean, var, 0.1, 1e-5), ShapeError,
                   "[batch_norm] x needs rows and channels, got shape (3)");
  CHECK_MESSAGE_OF(batch_norm(x, c, c, mean, var, 0.1, 1e-5, zeros({2})), ShapeError,
                   "[batch_norm] slope has shape (2), needs (3) for the channels of x (2, 3)");
  CHECK_MESSAGE_OF(batch_norm(x, c, c, mean, var, 0.1, 1e-5, {}, c), ShapeError,
                   "[batch_norm] residual has shape (3), needs (2, 3) for the sum with batch_norm(x)");
  CHECK_MESSAGE_OF(batch_norm(x, c, c, mean, none, 0.1, 1e-5), TypeError,
                   "[batch_norm] running_var is undefined");
}

}  // namespace
}  // namespace fer::test
