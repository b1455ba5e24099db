// matmul.
#include "tests/ops/op_test.h"

namespace fer::test {
namespace {

OP_TEST("matmul: values") {
  const Variable a = leaf({2, 3}, {1, 2, 3, 4, 5, 6}, device),
                 b = leaf({3, 2}, {1, 0, 0, 1, 10, 100}, device);
  check_values(matmul(a, b).value(), {2, 2}, {31, 302, 64, 605});
}

OP_TEST("matmul: equals the sum of products, whatever the extents") {
  for (const auto& [m, k, n] :
       {std::array<std::int64_t, 3>{1, 1, 1}, {3, 17, 5}, {33, 2, 31}, {16, 64, 15}, {1, 129, 7}}) {
    check_equivalent(
        [](const auto& v) { return matmul(v[0], v[1]); },
        [m = m, k = k, n = n](const auto& v) {
          return reshape(sum_to(mul(reshape(v[0], {m, k, 1}), reshape(v[1], {1, k, n})), {m, 1, n}), {m, n});
        },
        CaseInputs("matmul oracle", device).uniform("a", {m, k}).uniform("b", {k, n}).take());
  }
}

OP_TEST("matmul: batches do not mix") {
  check_equivalent([](const auto& v) { return matmul(v[0], v[1]); },
                   [](const auto& v) {
                     std::vector<Variable> parts;
                     for (int i = 0; i < 3; ++i) {
                       parts.push_back(reshape(matmul(reshape(slice(v[0], 0, i, 1), {5, 4}),
                                                      reshape(slice(v[1], 0, i, 1), {4, 7})),
                                               {1, 5, 7}));
                     }
                     return concat(parts, 0);
                   },
                   CaseInputs("matmul batch", device).uniform("a", {3, 5, 4}).uniform("b", {3, 4, 7}).take());
}

OP_TEST("matmul: errors") {
  const auto zeros = [&](const Shape& shape) {
    return Variable(Tensor::zeros(shape, DType::float64, device));
  };
  CHECK_MESSAGE_OF(matmul(zeros({2, 3}), zeros({4, 5})), ShapeError,
                   "[matmul] shapes (2, 3) and (4, 5): 3 columns times 4 rows");
  CHECK_MESSAGE_OF(matmul(zeros({2, 2, 3}), zeros({3, 3, 5})), ShapeError,
                   "[matmul] shapes (2, 2, 3) and (3, 3, 5) differ in dimension 0");
  CHECK_MESSAGE_OF(
      matmul(zeros({2, 2, 3}), zeros({3, 5})), ShapeError,
      "[matmul] shapes (2, 2, 3) and (3, 5): both need the same number of dimensions, at least 2");
  CHECK_MESSAGE_OF(matmul(zeros({3}), zeros({3})), ShapeError,
                   "[matmul] shapes (3) and (3): both need the same number of dimensions, at least 2");
  CHECK_MESSAGE_OF(matmul(zeros({2, 3}), Variable()), TypeError, "[matmul] b is undefined");
}

}  // namespace
}  // namespace fer::test
