// Metrics of a confusion matrix against values worked out by hand.
#include "fer/training/metrics.h"

#include <doctest/doctest.h>

#include <cmath>

#include "fer/error.h"

TEST_CASE("figures of a small matrix") {
  fer::ConfusionMatrix m({"a", "b", "c"});
  // a: 3 right, 1 as b; b: 2 right, 2 as a; c: no samples.
  for (int i = 0; i < 3; ++i) m.add(0, 0);
  m.add(0, 1);
  for (int i = 0; i < 2; ++i) {
    m.add(1, 1);
    m.add(1, 0);
  }
  CHECK(m.total() == 8);
  CHECK(m.accuracy() == doctest::Approx(5.0 / 8));
  CHECK(m.recall(0) == doctest::Approx(3.0 / 4));
  CHECK(m.precision(0) == doctest::Approx(3.0 / 5));
  CHECK(m.f1(0) == doctest::Approx(2 * 0.75 * 0.6 / (0.75 + 0.6)));
  CHECK(m.recall(1) == doctest::Approx(0.5));
  CHECK(m.precision(1) == doctest::Approx(2.0 / 3));
  CHECK(std::isnan(m.recall(2)));
  CHECK(std::isnan(m.precision(2)));
  CHECK(m.mean_class_accuracy() == doctest::Approx((0.75 + 0.5) / 2));
  CHECK(m.text().find("75.0") != std::string::npos);
}

TEST_CASE("a class out of range is an error that names the pair") {
  fer::ConfusionMatrix m({"a", "b"});
  try {
    m.add(2, 0);
    FAIL("no error");
  } catch (const fer::DataError& error) {
    CHECK(std::string(error.what()) == "confusion matrix of 2 classes: got the pair (2, 0)");
  }
}

TEST_CASE("no samples: figures are not defined rather than zero") {
  const fer::ConfusionMatrix m({"a", "b"});
  CHECK(std::isnan(m.accuracy()));
  CHECK(std::isnan(m.mean_class_accuracy()));
}
