// --gpus, and which GPU each process of a run takes.
#include <doctest/doctest.h>

#include "app/gpus.h"
#include "app/program.h"
#include "fer/error.h"
#include "fer/tensor/backend.h"

using app_test::run;
using fer::ConfigError;
using fer::app::parse_gpus;
using fer::app::share_gpus;

namespace {

using Numbers = std::vector<int>;
using Places = std::vector<std::size_t>;
using Lists = std::vector<std::vector<std::string>>;

}  // namespace

TEST_CASE("--gpus names all GPUs, so many, or some") {
  CHECK(parse_gpus("all", 3) == Numbers{0, 1, 2});
  CHECK(parse_gpus("2", 3) == Numbers{0, 1});
  CHECK(parse_gpus("2,0", 3) == Numbers{2, 0});
  CHECK_THROWS_WITH_AS(parse_gpus("4", 3), "--gpus 4: this machine has 3 GPUs", ConfigError);
  CHECK_THROWS_WITH_AS(parse_gpus("0", 3), "--gpus 0: this machine has 3 GPUs", ConfigError);
  CHECK_THROWS_WITH_AS(parse_gpus("0,1", 1), "--gpus 0,1: this machine has 1 GPU, counted from 0",
                       ConfigError);
  CHECK_THROWS_WITH_AS(parse_gpus("1,0,1", 2), "--gpus 1,0,1: GPU 1 is there twice", ConfigError);
  for (const char* text : {"", "two", "-1", "1.5", "0,", ",0", "0,x", "123456"})
    CHECK_THROWS_WITH_AS(
        parse_gpus(text, 3),
        fer::concat("--gpus is '", text, "'; it must be all, how many (2), or which (0,2)").c_str(),
        ConfigError);
}

TEST_CASE("each process takes the next GPU of its machine") {
  const std::vector<std::string> ab{"a", "b"};
  CHECK(share_gpus({"n1", "n1"}, {ab, ab}) == Places{0, 1});
  CHECK(share_gpus({"n1", "n2", "n1", "n2"}, {ab, ab, ab, ab}) == Places{0, 0, 1, 1});
  // Slurm may show each process a single GPU.
  CHECK(share_gpus({"n1", "n1"}, Lists{{"a"}, {"b"}}) == Places{0, 0});
  CHECK_THROWS_WITH_AS(share_gpus({"n1", "n2", "n2", "n2"}, {ab, ab, ab, ab}),
                       "n2 has 3 processes of this run, and 2 GPUs for them; each process needs its own",
                       ConfigError);
  CHECK_THROWS_WITH_AS(share_gpus({"n1", "n1"}, Lists{{"b"}, {"b"}}),
                       "n1 has 2 processes of this run, and 1 GPU for them; each process needs its own",
                       ConfigError);
}

TEST_CASE("--gpus on the command line") {
  const auto other = run({"train", "--gpus", "all", "--device", "simt"});
  CHECK(other.code == 2);
  CHECK(other.err == "fer: --gpus is for the device cuda; leave out --device simt\n");
  CHECK(run({"train", "--gpus", "2", "--processes", "2"}).code == 2);
  if (fer::is_available(fer::Device::cuda)) return;
  std::string reason;
  fer::is_available(fer::Device::cuda, &reason);
  for (const char* command : {"train", "ablate", "eval"}) {
    std::vector<std::string> words{command, "--gpus", "all"};
    if (words[0] == "ablate") words.insert(words.begin() + 1, "modules");
    if (words[0] == "eval") words.insert(words.end(), {"--weights", "none"});
    const auto missing = run(words);
    CHECK(missing.code == 1);
    CHECK(missing.err == "fer: " + reason + "\n");
  }
}
