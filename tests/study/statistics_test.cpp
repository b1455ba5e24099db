// Statistics against values from R: t.test, binom.test, p.adjust.
#include "fer/study/statistics.h"

#include <doctest/doctest.h>

#include <cmath>

#include "fer/error.h"

TEST_CASE("mean and deviation") {
  const fer::Spread s = fer::spread({1, 2, 4});
  CHECK(s.count == 3);
  CHECK(s.mean == doctest::Approx(7.0 / 3));
  CHECK(s.deviation == doctest::Approx(1.527525));
  CHECK(std::isnan(fer::spread({5}).deviation));
  CHECK(std::isnan(fer::spread({}).mean));
}

TEST_CASE("Student's t") {
  // P(|T| > t): exact for one degree of freedom (Cauchy) and two.
  CHECK(fer::student_two_sided(1, 1) == doctest::Approx(0.5));
  CHECK(fer::student_two_sided(2, 2) == doctest::Approx(1 - 2 / std::sqrt(6.0)));
  CHECK(fer::student_two_sided(0, 7) == doctest::Approx(1));
  CHECK(fer::student_quantile(0.05, 1) == doctest::Approx(12.7062047));
  CHECK(fer::student_quantile(0.05, 2) == doctest::Approx(4.30265273));
  CHECK(fer::student_quantile(0.05, 1e6) == doctest::Approx(1.959966));
}

TEST_CASE("a paired comparison") {
  // Differences 2, 1, 3: mean 2, deviation 1, t = 2 sqrt(3) with 2 degrees of freedom.
  const fer::PairedComparison c = fer::paired_comparison({10, 20, 30}, {12, 21, 33});
  CHECK(c.pairs == 3);
  CHECK(c.difference == doctest::Approx(2));
  CHECK(c.deviation == doctest::Approx(1));
  CHECK(c.p == doctest::Approx(1 - std::sqrt(12.0) / std::sqrt(14.0)));
  CHECK(c.low == doctest::Approx(2 - 4.30265273 / std::sqrt(3.0)));
  CHECK(c.high == doctest::Approx(2 + 4.30265273 / std::sqrt(3.0)));
  CHECK(std::isnan(fer::paired_comparison({1}, {2}).p));
  CHECK(fer::paired_comparison({1, 2}, {1, 2}).p == 1);
  CHECK(fer::paired_comparison({1, 2}, {2, 3}).p == 0);
  CHECK_THROWS_WITH_AS(fer::paired_comparison({1}, {}), "[paired_comparison] needs pairs, got 1 and 0 values",
                       fer::ShapeError);
}

TEST_CASE("McNemar's test, exact") {
  // 1 of 6 discordant pairs: 2 (1 + 6) / 64.
  const fer::McNemar m = fer::mcnemar(10, 1, 5, 4);
  CHECK(m.p == doctest::Approx(14.0 / 64));
  CHECK(m.samples() == 20);
  CHECK(m.difference() == doctest::Approx(0.2));
  CHECK(fer::mcnemar(10, 5, 1, 4).p == doctest::Approx(m.p));
  CHECK(fer::mcnemar(10, 3, 3, 0).p == 1);
  CHECK(fer::mcnemar(10, 0, 0, 0).p == 1);
  // Many pairs: close to the normal approximation, erfc(|b - c| / sqrt(2 (b + c))).
  const double approximation = std::erfc((std::abs(4000.0 - 4200.0) - 1) / std::sqrt(2 * 8200.0));
  CHECK(fer::mcnemar(0, 4000, 4200, 0).p == doctest::Approx(approximation).epsilon(0.01));
}

TEST_CASE("Holm's correction keeps the order and leaves undefined values alone") {
  const auto p = fer::holm({0.04, 0.01, std::nan(""), 0.03});
  CHECK(p[1] == doctest::Approx(0.03));
  CHECK(p[3] == doctest::Approx(0.06));
  CHECK(p[0] == doctest::Approx(0.06));
  CHECK(std::isnan(p[2]));
}
