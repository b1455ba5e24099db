// A network's size is checked before its memory is allocated.
#include <doctest/doctest.h>

#include "fer/error.h"
#include "fer/layers/layers.h"

TEST_CASE("a limit on parameters refuses what is far beyond it, and ends with its scope") {
  {
    const fer::ParameterLimit limit(500, "x.safetensors");  // so 1,001,000 are allowed
    const fer::Linear first(1000, 1000, /*bias=*/false);
    CHECK_THROWS_WITH_AS(
        fer::Linear(1000, 2, /*bias=*/false),
        "x.safetensors: its sizes are of a larger network than its 500 values fill; a 'weight' of "
        "shape (2, 1000) is beyond them",
        fer::FormatError);
    const fer::Linear rest(999, 1);
    CHECK_THROWS_AS(fer::BatchNorm(1), fer::FormatError);
  }
  CHECK_NOTHROW(fer::Linear(1000, 1001));
}

TEST_CASE("an inner limit holds alone, and the outer one after it") {
  const fer::ParameterLimit outer(0, "outer");
  {
    const fer::ParameterLimit inner(1'000'000, "inner");
    CHECK_NOTHROW(fer::Linear(1000, 2000));
  }
  CHECK_THROWS_AS(fer::Linear(1000, 2000), fer::FormatError);
}
