// Operations that move elements without changing them. Their backward does the same:
//   reshape: dy under the shape of x;  permute: the inverse order;
//   slice: dy pasted into zeros;       concat: each part's slice of dy.
#include <algorithm>
#include <numeric>

#include "autograd/op_checks.h"
#include "fer/autograd/ops.h"

namespace fer {

using namespace detail;

namespace {

std::string listed(const std::vector<int>& numbers) {
  std::ostringstream out;
  for (std::size_t i = 0; i < numbers.size(); ++i) out << (i ? ", " : "(") << numbers[i];
  out << (numbers.empty() ? "()" : ")");
  return out.str();
}

Tensor permuted(const Tensor& x, const std::vector<int>& order) {
  Shape shape = x.shape();
  for (std::size_t i = 0; i < order.size(); ++i) shape.set(static_cast<int>(i), x.dim(order[i]));
  Tensor y = Tensor::empty_like(x, shape);
  backend_of(x).permute(x, order, y);
  return y;
}

/// The dimension counted from the front; a negative `dim` counts from the back.
int checked_dim(std::string_view op, int dim, const Shape& shape) {
  const int index = dim < 0 ? dim + shape.rank() : dim;
  require<ShapeError>(index >= 0 && index < shape.rank(), "[", op, "] dimension ", dim,
                      " does not exist in shape ", shape);
  return index;
}

Variable permute(std::string_view op, const Variable& x, const std::vector<int>& order) {
  std::vector<int> inverse(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) inverse[order[i]] = static_cast<int>(i);
  return record({op, {{"order", std::span<const int>(order)}}}, permuted(x.value(), order), {x},
                [inverse](const Tensor& dy) -> std::vector<Tensor> { return {permuted(dy, inverse)}; });
}

}  // namespace

Variable reshape(const Variable& x, const Shape& shape) {
  check_operands("reshape", {{"x", value_or_none(x)}});
  return record("reshape", x.value().reshape(shape), {x},
                [sx = x.shape()](const Tensor& dy) -> std::vector<Tensor> { return {dy.reshape(sx)}; });
}

Variable permute(const Variable& x, const std::vector<int>& order) {
  check_operands("permute", {{"x", value_or_none(x)}});
  std::vector<int> sorted = order, all(x.rank());
  std::sort(sorted.begin(), sorted.end());
  std::iota(all.begin(), all.end(), 0);
  require<ShapeError>(sorted == all, "[permute] order ", listed(order), " is not a permutation of the ",
                      x.rank(), " dimensions of shape ", x.shape());
  return permute("permute", x, order);
}

Variable transpose(const Variable& x) {
  check_operands("transpose", {{"x", value_or_none(x)}});
  require<ShapeError>(x.rank() >= 2, "[transpose] x needs at least 2 dimensions, got shape ", x.shape());
  std::vector<int> order(x.rank());
  std::iota(order.begin(), order.end(), 0);
  std::swap(order[order.size() - 1], order[order.size() - 2]);
  return permute("transpose", x, order);
}

Variable concat(const std::vector<Variable>& parts, int dim) {
  require<ShapeError>(!parts.empty(), "[concat] needs at least one part");
  const Tensor& first = value_or_none(parts[0]);
  check_operands("concat", {{"part 0", first}});
  const int axis = checked_dim("concat", dim, first.shape());
  Shape total = first.shape();
  std::vector<std::int64_t> starts, lengths;
  std::vector<bool> needs;
  std::int64_t end = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::string name = concat("part ", i);
    check_operands("concat", {{"part 0", first}, {name, value_or_none(parts[i])}});
    Shape other = parts[i].shape();
    const std::int64_t length = axis < other.rank() ? other[axis] : 0;
    if (axis < other.rank()) other.set(axis, first.dim(axis));
    require<ShapeError>(other == first.shape(), "[concat] part ", i, " of shape ", parts[i].shape(),
                        " differs from part 0 of shape ", first.shape(), " in more than dimension ", axis);
    starts.push_back(end);
    lengths.push_back(length);
    needs.push_back(needs_gradient(parts[i]));
    end += length;
  }
  total.set(axis, end);
  Tensor y = Tensor::empty_like(first, total);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (lengths[i] > 0) backend_of(y).paste(parts[i].value(), axis, starts[i], y);
  }
  return record({"concat", {{"dim", axis}}}, std::move(y), parts,
                [axis, starts, lengths, needs](const Tensor& dy) {
                  std::vector<Tensor> gradients(starts.size());
                  for (std::size_t i = 0; i < starts.size(); ++i) {
                    if (!needs[i]) continue;
                    Shape shape = dy.shape();
                    shape.set(axis, lengths[i]);
                    gradients[i] = Tensor::empty_like(dy, shape);
                    if (lengths[i] > 0) backend_of(dy).slice(dy, axis, starts[i], gradients[i]);
                  }
                  return gradients;
                });
}

Variable slice(const Variable& x, int dim, std::int64_t start, std::int64_t length) {
  check_operands("slice", {{"x", value_or_none(x)}});
  const int axis = checked_dim("slice", dim, x.shape());
  require<ShapeError>(start >= 0 && length >= 1 && start <= x.dim(axis) - length, "[slice] [", start, ", ",
                      start + length, ") leaves dimension ", axis, " of shape ", x.shape(), " or is empty");
  Shape shape = x.shape();
  shape.set(axis, length);
  Tensor y = Tensor::empty_like(x.value(), shape);
  backend_of(y).slice(x.value(), axis, start, y);
  return record({"slice", {{"dim", axis}, {"start", start}}}, std::move(y), {x},
                [axis, start, sx = x.shape()](const Tensor& dy) -> std::vector<Tensor> {
                  Tensor dx = Tensor::zeros(sx, dy.dtype(), dy.device());
                  backend_of(dy).paste(dy, axis, start, dx);
                  return {dx};
                });
}

}  // namespace fer
