// Several processes that share a command: what they print and write is what one process would, and the same in
// every run with as many processes.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "app/ranks.h"
#include "fer/formats/state_dict.h"
#include "tests/paths.h"

using app_test::Folder;
using app_test::Result;
using app_test::run;
using app_test::Words;
using namespace app_test;
using nlohmann::json;

namespace {

/// A run of seconds.
Words tiny_training(const std::string& folder) {
  return short_training(folder) + Words{"--image-epochs", "0"};
}

/// The log without times.
std::vector<json> log_of(const std::string& folder) {
  std::istringstream lines(read_all(fs::path(folder) / "metrics.jsonl"));
  std::vector<json> log;
  for (std::string line; std::getline(lines, line);) {
    log.push_back(json::parse(line));
    for (const char* time : {"seconds", "images_per_second", "waiting", "waiting_ranks"})
      log.back().erase(time);
  }
  return log;
}

void check_same_runs(const std::string& a, const std::string& b) {
  CHECK(read_all(a + "/best.safetensors") == read_all(b + "/best.safetensors"));
  CHECK(log_of(a) == log_of(b));
  const fer::StateDict left = fer::load_state_dict(a + "/last.safetensors"),
                       right = fer::load_state_dict(b + "/last.safetensors");
  REQUIRE(left.size() == right.size());
  for (const auto& [name, tensor] : left)
    CHECK_MESSAGE(std::memcmp(tensor.raw(), right.find(name)->raw(), tensor.bytes()) == 0, name);
}

/// Weights to evaluate, of one process.
const std::string& trained() {
  static const Folder folder("processes_trained");
  static const std::string weights = [] {
    REQUIRE(run(tiny_training(folder / "run")).code == 0);
    return folder / "run";
  }();
  return weights;
}

Words two_processes(const Words& arguments) {
  return arguments + Words{"--processes", "2"};
}

}  // namespace

TEST_SUITE_BEGIN("processes");

TEST_CASE("several processes print one report and write one run, the same each time") {
  const Folder folder("processes_train");
  const Result first = run(two_processes(tiny_training(folder / "a")));
  REQUIRE_MESSAGE(first.code == 0, first.err);
  CHECK(count_of(first.out, "accuracy on ") == 1);
  CHECK(count_of(first.out, "run folder: ") == 1);
  CHECK(count_of(first.err, "rank 0 of 2 on ") == 1);
  CHECK(count_of(first.err, "rank 1 of 2") == 0);
  CHECK(count_of(first.err, "data: ") == 1);
  const json result = json::parse(read_all(folder / "a/result.json"));
  CHECK(result["steps"] == 10);
  CHECK(count_of(read_all(folder / "a/metrics.jsonl"), R"("kind":"epoch","stage":"classes")") == 2);

  const Result second = run(two_processes(tiny_training(folder / "b")));
  REQUIRE(second.code == 0);
  check_same_runs(folder / "a", folder / "b");

  const Result three = run(ranks_of_mpirun(3, tiny_training(folder / "c") + Words{"--json"}), 0, by_mpirun());
  REQUIRE_MESSAGE(three.code == 0, three.err);
  CHECK(json::parse(three.out)["steps"] == 10);  // one document
  CHECK(count_of(three.err, "rank 0 of 3 on ") == 1);
  CHECK(none_left(folder.path.string()));
}

TEST_CASE("an evaluation by three processes is that by one") {
  const Folder folder("processes_eval");
  const Words eval{"eval", "--weights", trained(), "--json", "--save"};
  const Result one = run(eval + Words{folder / "one.json"});
  const Result three = run(eval + Words{folder / "three.json", "--processes", "3"});
  REQUIRE_MESSAGE(three.code == 0, three.err);
  CHECK(three.out == one.out);
  const json a = json::parse(read_all(folder / "one.json")), b = json::parse(read_all(folder / "three.json"));
  REQUIRE(a["predictions"].size() == 14);
  CHECK(a == b);
}

TEST_CASE("a table by two processes, which is continued by one") {
  const Folder folder("processes_ablate");
  const Words table = Words{"ablate", "modules", "--out", folder / "table", "--variants", "none", "--json"} +
                      words_of(
                          "--preset tiny --train-identities 8 --test-identities 2 --faces-per-identity 7"
                          " --validation 0.2 --epochs 1 --landmark-epochs 1 --image-epochs 0"
                          " --batch-size 8 --landmark-batch-size 8");
  const auto cells = [&] {
    std::size_t count = 0;
    for (const auto& file : fs::recursive_directory_iterator(folder / "table"))
      count += file.path().filename() == "cell.json" ? 1 : 0;
    return count;
  };
  const Result two = run(two_processes(table + Words{"--seeds", "1,2"}));
  REQUIRE_MESSAGE(two.code == 0, two.err);
  CHECK(json::parse(two.out)["document"] == "fer ablation table");
  CHECK(cells() == 2);
  const Result more = run(table + Words{"--seeds", "1,2,3"});
  REQUIRE_MESSAGE(more.code == 0, more.err);
  CHECK(cells() == 3);
  CHECK(count_of(more.err, "done before") == 2);
}

TEST_CASE("the threads of a machine are divided among its processes") {
  const Folder folder("processes_threads");
  const Words eval{"eval", "--weights", trained(), "--json"};
  const std::string host = [] {
    char name[256] = {};
    ::gethostname(name, sizeof name - 1);
    return std::string(name);
  }();
  const auto cores = ::sysconf(_SC_NPROCESSORS_ONLN);
  ::unsetenv("OMP_NUM_THREADS");
  const Result divided = run(two_processes(eval));
  CHECK(count_of(divided.err, "fewer would be faster") == (cores < 2 ? 1 : 0));
  ::setenv("OMP_NUM_THREADS", std::to_string(cores).c_str(), 1);
  const Result crowded = run(two_processes(eval));
  ::unsetenv("OMP_NUM_THREADS");
  CHECK(crowded.code == 0);
  CHECK_MESSAGE(count_of(crowded.err, host + ": 2 processes with " + std::to_string(cores) + " thread") == 1,
                crowded.err);
  CHECK(crowded.out == divided.out);
}

TEST_CASE("numbers of processes that make no sense, and launchers within launchers") {
  const Folder folder("processes_refused");
  for (const char* number : {"0", "-1", "abc"}) {
    const Result result = run(tiny_training(folder / "run") + Words{"--processes", number});
    CHECK(result.code == 2);
    CHECK_MESSAGE(count_of(result.err, "--processes") == 1, result.err);
  }
  const Result nested = run(ranks_of_mpirun(2, two_processes(tiny_training(folder / "run"))), 0, by_mpirun());
  CHECK(nested.code == 2);
  CHECK(nested.err.find("fer: --processes: mpirun has already started the processes of this run\n") !=
        std::string::npos);
  const Result small = run(tiny_training(folder / "run") + Words{"--batch-size", "2", "--processes", "3"});
  CHECK(small.code == 2);
  CHECK_MESSAGE(count_of(small.err, "fer: ") == 1, small.err);
  CHECK_MESSAGE(small.err.find("3 processes") != std::string::npos, small.err);
  CHECK_FALSE(fs::exists(folder / "run"));
}

TEST_CASE("a wrong setting is one message, with the exit code of wrong settings") {
  const Folder folder("processes_wrong");
  const Result result = run(two_processes(tiny_training(folder / "run") + Words{"--dataset", "rafdb"}));
  const Result one = run(tiny_training(folder / "run") + Words{"--dataset", "rafdb"});
  CHECK(one.code != 0);
  CHECK(result.code == one.code);
  CHECK_MESSAGE(result.err.ends_with(one.err), result.err);
  CHECK(count_of(result.err, "\n") == count_of(one.err, "\n") + 1);  // and "rank 0 of 2 on ..."
  CHECK_FALSE(fs::exists(folder / "run"));
}

TEST_CASE("processes that do not have the same settings, weights or data do not start") {
  const Folder folder("processes_differ");
  const auto both = [&](const Words& first, const Words& second) {
    const Words common = tiny_training(folder / "run");
    return run(Words{"--bind-to", "none", "-np", "1", FER_PROGRAM} + common + first +
                   Words{":", "-np", "1", FER_PROGRAM} + common + second,
               0, by_mpirun());
  };
  const auto refused = [&](const Result& result, const std::string& difference) {
    INFO(result.err);
    CHECK(result.code == 2);
    CHECK(count_of(result.err, "fer: rank 1 (") == 1);
    CHECK(count_of(result.err, "fer: ") == 1);
    CHECK(result.err.find(difference) != std::string::npos);
    CHECK_FALSE(fs::exists(folder / "run"));
  };
  refused(both({}, {"--lr", "0.25"}), "has 'lr' 0.25, rank 0 (");
  refused(both({}, {"--split-seed", "2"}), "has 'split_seed' 2, rank 0 (");
  REQUIRE(run(tiny_training(folder / "other") + Words{"--seed", "2", "--max-steps", "1"}).code == 0);
  const std::string points = "/landmarks-best.safetensors";
  refused(both({"--landmarks", trained() + points}, {"--landmarks", folder / "other" + points}),
          "has the initial '");
  CHECK(none_left(folder.path.string()));
}

TEST_CASE("the data of one process that differ, or cannot be read, are named with its rank") {
  const Folder folder("processes_data");
  for (const char* part : {"one", "other"})
    for (const char* name : {"angry", "happy"}) {
      fs::create_directories(folder / part + "/" + name);
      for (int i = 0; i < 12; ++i)
        fs::copy(fer::test::source_folder() / "tests/data/files/noise_29x37.png",
                 folder / part + "/" + name + "/" + std::to_string(i) + ".png");
    }
  const auto both = [&](const std::string& second) {
    const Words common = tiny_training(folder / "run") +
                         Words{"--dataset", "folder", "--test", "0.3", "--loss", "none", "--data"};
    return run(Words{"--bind-to", "none", "-np", "1", FER_PROGRAM} + common +
                   Words{folder / "one", ":", "-np", "1", FER_PROGRAM} + common + Words{folder / second},
               0, by_mpirun());
  };
  fs::remove(folder / "other/happy/3.png");
  const Result fewer = both("other");
  CHECK(fewer.code == 2);
  CHECK_MESSAGE(fewer.err.find(") has the train part of 'folder': ") != std::string::npos, fewer.err);
  const Result missing = both("nowhere");
  CHECK(missing.code == 1);
  CHECK(count_of(missing.err, "fer: ") == 1);
  CHECK_MESSAGE(missing.err.find("fer: rank 1 (") != std::string::npos, missing.err);
  CHECK(missing.err.find(") failed: ") != std::string::npos);
  CHECK(missing.err.find("nowhere") != std::string::npos);
  CHECK_FALSE(fs::exists(folder / "run"));
}

TEST_SUITE_END();
