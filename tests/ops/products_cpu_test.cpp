// The CPU's products and convolutions against loops written from their definitions, summed in double: ragged
// sizes (1, primes, a tile plus or minus one), every transpose, stride, padding and group, in float32 and
// float64, and the same bits with one and with two threads.
#include <doctest/doctest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "cpu/conv2d.h"
#include "cpu/winograd.h"
#include "fer/error.h"
#include "fer/tensor/backend.h"
#include "fer/tensor/random.h"

namespace {

using fer::backend;
using fer::Conv2dOptions;
using fer::Device;
using fer::DType;
using fer::Shape;
using fer::Tensor;

using Values = std::vector<double>;

// Values in [-1, 1), exactly representable in float32.
Tensor random_tensor(const Shape& shape, DType dtype, std::uint64_t purpose) {
  Tensor t = Tensor::empty(shape, dtype);
  fer::dispatch_floating(dtype, "test", [&]<typename T>() {
    T* data = t.mutable_data<T>();
    const fer::RandomKey key{7, purpose, static_cast<std::uint64_t>(shape.numel())};
    for (std::int64_t i = 0; i < t.numel(); ++i)
      data[i] = static_cast<T>(static_cast<float>(fer::philox_word(key, i) >> 8) * 0x1p-23f - 1.0f);
  });
  return t;
}

Values values(const Tensor& t) {
  Values v;
  fer::dispatch_floating(t.dtype(), "test", [&]<typename T>() {
    for (T x : t.to_vector<T>()) v.push_back(static_cast<double>(x));
  });
  return v;
}

// An output filled with poison, so that unwritten elements show.
Tensor poisoned(const Shape& shape, DType dtype) {
  return Tensor::full(shape, 1e30, dtype);
}

double largest_error(const Values& got, const Values& expected) {
  REQUIRE(got.size() == expected.size());
  double error = 0, scale = 1;
  for (double e : expected) scale = std::max(scale, std::abs(e));
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double difference = std::abs(got[i] - expected[i]);
    if (!(difference <= error)) error = difference;
  }
  return error / scale;
}

double tolerance(DType dtype) {
  return dtype == DType::float32 ? 1e-5 : 1e-13;
}

void check_close(const Tensor& got, const Values& expected, const std::string& what) {
  INFO(what << " in " << got.dtype());
  CHECK(largest_error(values(got), expected) < tolerance(got.dtype()));
}

// Runs `fill(output)` with one and with two threads; the bits must agree. Returns the output.
template <typename Fill>
Tensor with_one_and_two_threads(const Shape& shape, DType dtype, const Fill& fill) {
  const int before = omp_get_max_threads();
  Tensor one = poisoned(shape, dtype), two = poisoned(shape, dtype);
  omp_set_num_threads(1);
  fill(one);
  omp_set_num_threads(2);
  fill(two);
  omp_set_num_threads(before);
  CHECK_MESSAGE(std::memcmp(one.raw(), two.raw(), one.bytes()) == 0, "one and two threads differ");
  return two;
}

template <typename Body>
void in_both_types(const Body& body) {
  body(DType::float32);
  body(DType::float64);
}

Values naive_product(const Values& a, bool ta, const Values& b, bool tb, std::int64_t batch, std::int64_t m,
                     std::int64_t n, std::int64_t k) {
  Values y(static_cast<std::size_t>(batch * m * n));
  for (std::int64_t p = 0; p < batch; ++p)
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (std::int64_t l = 0; l < k; ++l)
          sum += a[p * m * k + (ta ? l * m + i : i * k + l)] * b[p * n * k + (tb ? j * k + l : l * n + j)];
        y[(p * m + i) * n + j] = sum;
      }
  return y;
}

void check_matmul(std::int64_t batch, std::int64_t m, std::int64_t n, std::int64_t k) {
  in_both_types([&](DType dtype) {
    for (int transposes = 0; transposes < 4; ++transposes) {
      const bool ta = transposes & 1, tb = transposes & 2;
      const Tensor a = random_tensor(ta ? Shape{batch, k, m} : Shape{batch, m, k}, dtype, 1);
      const Tensor b = random_tensor(tb ? Shape{batch, n, k} : Shape{batch, k, n}, dtype, 2);
      const Tensor y = with_one_and_two_threads(
          {batch, m, n}, dtype, [&](Tensor& out) { backend(Device::cpu).matmul(a, ta, b, tb, out); });
      check_close(y, naive_product(values(a), ta, values(b), tb, batch, m, n, k),
                  fer::concat("matmul ", batch, " x ", m, " x ", n, " x ", k, " transposes ", ta, tb));
    }
  });
}

struct ConvCase {
  std::int64_t n, h, w, in, out, kh, kw;
  int stride, padding, groups;

  std::int64_t out_h() const { return (h + 2 * padding - kh) / stride + 1; }
  std::int64_t out_w() const { return (w + 2 * padding - kw) / stride + 1; }
  Shape x() const { return {n, h, w, in}; }
  Shape weight() const { return {out, kh, kw, in / groups}; }
  Shape y() const { return {n, out_h(), out_w(), out}; }
  Conv2dOptions options() const { return {stride, padding, groups}; }
  std::string text() const {
    return fer::concat("x ", x(), " weight ", weight(), " stride ", stride, " padding ", padding, " groups ",
                       groups);
  }
};

// Calls visit(x index, weight index, y index) for every multiplication of a convolution.
template <typename Visit>
void for_each_term(const ConvCase& c, const Visit& visit) {
  const std::int64_t gi = c.in / c.groups, go = c.out / c.groups;
  for (std::int64_t n = 0; n < c.n; ++n)
    for (std::int64_t oh = 0; oh < c.out_h(); ++oh)
      for (std::int64_t ow = 0; ow < c.out_w(); ++ow)
        for (std::int64_t r = 0; r < c.kh; ++r)
          for (std::int64_t s = 0; s < c.kw; ++s) {
            const std::int64_t ih = oh * c.stride + r - c.padding, iw = ow * c.stride + s - c.padding;
            if (ih < 0 || ih >= c.h || iw < 0 || iw >= c.w) continue;
            for (std::int64_t o = 0; o < c.out; ++o)
              for (std::int64_t i = 0; i < gi; ++i)
                visit(((n * c.h + ih) * c.w + iw) * c.in + o / go * gi + i,
                      ((o * c.kh + r) * c.kw + s) * gi + i,
                      ((n * c.out_h() + oh) * c.out_w() + ow) * c.out + o);
          }
}

struct ConvOracle {
  Values y, dx, dweight, dbias;
  ConvOracle(const ConvCase& c, const Values& x, const Values& w, const Values& bias, const Values& dy)
      : y(static_cast<std::size_t>(c.y().numel())), dx(x.size()), dweight(w.size()), dbias(bias.size()) {
    for (std::size_t i = 0; i < y.size(); ++i) {
      if (bias.empty()) break;
      y[i] = bias[i % bias.size()];
      dbias[i % bias.size()] += dy[i];
    }
    for_each_term(c, [&](std::int64_t ix, std::int64_t iw, std::int64_t iy) {
      y[iy] += x[ix] * w[iw];
      dx[ix] += dy[iy] * w[iw];
      dweight[iw] += dy[iy] * x[ix];
    });
  }
};

void check_conv(const ConvCase& c) {
  in_both_types([&](DType dtype) {
    fer::Backend& cpu = backend(Device::cpu);
    const Tensor x = random_tensor(c.x(), dtype, 1), w = random_tensor(c.weight(), dtype, 2);
    const Tensor bias = random_tensor({c.out}, dtype, 3), dy = random_tensor(c.y(), dtype, 4);
    const ConvOracle oracle(c, values(x), values(w), values(bias), values(dy));
    const Conv2dOptions options = c.options();
    check_close(with_one_and_two_threads(c.y(), dtype,
                                         [&](Tensor& out) { cpu.conv2d_forward(x, w, bias, options, out); }),
                oracle.y, "conv2d_forward " + c.text());
    check_close(with_one_and_two_threads(
                    c.x(), dtype, [&](Tensor& out) { cpu.conv2d_backward_input(dy, w, options, out); }),
                oracle.dx, "conv2d_backward_input " + c.text());
    Tensor dbias = poisoned({c.out}, dtype);
    check_close(
        with_one_and_two_threads(
            c.weight(), dtype, [&](Tensor& out) { cpu.conv2d_backward_weight(x, dy, options, out, dbias); }),
        oracle.dweight, "conv2d_backward_weight " + c.text());
    check_close(dbias, oracle.dbias, "dbias " + c.text());
  });
}

// Winograd's three passes with tiles of m, whatever conv2d itself would choose.
void check_winograd(int m, const ConvCase& c) {
  const fer::detail::ConvShape s{c.n, c.h, c.w, c.in, c.out_h(), c.out_w(), c.out, 3, 3, 1, c.padding, 1};
  const DType dtype = DType::float32;
  const Tensor x = random_tensor(c.x(), dtype, 1), w = random_tensor(c.weight(), dtype, 2);
  const Tensor bias = random_tensor({c.out}, dtype, 3), dy = random_tensor(c.y(), dtype, 4);
  const ConvOracle oracle(c, values(x), values(w), values(bias), values(dy));
  const std::string what = fer::concat(" with tiles of ", m, ": ", c.text());
  const float *xd = x.data<float>(), *wd = w.data<float>(), *dyd = dy.data<float>();
  namespace d = fer::detail;
  check_close(with_one_and_two_threads(c.y(), dtype,
                                       [&](Tensor& out) {
                                         d::winograd_forward(m, s, xd,
                                                             {wd, nullptr, nullptr, {bias.data<float>()}},
                                                             out.mutable_data<float>());
                                       }),
              oracle.y, "forward" + what);
  check_close(with_one_and_two_threads(
                  c.x(), dtype,
                  [&](Tensor& out) { d::winograd_backward_input(m, s, dyd, wd, out.mutable_data<float>()); }),
              oracle.dx, "input gradient" + what);
  check_close(
      with_one_and_two_threads(
          c.weight(), dtype,
          [&](Tensor& out) { d::winograd_backward_weight(m, s, xd, dyd, out.mutable_data<float>()); }),
      oracle.dweight, "weight gradient" + what);
}

void check_depthwise(const ConvCase& c) {
  in_both_types([&](DType dtype) {
    fer::Backend& cpu = backend(Device::cpu);
    const Tensor x = random_tensor(c.x(), dtype, 1), w = random_tensor(c.weight(), dtype, 2);
    const Tensor dy = random_tensor(c.y(), dtype, 4);
    const ConvOracle oracle(c, values(x), values(w), {}, values(dy));
    const Conv2dOptions options = c.options();
    check_close(with_one_and_two_threads(
                    c.y(), dtype, [&](Tensor& out) { cpu.depthwise_conv2d_forward(x, w, options, out); }),
                oracle.y, "depthwise_conv2d_forward " + c.text());
    check_close(
        with_one_and_two_threads(
            c.x(), dtype, [&](Tensor& out) { cpu.depthwise_conv2d_backward_input(dy, w, options, out); }),
        oracle.dx, "depthwise_conv2d_backward_input " + c.text());
    check_close(with_one_and_two_threads(
                    c.weight(), dtype,
                    [&](Tensor& out) { cpu.depthwise_conv2d_backward_weight(x, dy, options, out); }),
                oracle.dweight, "depthwise_conv2d_backward_weight " + c.text());
  });
}

// The largest errors of an approximation and of the direct float32 convolution, against float64, in one pass.
struct Errors {
  double winograd, direct;
};

template <typename Winograd, typename Direct>
Errors errors(std::int64_t size, const Winograd& winograd, const Direct& direct) {
  std::vector<float> fast(static_cast<std::size_t>(size)), plain(fast.size());
  Values exact(fast.size());
  winograd(fast.data());
  direct(plain.data());
  direct(exact.data());
  return {largest_error(Values(fast.begin(), fast.end()), exact),
          largest_error(Values(plain.begin(), plain.end()), exact)};
}

// Winograd's three passes with tiles of m on one layer, with activations and gradients of about unit size and
// freshly initialised weights.
void check_winograd_accuracy(int m, std::int64_t n, std::int64_t size, std::int64_t in, std::int64_t out) {
  const fer::detail::ConvShape s{n, size, size, in, size, size, out, 3, 3, 1, 1, 1};
  REQUIRE(fer::detail::winograd_tile(s) != 0);  // a layer that really runs this way
  const auto doubles = [](const Tensor& t) { return values(t); };
  const Tensor x = random_tensor({n, size, size, in}, DType::float32, 1);
  const Tensor w = random_tensor({out, 3, 3, in}, DType::float32, 2);
  const Tensor dy = random_tensor({n, size, size, out}, DType::float32, 3);
  const Values xd = doubles(x), wd = doubles(w), dyd = doubles(dy);
  const auto pick = [](const Tensor& t, const Values& v, auto* like) {
    if constexpr (std::is_same_v<decltype(like), float*>) {
      return t.data<float>();
    } else {
      return v.data();
    }
  };
  namespace d = fer::detail;
  const Errors passes[] = {
      errors(
          dy.numel(), [&](float* y) { d::winograd_forward(m, s, x.data<float>(), {w.data<float>()}, y); },
          [&](auto* y) { d::direct_conv_forward(s, pick(x, xd, y), {pick(w, wd, y)}, y); }),
      errors(
          x.numel(),
          [&](float* dx) { d::winograd_backward_input(m, s, dy.data<float>(), w.data<float>(), dx); },
          [&](auto* dx) { d::direct_conv_backward_input(s, pick(dy, dyd, dx), pick(w, wd, dx), dx); }),
      errors(
          w.numel(),
          [&](float* dw) { d::winograd_backward_weight(m, s, x.data<float>(), dy.data<float>(), dw); },
          [&](auto* dw) { d::direct_conv_backward_weight(s, pick(x, xd, dw), pick(dy, dyd, dw), dw); })};
  const char* names[] = {"forward", "input gradient", "weight gradient"};
  for (int i = 0; i < 3; ++i) {
    INFO(names[i] << " of " << size << " pixels, " << in << " -> " << out << ", tile " << m);
    CHECK(passes[i].winograd > 0);
    CHECK(passes[i].winograd <= 4 * passes[i].direct);
  }
}

std::string message_of(const auto& action) {
  try {
    action();
  } catch (const fer::ShapeError& error) {
    return error.what();
  }
  return "no ShapeError";
}

}  // namespace

TEST_SUITE("cpu products") {
  TEST_CASE("matmul is the product for ragged sizes and all transposes") {
    const std::int64_t sizes[] = {1, 2, 5, 6, 7, 13, 14, 15, 16, 17, 31, 33};
    for (std::int64_t m : sizes)
      for (std::int64_t n : sizes)
        for (std::int64_t k : {std::int64_t{1}, (m * 7 + n) % 40 + 1}) check_matmul(1, m, n, k);
  }

  TEST_CASE("matmul is the product where several blocks of rows, columns and depth meet") {
    check_matmul(1, 97, 65, 321);
    check_matmul(1, 203, 17, 701);
    check_matmul(1, 1, 1100, 643);
    check_matmul(1, 16, 530, 331);
    check_matmul(1, 37, 3, 1500);
    check_matmul(3, 29, 53, 20);
    check_matmul(12, 19, 19, 11);
  }

  TEST_CASE("matmul over an empty inner dimension is zero") {
    Tensor y = poisoned({2, 3, 4}, DType::float32);
    backend(Device::cpu).matmul(Tensor::empty({2, 3, 0}), false, Tensor::empty({2, 0, 4}), false, y);
    check_close(y, Values(24, 0.0), "empty product");
  }

  TEST_CASE("the linear layer and its gradients") {
    in_both_types([](DType dtype) {
      for (auto [rows, in, out] : {std::array<std::int64_t, 3>{1, 1, 1},
                                   {5, 7, 3},
                                   {16, 33, 17},
                                   {197, 48, 50},
                                   {1500, 24, 35},
                                   {3001, 16, 64}}) {
        fer::Backend& cpu = backend(Device::cpu);
        const Tensor x = random_tensor({rows, in}, dtype, 1), w = random_tensor({out, in}, dtype, 2);
        const Tensor bias = random_tensor({out}, dtype, 3), dy = random_tensor({rows, out}, dtype, 4);
        const std::string what = fer::concat("linear ", rows, " x ", in, " -> ", out);
        Values y = naive_product(values(x), false, values(w), true, 1, rows, out, in);
        check_close(with_one_and_two_threads({rows, out}, dtype,
                                             [&](Tensor& t) { cpu.linear_forward(x, w, Tensor(), t); }),
                    y, what + " without bias");
        const Values b = values(bias), g = values(dy);
        Values db(b.size());
        for (std::size_t i = 0; i < y.size(); ++i) {
          y[i] += b[i % b.size()];
          db[i % b.size()] += g[i];
        }
        check_close(with_one_and_two_threads({rows, out}, dtype,
                                             [&](Tensor& t) { cpu.linear_forward(x, w, bias, t); }),
                    y, what);
        check_close(with_one_and_two_threads({rows, in}, dtype,
                                             [&](Tensor& t) { cpu.linear_backward_input(dy, w, t); }),
                    naive_product(g, false, values(w), false, 1, rows, in, out), what + " dx");
        Tensor dbias = poisoned({out}, dtype);
        check_close(with_one_and_two_threads({out, in}, dtype,
                                             [&](Tensor& t) { cpu.linear_backward_weight(x, dy, t, dbias); }),
                    naive_product(g, true, values(x), false, 1, out, in, rows), what + " dweight");
        check_close(dbias, db, what + " dbias");
      }
    });
  }

  TEST_CASE("conv2d and its gradients over kernels, strides, paddings and groups") {
    for (const ConvCase& c : {
             ConvCase{1, 1, 1, 1, 1, 1, 1, 1, 0, 1},   // a single number
             ConvCase{2, 5, 7, 3, 4, 3, 3, 1, 1, 1},   // few channels
             ConvCase{2, 9, 8, 3, 16, 3, 3, 2, 1, 1},  // the stem at stride 2
             ConvCase{2, 11, 5, 1, 9, 7, 5, 1, 3, 1},  // one channel, a kernel as wide as the map
             ConvCase{1, 9, 8, 7, 5, 2, 4, 3, 2, 1}, ConvCase{1, 40, 30, 3, 64, 3, 3, 1, 1, 1},
             ConvCase{1, 7, 6, 5, 7, 3, 3, 1, 0, 1},    // no padding
             ConvCase{1, 6, 7, 17, 19, 3, 3, 2, 1, 1},  // strided, odd and even extents
             ConvCase{2, 7, 7, 16, 33, 3, 3, 3, 2, 1},  // stride 3: pixels that no output meets
             ConvCase{1, 5, 5, 20, 12, 1, 1, 2, 0, 1},  // strided 1x1: most input pixels unused
             ConvCase{3, 4, 5, 21, 18, 1, 1, 1, 0, 1},  // the plain product
             ConvCase{1, 4, 4, 6, 5, 1, 1, 1, 1, 1},    // 1x1 with padding
             ConvCase{1, 8, 9, 4, 6, 5, 5, 1, 2, 1},    // 5x5
             ConvCase{1, 8, 9, 18, 6, 2, 3, 2, 1, 1},   // a kernel that is not square
             ConvCase{1, 3, 3, 16, 16, 3, 3, 1, 1, 1},  // mostly border
             ConvCase{1, 2, 2, 8, 8, 3, 3, 1, 2, 1},    // padding beyond the kernel's half
             ConvCase{2, 6, 5, 12, 18, 3, 3, 1, 1, 3},  // groups
             ConvCase{1, 6, 5, 40, 36, 3, 3, 2, 1, 2},  // groups at stride 2
         })
      check_conv(c);
  }

  TEST_CASE("conv2d where several blocks meet") {
    for (const ConvCase& c : {
             ConvCase{2, 14, 14, 40, 48, 3, 3, 1, 1, 1},
             ConvCase{1, 28, 29, 16, 24, 3, 3, 1, 1, 1},
             ConvCase{1, 14, 13, 350, 17, 3, 3, 2, 1, 1},  // more channels than one piece of depth
             ConvCase{1, 9, 9, 330, 20, 1, 1, 2, 0, 1},
         })
      check_conv(c);
  }

  TEST_CASE("Winograd's error is at most four times the direct convolution's on the model's layers") {
    for (int m : {2, 4}) {
      check_winograd_accuracy(m, 1, 56, 64, 64);
      check_winograd_accuracy(m, 1, 28, 128, 128);
      check_winograd_accuracy(m, 2, 14, 256, 256);
      check_winograd_accuracy(m, 1, 14, 64, 64);
    }
  }

  TEST_CASE("Winograd's convolution on maps that its tiles do not divide, with every padding") {
    for (const ConvCase& c : {
             ConvCase{1, 1, 1, 16, 16, 3, 3, 1, 1, 1},
             ConvCase{2, 5, 7, 16, 32, 3, 3, 1, 1, 1},
             ConvCase{1, 13, 14, 48, 16, 3, 3, 1, 1, 1},
             ConvCase{1, 9, 6, 32, 80, 3, 3, 1, 0, 1},
             ConvCase{1, 6, 10, 16, 48, 3, 3, 1, 2, 1},
             ConvCase{3, 28, 27, 32, 16, 3, 3, 1, 1, 1},
             ConvCase{2, 8, 9, 24, 40, 3, 3, 1, 1, 1},
             ConvCase{4, 6, 7, 8, 16, 3, 3, 1, 1, 1},     // a row of twos below fours
             ConvCase{6, 5, 14, 16, 8, 3, 3, 1, 1, 1},    // and a column beside them
             ConvCase{9, 14, 14, 96, 32, 3, 3, 1, 1, 1},  // all kinds, in several blocks
             ConvCase{1, 12, 12, 8, 72, 3, 3, 1, 1, 1},
         }) {
      for (int m : {2, 4}) check_winograd(m, c);
    }
  }

  TEST_CASE("an empty batch has no outputs and a weight gradient of zero") {
    const Tensor x = Tensor::empty({0, 14, 14, 16}), dy = Tensor::empty({0, 14, 14, 16});
    Tensor dweight = poisoned({16, 3, 3, 16}, DType::float32), dbias = poisoned({16}, DType::float32);
    backend(Device::cpu).conv2d_backward_weight(x, dy, {1, 1, 1}, dweight, dbias);
    CHECK(values(dweight) == Values(16 * 9 * 16, 0.0));
    CHECK(values(dbias) == Values(16, 0.0));
    Tensor y = Tensor::empty({0, 14, 14, 16});
    backend(Device::cpu).conv2d_forward(x, dweight, Tensor(), {1, 1, 1}, y);
  }

  TEST_CASE("depthwise_conv2d and its gradients") {
    for (const ConvCase& c : {
             ConvCase{1, 1, 1, 1, 1, 3, 3, 1, 1, 1},
             ConvCase{2, 7, 9, 5, 5, 3, 3, 1, 1, 5},
             ConvCase{2, 8, 11, 19, 19, 3, 3, 1, 1, 19},
             ConvCase{2, 12, 9, 16, 16, 3, 3, 2, 1, 16},
             ConvCase{1, 13, 14, 24, 24, 3, 3, 2, 1, 24},
             ConvCase{1, 9, 10, 8, 8, 3, 3, 1, 0, 8},
             ConvCase{2, 7, 7, 33, 33, 7, 7, 1, 0, 33},
             ConvCase{1, 15, 16, 17, 17, 7, 7, 1, 3, 17},
             ConvCase{1, 16, 15, 12, 12, 7, 7, 2, 3, 12},
             ConvCase{1, 9, 8, 6, 6, 5, 5, 1, 2, 6},
             ConvCase{1, 8, 9, 6, 6, 2, 3, 3, 1, 6},
             ConvCase{3, 28, 28, 40, 40, 3, 3, 1, 1, 40},
         })
      check_depthwise(c);
  }

  TEST_CASE("shapes that do not fit are refused by name") {
    fer::Backend& cpu = backend(Device::cpu);
    Tensor y = Tensor::empty({2, 4});
    CHECK(message_of([&] {
            cpu.matmul(Tensor::empty({2, 3}), false, Tensor::empty({4, 3}), false, y);
          }) == "[matmul] shapes do not multiply: a (2, 3), b (4, 3), y (2, 4)");
    CHECK(message_of([&] {
            cpu.linear_forward(Tensor::empty({2, 3}), Tensor::empty({4, 5}), Tensor(), y);
          }) == "[linear] input (2, 3), weight (4, 5) and output (2, 4) do not fit");
    Tensor map = Tensor::empty({1, 5, 5, 4});
    CHECK(message_of([&] {
            cpu.conv2d_forward(Tensor::empty({1, 5, 5, 3}), Tensor::empty({4, 3, 3, 3}), Tensor(), {1, 0, 1},
                               map);
          }) ==
          "[conv2d] x (1, 5, 5, 3), weight (4, 3, 3, 3) and y (1, 5, 5, 4) do not fit with stride 1, "
          "padding 0, groups 1");
    CHECK(message_of([&] {
            cpu.depthwise_conv2d_forward(Tensor::empty({1, 5, 5, 2}), Tensor::empty({4, 3, 3, 1}), {1, 1, 1},
                                         map);
          }) == "[depthwise_conv2d] needs as many output as input channels, got 2 and 4");
  }
}
