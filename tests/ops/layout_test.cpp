// reshape, permute, transpose, concat, slice.
#include "tests/ops/op_test.h"

namespace fer::test {
namespace {

Variable counted(const Shape& shape, Device device) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < shape.numel(); ++i) values.push_back(static_cast<double>(i));
  return leaf(shape, values, device);
}

OP_TEST("layout: values") {
  const Variable x = counted({2, 3}, device);
  check_values(reshape(x, {3, -1}).value(), {3, 2}, {0, 1, 2, 3, 4, 5});
  CHECK(reshape(x, {6}).value().shares_memory_with(x.value()));
  check_values(transpose(x).value(), {3, 2}, {0, 3, 1, 4, 2, 5});
  check_values(permute(counted({1, 2, 3}, device), {2, 0, 1}).value(), {3, 1, 2}, {0, 3, 1, 4, 2, 5});
  check_values(slice(x, 1, 1, 2).value(), {2, 2}, {1, 2, 4, 5});
  check_values(slice(x, -2, 1, 1).value(), {1, 3}, {3, 4, 5});
  check_values(concat({x, slice(x, 1, 0, 1)}, 1).value(), {2, 4}, {0, 1, 2, 0, 3, 4, 5, 3});
  check_values(concat({x}, -1).value(), {2, 3}, {0, 1, 2, 3, 4, 5});
}

OP_TEST("layout: gradients return to the elements' original positions") {
  Variable x = counted({2, 3}, device);
  slice(x, 1, 1, 2).backward(Tensor::from<double>({2, 2}, {1, 2, 3, 4}, device));
  check_values(x.grad(), {2, 3}, {0, 1, 2, 0, 3, 4});
  x.zero_grad();
  concat({x, x}, 0).backward(
      Tensor::from<double>({4, 3}, {1, 2, 3, 4, 5, 6, 10, 20, 30, 40, 50, 60}, device));
  check_values(x.grad(), {2, 3}, {11, 22, 33, 44, 55, 66});
  x.zero_grad();
  transpose(x).backward(Tensor::from<double>({3, 2}, {1, 2, 3, 4, 5, 6}, device));
  check_values(x.grad(), {2, 3}, {1, 3, 5, 2, 4, 6});
}

OP_TEST("layout: concatenated slices give the original") {
  check_equivalent(
      [](const auto& v) {
        return concat({slice(v[0], 1, 0, 2), slice(v[0], 1, 2, 4), slice(v[0], 1, 6, 1)}, 1);
      },
      [](const auto& v) { return scale(v[0], 1.0); },
      CaseInputs("slices", device).uniform("x", {3, 7, 5}).take(), 0.0);
}

OP_TEST("layout: a permutation and its inverse cancel") {
  check_equivalent(
      [](const auto& v) {
        return permute(permute(v[0], {3, 0, 2, 1}), {1, 3, 2, 0});
      },
      [](const auto& v) { return scale(v[0], 1.0); },
      CaseInputs("permutations", device).uniform("x", {2, 3, 5, 7}).take(), 0.0);
}

OP_TEST("layout: errors") {
  const Variable x = counted({2, 3}, device);
  CHECK_MESSAGE_OF(reshape(x, {4, 2}), ShapeError, "cannot reshape (2, 3) to (4, 2)");
  CHECK_MESSAGE_OF(reshape(x, {4, -1}), ShapeError, "cannot reshape (2, 3) to (4, -1)");
  CHECK_MESSAGE_OF(permute(x, {0, 0}), ShapeError,
                   "[permute] order (0, 0) is not a permutation of the 2 dimensions of shape (2, 3)");
  CHECK_MESSAGE_OF(permute(x, {}), ShapeError,
                   "[permute] order () is not a permutation of the 2 dimensions of shape (2, 3)");
  CHECK_MESSAGE_OF(transpose(counted({3}, device)), ShapeError,
                   "[transpose] x needs at least 2 dimensions, got shape (3)");
  CHECK_MESSAGE_OF(concat({}, 0), ShapeError, "[concat] needs at least one part");
  CHECK_MESSAGE_OF(
      concat({x, counted({3, 2}, device)}, 0), ShapeError,
      "[concat] part 1 of shape (3, 2) differs from part 0 of shape (2, 3) in more than dimension 0");
  CHECK_MESSAGE_OF(
      concat({x, counted({3}, device)}, 1), ShapeError,
      "[concat] part 1 of shape (3) differs from part 0 of shape (2, 3) in more than dimension 1");
  CHECK_MESSAGE_OF(concat({x, x}, 2), ShapeError, "[concat] dimension 2 does not exist in shape (2, 3)");
  CHECK_MESSAGE_OF(concat({x, Variable()}, 0), TypeError, "[concat] part 1 is undefined");
  CHECK_MESSAGE_OF(slice(x, 1, 2, 2), ShapeError,
                   "[slice] [2, 4) leaves dimension 1 of shape (2, 3) or is empty");
  CHECK_MESSAGE_OF(slice(x, 1, -1, 2), ShapeError,
                   "[slice] [-1, 1) leaves dimension 1 of shape (2, 3) or is empty");
  CHECK_MESSAGE_OF(slice(x, 0, 0, 0), ShapeError,
                   "[slice] [0, 0) leaves dimension 0 of shape (2, 3) or is empty");
  CHECK_MESSAGE_OF(slice(x, -3, 0, 1), ShapeError, "[slice] dimension -3 does not exist in shape (2, 3)");
}

}  // namespace
}  // namespace fer::test
