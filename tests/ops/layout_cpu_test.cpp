// The CPU's permute, slice and paste against loops over indices, for every element size.
#include <array>
#include <numeric>

#include "fer/error.h"
#include "tests/ops/cpu_values.h"

namespace fer {
namespace {

using namespace testing;

constexpr DType types[] = {DType::uint8, DType::bfloat16, DType::float32,
                           DType::float64};  // 1, 2, 4, 8 bytes

// Bytes that differ from place to place.
Tensor pattern(const Shape& shape, DType dtype) {
  Tensor t = Tensor::empty(shape, dtype);
  auto* bytes = static_cast<std::uint8_t*>(t.mutable_raw());
  for (std::size_t i = 0; i < t.bytes(); ++i)
    bytes[i] = static_cast<std::uint8_t>((i + 1) * 2654435761u >> 7 | 1);
  return t;
}

std::vector<std::int64_t> strides(const Shape& shape) {
  std::vector<std::int64_t> s(static_cast<std::size_t>(shape.rank()), 1);
  for (int i = shape.rank() - 2; i >= 0; --i) s[i] = s[i + 1] * shape[i + 1];
  return s;
}

void check_permutation(const Tensor& x, const std::vector<int>& order) {
  Shape shape = x.shape();
  for (int i = 0; i < x.rank(); ++i) shape.set(i, x.dim(order[i]));
  Tensor y = Tensor::full(shape, 0, x.dtype());
  cpu().permute(x, order, y);
  const std::vector<std::int64_t> from = strides(x.shape());
  const std::size_t size = size_of(x.dtype());
  const auto *px = static_cast<const char*>(x.raw()), *py = static_cast<const char*>(y.raw());
  std::int64_t wrong = 0;
  for (std::int64_t i = 0; i < y.numel(); ++i) {
    std::int64_t rest = i, at = 0;
    for (int d = shape.rank() - 1; d >= 0; --d) {
      at += rest % shape[d] * from[order[d]];
      rest /= shape[d];
    }
    wrong += std::memcmp(px + at * static_cast<std::int64_t>(size), py + i * static_cast<std::int64_t>(size),
                         size) != 0;
  }
  INFO(name_of(x.dtype()) << " " << x.shape() << " -> " << shape);
  CHECK(wrong == 0);
}

TEST_CASE("cpu permute: every order of every rank") {
  const Shape shapes[] = {{}, {5}, {3, 7}, {4, 3, 5}, {2, 3, 4, 5}, {2, 3, 2, 3, 2}, {2, 3, 1, 2, 4, 3}};
  for (DType dtype : types) {
    for (const Shape& shape : shapes) {
      const Tensor x = pattern(shape, dtype);
      std::vector<int> order(static_cast<std::size_t>(shape.rank()));
      std::iota(order.begin(), order.end(), 0);
      do check_permutation(x, order);
      while (std::next_permutation(order.begin(), order.end()));
    }
  }
}

TEST_CASE("cpu permute: whole tiles, partial tiles, and images in both directions") {
  for (DType dtype : types) {
    for (const Shape& shape :
         {Shape{64, 96}, Shape{33, 31}, Shape{1, 1000}, Shape{1000, 1}, Shape{129, 257}}) {
      check_permutation(pattern(shape, dtype), {1, 0});
    }
    check_permutation(pattern({3, 64, 28, 28}, dtype), {0, 2, 3, 1});  // NCHW -> NHWC
    check_permutation(pattern({3, 28, 28, 64}, dtype), {0, 3, 1, 2});  // NHWC -> NCHW
    check_permutation(pattern({2, 3, 113, 111}, dtype), {0, 2, 3, 1});
    check_permutation(pattern({2, 49, 8, 64}, dtype), {0, 2, 1, 3});  // heads
    check_permutation(pattern({0, 4}, dtype), {1, 0});
  }
}

TEST_CASE("cpu slice takes, and paste puts back, a range of any dimension") {
  for (DType dtype : types) {
    for (const Shape& shape :
         {Shape{6}, Shape{5, 4}, Shape{3, 4, 5}, Shape{2, 3, 4, 2}, Shape{5, 400000 / 16}}) {
      const Tensor x = pattern(shape, dtype);
      for (int dim = 0; dim < shape.rank(); ++dim) {
        const std::int64_t n = shape[dim];
        for (auto [start, length] :
             {std::array<std::int64_t, 2>{0, n}, {0, 1}, {n - 1, 1}, {1, n - 1}, {n, 0}}) {
          INFO(name_of(dtype) << " " << shape << " dimension " << dim << " from " << start << " of "
                              << length);
          Shape part = shape;
          part.set(dim, length);
          Tensor y = Tensor::full(part, 0, dtype);
          cpu().slice(x, dim, start, y);
          // Reassembled from the part before, the slice, and the part after.
          Tensor whole = Tensor::full(shape, 0, dtype);
          part.set(dim, start);
          Tensor before = Tensor::empty(part, dtype);
          part.set(dim, n - start - length);
          Tensor after = Tensor::empty(part, dtype);
          cpu().slice(x, dim, 0, before);
          cpu().slice(x, dim, start + length, after);
          cpu().paste(before, dim, 0, whole);
          cpu().paste(after, dim, start + length, whole);
          if (length > 0) CHECK_FALSE(same_bits(whole, x));
          cpu().paste(y, dim, start, whole);
          CHECK(same_bits(whole, x));
        }
      }
    }
  }
}

TEST_CASE("cpu slice: values by hand") {
  const Tensor x = Tensor::from<std::int32_t>({2, 3, 2}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  Tensor y = Tensor::zeros({2, 2, 2}, DType::int32);
  cpu().slice(x, 1, 1, y);
  CHECK(y.to_vector<std::int32_t>() == std::vector<std::int32_t>{2, 3, 4, 5, 8, 9, 10, 11});
}

TEST_CASE("cpu layout: shapes that would corrupt memory are refused") {
  const Tensor x = Tensor::zeros({2, 3});
  Tensor y = Tensor::zeros({2, 3}), turned = Tensor::zeros({3, 2}),
         other = Tensor::zeros({3, 2}, DType::int32);
  CHECK_THROWS_WITH_AS(cpu().permute(x, std::array{1, 0}, y),
                       "[permute] float32 (2, 3) is not such a permutation of float32 (2, 3)", ShapeError);
  CHECK_THROWS_WITH_AS(cpu().permute(x, std::array{1, 1}, turned),
                       "[permute] float32 (3, 2) is not such a permutation of float32 (2, 3)", ShapeError);
  CHECK_THROWS_WITH_AS(cpu().permute(x, std::array{1, 0}, other),
                       "[permute] int32 (3, 2) is not such a permutation of float32 (2, 3)", ShapeError);
  CHECK_THROWS_WITH_AS(cpu().slice(x, 1, 1, y),
                       "[slice] float32 (2, 3) is not a part of float32 (2, 3) along dimension 1 from 1",
                       ShapeError);
  CHECK_THROWS_WITH_AS(cpu().paste(x, 2, 0, y),
                       "[paste] float32 (2, 3) is not a part of float32 (2, 3) along dimension 2 from 0",
                       ShapeError);
}

}  // namespace
}  // namespace fer
