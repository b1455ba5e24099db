// The profiler names operations and modules, forward and backward, and its times are consistent.
#include "fer/autograd/profiler.h"

#include <doctest/doctest.h>

#include "fer/autograd/ops.h"

TEST_CASE("operations of a step are noted under their module, in order") {
  fer::Variable w(fer::Tensor::full({3, 4}, 0.5), true, "w");
  fer::Profiler profiler;
  {
    fer::ModuleScope outer("net");
    fer::ModuleScope inner("layer");
    fer::sum(fer::relu(w)).backward();
  }
  profiler.stop();
  fer::relu(w);  // after the end: not noted
  const auto& events = profiler.events();
  REQUIRE(events.size() == 4);
  CHECK(events[0].op == "relu");
  CHECK(events[0].module == "net.layer");
  CHECK(events[0].phase == fer::Profiler::Phase::forward);
  CHECK(events[1].op == "sum");
  CHECK(events[2].op == "sum");
  CHECK(events[2].phase == fer::Profiler::Phase::backward);
  CHECK(events[3].op == "relu");
  for (std::size_t i = 1; i < events.size(); ++i) {
    CHECK(events[i].start == doctest::Approx(events[i - 1].start + events[i - 1].seconds));
  }
  CHECK(fer::Profiler::current() == nullptr);
  CHECK(profiler.table(1).find("net ") != std::string::npos);
  CHECK(profiler.table(2).find("net.layer ") != std::string::npos);
  const std::string trace = profiler.chrome_trace();
  CHECK(trace.find("\"name\": \"relu\", \"cat\": \"backward\"") != std::string::npos);
  profiler.rewind(1);
  CHECK(profiler.events().size() == 1);
  profiler.rewind(7);
  CHECK(profiler.events().size() == 1);
}
