// The CPU's tiled attention against the definition with whole rows of scores in double: ragged lengths (one,
// primes, a tile plus or minus one), head widths beyond every register block, scores far beyond exp's range,
// and the same bits with any number of threads.
#include <limits>

#include "cpu_values.h"

namespace fer::testing {
namespace {

struct Sizes {
  std::int64_t batch, queries, keys, dim;
  int heads;
};

struct Attention {
  Tensor q, k, v, dy;
  AttentionBias bias;
  Tensor y, log_sum_exp, dq, dk, dv, dscores;

  template <typename T>
  static Attention inputs(const Sizes& s, double scale) {
    Attention a;
    a.q = random<T>({s.batch, s.queries, s.dim}, "q", scale);
    a.k = random<T>({s.batch, s.keys, s.dim}, "k", scale);
    a.v = random<T>({s.batch, s.keys, s.dim}, "v");
    a.dy = random<T>({s.batch, s.queries, s.dim}, "dy");
    return a;
  }

  void run(int heads) {
    const DType dtype = q.dtype();
    y = poisoned(q.shape(), dtype);
    log_sum_exp = poisoned({q.dim(0), heads, q.dim(1)}, dtype);
    dq = poisoned(q.shape(), dtype);
    dk = poisoned(k.shape(), dtype);
    dv = poisoned(v.shape(), dtype);
    dscores = bias.bias.defined() ? poisoned({q.dim(0), heads, q.dim(1), k.dim(1)}, dtype) : Tensor();
    cpu().attention_forward(q, k, v, bias, heads, y, log_sum_exp);
    cpu().attention_backward(q, k, v, bias, y, log_sum_exp, dy, heads, dq, dk, dv, dscores);
  }
};

struct Expected {
  std::vector<double> y, log_sum_exp, dq, dk, dv, dscores;
};

/// The numbers of `x` broadcast to N x heads x Tq x Tk; `otherwise` if there is none.
std::vector<double> of_scores(const Tensor& x, const Shape& scores, double otherwise) {
  Tensor all = Tensor::full(scores, otherwise, DType::float64);
  if (x.defined())
    cpu().binary(BinaryOp::mul, Tensor::full(scores, 1.0, DType::float64), x.to(DType::float64), all);
  return all.to_vector<double>();
}

// Straight from Eq. 4 and its derivative, one query at a time.
template <typename T>
Expected by_definition(const Attention& a, int heads) {
  const std::int64_t n = a.q.dim(0), tq = a.q.dim(1), tk = a.k.dim(1), dim = a.q.dim(2), width = dim / heads;
  const auto q = doubles<T>(a.q), k = doubles<T>(a.k), v = doubles<T>(a.v), dy = doubles<T>(a.dy);
  Expected e{std::vector<double>(q.size()), std::vector<double>(n * heads * tq),
             std::vector<double>(q.size()), std::vector<double>(k.size()),
             std::vector<double>(k.size()), std::vector<double>(n * heads * tq * tk)};
  const std::vector<double> bias = of_scores(a.bias.bias, {n, heads, tq, tk}, 0);
  const std::vector<double> mask = of_scores(a.bias.mask, {n, heads, tq, tk}, 1);
  const double scale = 1 / std::sqrt(static_cast<double>(width));
  for (std::int64_t row = 0; row < n * heads * tq; ++row) {
    const std::int64_t b = row / (heads * tq), h = row / tq % heads, i = row % tq;
    const std::int64_t at = (b * tq + i) * dim + h * width;
    const auto key = [&](std::int64_t j) { return (b * tk + j) * dim + h * width; };
    std::vector<double> p(tk), dp(tk);
    double max = -HUGE_VAL, sum = 0, mean = 0;
    for (std::int64_t j = 0; j < tk; ++j) {
      for (std::int64_t c = 0; c < width; ++c) p[j] += q[at + c] * k[key(j) + c] * scale;
      p[j] = mask[row * tk + j] != 0 ? p[j] + bias[row * tk + j] : -HUGE_VAL;
      max = std::max(max, p[j]);
    }
    e.log_sum_exp[row] = HUGE_VAL;
    if (max == -HUGE_VAL) continue;  // nothing to attend to: zeros
    for (double& x : p) sum += x = std::exp(x - max);
    e.log_sum_exp[row] = max + std::log(sum);
    for (std::int64_t j = 0; j < tk; ++j) {
      p[j] /= sum;
      for (std::int64_t c = 0; c < width; ++c) {
        e.y[at + c] += p[j] * v[key(j) + c];
        e.dv[key(j) + c] += p[j] * dy[at + c];
        dp[j] += dy[at + c] * v[key(j) + c];
      }
      mean += p[j] * dp[j];
    }
    for (std::int64_t j = 0; j < tk; ++j) {
      e.dscores[row * tk + j] = p[j] * (dp[j] - mean);
      const double ds = e.dscores[row * tk + j] * scale;
      for (std::int64_t c = 0; c < width; ++c) {
        e.dq[at + c] += ds * k[key(j) + c];
        e.dk[key(j) + c] += ds * q[at + c];
      }
    }
  }
  return e;
}

// Tiles are 48 queries by 128 keys; register blocks 6 or 12 rows by up to 32 columns.
const Sizes kSizes[] = {
    {1, 1, 1, 1, 1},      {2, 1, 3, 4, 4},     {1, 1, 197, 96, 8},   {2, 2, 131, 40, 2},
    {1, 7, 1, 6, 2},      {2, 5, 7, 26, 2},    {1, 47, 127, 31, 1},  {1, 48, 128, 32, 1},
    {1, 49, 129, 33, 1},  {1, 97, 257, 34, 2}, {3, 13, 11, 15, 3},   {1, 53, 67, 192, 2},
    {1, 30, 131, 128, 1}, {1, 11, 40, 400, 2}, {1, 197, 197, 96, 1}, {2, 17, 31, 10, 5},
};

}  // namespace

TEST_CASE_TEMPLATE("cpu attention: forward and backward equal those with whole score rows", T, float,
                   double) {
  for (const Sizes& s : kSizes) {
    for (double scale : {1.0, 40.0}) {  // 40: scores in the thousands
      CAPTURE(s.batch);
      CAPTURE(s.queries);
      CAPTURE(s.keys);
      CAPTURE(s.dim);
      CAPTURE(s.heads);
      CAPTURE(scale);
      Attention a = Attention::inputs<T>(s, scale);
      a.run(s.heads);
      const Expected e = by_definition<T>(a, s.heads);
      // A float score in the thousands has an error of 1e-4, and so does the ratio of two probabilities.
      const double limit = scale > 1 ? tolerance<T>(1e-11, 1e-3) : tolerance<T>(1e-13, 3e-6);
      CHECK(error(doubles<T>(a.y), e.y) < limit);
      CHECK(error(doubles<T>(a.log_sum_exp), e.log_sum_exp) < tolerance<T>(1e-14, 2e-6));
      CHECK(error(doubles<T>(a.dq), e.dq) < limit);
      CHECK(error(doubles<T>(a.dk), e.dk) < limit);
      CHECK(error(doubles<T>(a.dv), e.dv) < limit);
    }
  }
}

/// Shapes of a bias or mask for the scores N x heads x Tq x Tk.
std::vector<Shape> bias_shapes(const Sizes& s) {
  return {{s.batch, s.heads, s.queries, s.keys},
          {s.heads, s.queries, s.keys},
          {s.queries, s.keys},
          {s.batch, 1, 1, s.keys},
          {s.batch, 1, s.queries, 1},
          {s.heads, 1, 1},
          {s.keys},
          {}};
}

/// A third of the keys are masked; of some queries, all.
Tensor random_mask(const Shape& shape) {
  Random rng({5, fnv1a64("attention.mask"), 0});
  std::vector<std::uint8_t> values(static_cast<std::size_t>(shape.numel()));
  for (std::uint8_t& v : values) v = rng.below(3) == 0 ? 0 : static_cast<std::uint8_t>(rng.below(255) + 1);
  if (shape.rank() >= 2 && shape[-1] > 1) std::fill_n(values.begin(), shape[-1], std::uint8_t{0});
  return Tensor::from<std::uint8_t>(shape, values);
}

TEST_CASE_TEMPLATE("cpu attention: bias and mask, forward and backward, as with whole score rows", T, float,
                   double) {
  for (const Sizes& s : {Sizes{2, 5, 7, 26, 2}, {2, 1, 9, 8, 2}, {1, 49, 300, 33, 1}, {3, 13, 11, 15, 3}}) {
    for (const Shape& shape : bias_shapes(s)) {
      for (const bool masked : {false, true}) {
        CAPTURE(s.queries);
        CAPTURE(s.keys);
        CAPTURE(shape.str());
        CAPTURE(masked);
        Attention a = Attention::inputs<T>(s, 1);
        a.bias.bias = random<T>(shape, "bias", 3);
        if (masked) a.bias.mask = random_mask(shape);
        a.run(s.heads);
        const Expected e = by_definition<T>(a, s.heads);
        const double limit = tolerance<T>(1e-13, 5e-6);
        CHECK(error(doubles<T>(a.y), e.y) < limit);
        CHECK(error(doubles<T>(a.dq), e.dq) < limit);
        CHECK(error(doubles<T>(a.dk), e.dk) < limit);
        CHECK(error(doubles<T>(a.dv), e.dv) < limit);
        CHECK(error(doubles<T>(a.dscores), e.dscores) < limit);
        std::vector<double> lse = doubles<T>(a.log_sum_exp), expected = e.log_sum_exp;
        std::size_t wrong = 0;
        for (std::size_t i = 0; i < lse.size(); ++i) {
          wrong += std::isinf(lse[i]) != std::isinf(expected[i]);
          if (std::isinf(expected[i])) lse[i] = expected[i] = 0;
        }
        CHECK(wrong == 0);
        CHECK(error(lse, expected) < tolerance<T>(1e-14, 2e-6));
      }
    }
  }
}

TEST_CASE_TEMPLATE("cpu attention: masked keys have exactly no part, and -infinity in the bias masks too", T,
                   float, double) {
  for (const std::int64_t queries : {1, 2, 70}) {
    // Keys 1 .. 299 of 300 are masked for all but the last query, which sees none: more than a tile of keys.
    const Sizes s{2, queries, 300, 8, 2};
    Attention masked = Attention::inputs<T>(s, 1), biased = masked;
    masked.bias.mask = Tensor::zeros({queries, 300}, DType::uint8);
    biased.bias.bias = Tensor::full({queries, 300}, -HUGE_VAL, dtype_of<T>());
    for (std::int64_t i = 0; i + 1 < queries; ++i) {
      masked.bias.mask.template mutable_data<std::uint8_t>()[i * 300] = 1;
      biased.bias.bias.template mutable_data<T>()[i * 300] = 0;
    }
    masked.run(2);
    biased.run(2);
    for (const Attention* a : {&masked, &biased}) {
      for (std::int64_t i = 0; i < a->y.numel(); ++i) {
        const std::int64_t n = i / (queries * 8), query = i / 8 % queries, channel = i % 8;
        const T first = a->v.template data<T>()[n * 300 * 8 + channel];
        CHECK(a->y.template data<T>()[i] == (query + 1 < queries ? first : T(0)));
        CHECK(std::abs(a->dq.template data<T>()[i]) < tolerance<T>(1e-14, 1e-6));
      }
      for (std::int64_t i = 0; i < a->dv.numel(); ++i) {
        if (i / 8 % 300 == 0) continue;
        CHECK(a->dv.template data<T>()[i] == 0);
        CHECK(a->dk.template data<T>()[i] == 0);
      }
    }
    CHECK(same_bits(masked.y, biased.y));
    CHECK(same_bits(masked.dk, biased.dk));
  }
}

TEST_CASE_TEMPLATE("cpu attention: a bias of zeros and a mask of ones change nothing", T, float, double) {
  for (const Sizes& s : {Sizes{2, 5, 7, 26, 2}, {1, 2, 300, 8, 2}, {1, 49, 129, 33, 1}}) {
    Attention plain = Attention::inputs<T>(s, 2), changed = plain;
    changed.bias = {Tensor::zeros({1}, dtype_of<T>()), Tensor::full({1}, 1, DType::uint8)};
    plain.run(s.heads);
    changed.run(s.heads);
    CHECK(same_bits(plain.y, changed.y));
    CHECK(same_bits(plain.log_sum_exp, changed.log_sum_exp));
    CHECK(same_bits(plain.dv, changed.dv));
    CHECK(error(doubles<T>(changed.dq), doubles<T>(plain.dq)) < tolerance<T>(1e-14, 1e-6));
    CHECK(error(doubles<T>(changed.dk), doubles<T>(plain.dk)) < tolerance<T>(1e-14, 1e-6));
  }
}

TEST_CASE_TEMPLATE("cpu attention: a saturated softmax is exactly one-hot, backward too", T, float, double) {
  constexpr std::int64_t tokens = 150, dim = 24;
  Attention a = Attention::inputs<T>({1, tokens, tokens, dim, 1}, 1);
  // Query i and key i are the same long vector; no other pair comes near its score.
  for (std::int64_t i = 0; i < tokens * dim; ++i)
    a.k.mutable_data<T>()[i] = a.q.mutable_data<T>()[i] = static_cast<T>(1000) * a.q.data<T>()[i];
  for (std::int64_t i = 0; i < tokens; ++i) {  // of one length, so that a key's best query is its own
    T* row = a.q.mutable_data<T>() + i * dim;
    double norm = 0;
    for (std::int64_t c = 0; c < dim; ++c) norm += static_cast<double>(row[c]) * row[c];
    for (std::int64_t c = 0; c < dim; ++c)
      a.k.mutable_data<T>()[i * dim + c] = row[c] = static_cast<T>(row[c] * (5000 / std::sqrt(norm)));
  }
  a.run(1);
  CHECK(same_bits(a.y, a.v));
  CHECK(same_bits(a.dv, a.dy));
}

TEST_CASE_TEMPLATE("cpu attention: equal scores, however low, average the values", T, float, double) {
  Attention a = Attention::inputs<T>({1, 3, 200, 8, 2}, 1);
  a.q.fill(-1e15);
  a.k.fill(1e15);
  a.v.fill(0.5);
  a.run(2);
  for (double y : doubles<T>(a.y)) CHECK(y == doctest::Approx(0.5));
}

TEST_CASE_TEMPLATE("cpu attention: a NaN reaches its own head and no other", T, float, double) {
  Attention a = Attention::inputs<T>({1, 50, 140, 8, 2}, 1);
  a.k.mutable_data<T>()[137 * 8 + 1] = std::numeric_limits<T>::quiet_NaN();  // head 0, the last key tile
  a.run(2);
  const std::vector<double> y = doubles<T>(a.y);
  for (std::size_t i = 0; i < y.size(); ++i) {
    CAPTURE(i);
    CHECK(std::isnan(y[i]) == (i % 8 < 4));
  }
}

TEST_CASE_TEMPLATE("cpu attention: the same bits for any number of threads", T, float, double) {
  for (const Sizes& s : {Sizes{1, 197, 197, 32, 1}, Sizes{2, 60, 33, 24, 3}}) {
    check_any_threads([&] {
      Attention a = Attention::inputs<T>(s, 3);
      a.run(s.heads);
      return std::vector<Tensor>{a.y, a.log_sum_exp, a.dq, a.dk, a.dv};
    });
    check_any_threads([&] {
      Attention a = Attention::inputs<T>(s, 3);
      a.bias = {random<T>({s.heads, s.queries, s.keys}, "bias"), random_mask({s.batch, 1, 1, s.keys})};
      a.run(s.heads);
      return std::vector<Tensor>{a.y, a.log_sum_exp, a.dq, a.dk, a.dv, a.dscores};
    });
  }
}

TEST_CASE("cpu attention: no queries, and what cannot be attended to") {
  Attention none = Attention::inputs<float>({2, 0, 5, 4, 2}, 1);
  none.run(2);
  for (double g : doubles<float>(none.dk)) CHECK(g == 0);

  const auto run = [](const Sizes& s, int heads) {
    Attention a = Attention::inputs<float>(s, 1);
    a.run(heads);
  };
  CHECK_THROWS_WITH_AS(run({1, 2, 3, 8, 2}, 3), "[attention] width 8 does not divide into 3 heads",
                       ShapeError);
  CHECK_THROWS_WITH_AS(run({1, 2, 0, 8, 2}, 2), "[attention] there are no keys to attend to: k is (1, 0, 8)",
                       ShapeError);
  Attention a = Attention::inputs<float>({1, 2, 3, 8, 2}, 1);
  a.bias.mask = Tensor::zeros({3, 2}, DType::uint8);
  CHECK_THROWS_WITH_AS(
      a.run(2),
      "[attention] mask of shape (3, 2) does not broadcast to the scores, N x heads x Tq x Tk "
      "(1, 2, 2, 3); a mask of keys is N x 1 x 1 x Tk",
      ShapeError);
  a.bias = {};
  a.k = random<float>({1, 3, 4}, "k");
  CHECK_THROWS_WITH_AS(
      a.run(2), "[attention] needs q N x Tq x D and k, v N x Tk x D, got (1, 2, 8), (1, 3, 4) and (1, 3, 8)",
      ShapeError);
}

}  // namespace fer::testing
