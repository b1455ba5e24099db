// Killed with SIGKILL again and again at arbitrary moments, and resumed each time, a run ends with the
// weights of an undisturbed one.
#include <doctest/doctest.h>

#include "app/program.h"
#include "fer/formats/state_dict.h"
#include "fer/tensor/random.h"

using app_test::Folder;
using app_test::Result;
using app_test::run;

TEST_CASE("twenty kills leave no trace in the weights") {
  const Folder folder("kill");
  REQUIRE(run(app_test::short_training(folder / "whole")).code == 0);

  fer::Random random({7, fer::fnv1a64("kills"), 0});
  int killed = 0;
  for (int attempt = 0; attempt < 20; ++attempt) {
    const bool begun = app_test::fs::exists(folder / "cut/config.json");
    if (!begun) app_test::fs::remove_all(folder / "cut");
    const auto arguments = begun ? std::vector<std::string>{"train", "--resume", folder / "cut", "--quiet"}
                                 : app_test::short_training(folder / "cut");
    const Result result = run(arguments, 20 + static_cast<int>(random.below(600)));
    CHECK((result.code == -SIGKILL || result.code == 0));
    killed += result.code == -SIGKILL ? 1 : 0;
  }
  CHECK(killed > 3);
  if (!app_test::fs::exists(folder / "cut/config.json")) {
    REQUIRE(run(app_test::short_training(folder / "cut")).code == 0);
  } else {
    const Result last = run({"train", "--resume", folder / "cut", "--quiet"});
    REQUIRE_MESSAGE(last.code == 0, last.err);
  }
  CHECK(app_test::read_all(folder / "whole/best.safetensors") ==
        app_test::read_all(folder / "cut/best.safetensors"));
  const fer::StateDict whole = fer::load_state_dict(folder / "whole/last.safetensors"),
                       cut = fer::load_state_dict(folder / "cut/last.safetensors");
  REQUIRE(whole.size() == cut.size());
  for (const auto& [name, tensor] : whole) {
    if (tensor.dtype() != fer::DType::float32) continue;
    CHECK_MESSAGE(tensor.to_vector<float>() == cut.at(name).to_vector<float>(), name);
  }
}
