// Examining pictures before training, and leaving out bad ones.
#include "fer/data/examine.h"

#include "tests/data/dataset_test.h"

namespace fer::test {
namespace {

/// Twelve pictures of two classes, some of them truncated.
struct DamagedFolder {
  TempFolder folder;
  explicit DamagedFolder(int damaged) {
    const auto bytes = bytes_of(fixture("plain.jpg"));
    for (int i = 0; i < 12; ++i) {
      auto part = bytes;
      if (i < damaged) part.resize(part.size() / 2);
      write_bytes(path(i), part);
    }
    put_picture(folder / "test/a/1.png");
  }
  fs::path path(int i) const { return folder / concat("train/", i % 2 == 0 ? "a/" : "b/", 100 + i, ".jpg"); }
  std::shared_ptr<const Dataset> open() const { return test::open("folder", folder.path()); }
};

TEST_CASE("examine: damaged pictures are found, and the others kept in the cache") {
  const DamagedFolder files(2);
  const auto data = files.open();
  SampleCache cache;
  std::int64_t last = 0;
  const Examination seen = examine(
      *data,
      [&](std::int64_t done, std::int64_t all) {
        CHECK(all == 12);
        last = done;
        return true;
      },
      &cache, 20);
  CHECK(seen.finished);
  CHECK(!seen.all_grey);
  CHECK(last > 0);
  REQUIRE(seen.bad.size() == 2);
  CHECK(seen.bad[0].index == 0);
  CHECK(seen.bad[0].reason.starts_with("'" + files.path(0).string() + "' is a truncated JPEG: "));
  CHECK(seen.bad[1].index == 6);
  CHECK(!cache.find(data->name(0), 20, 3));
  const auto kept = cache.find(data->name(1), 20, 3);
  REQUIRE(kept);
  CHECK(kept->image == resize(data->sample(1).image, 20, 20));
  CHECK(cache.find(data->name(1), 20, 1)->image == to_grey(kept->image));
  CHECK(!cache.find(data->name(1), 21, 3));

  const auto without = without_bad(data, seen, 2);
  CHECK(without->size() == 10);
  CHECK(without->name(0) == files.path(2).string());
  CHECK(without->info().class_counts == std::vector<std::int64_t>{5, 5});
  CHECK(without->info().warnings ==
        std::vector<std::string>{"left out: " + seen.bad[0].reason, "left out: " + seen.bad[1].reason});
  CHECK(without->info().left_out.at(0).rule == "damaged");
  CHECK(message_of<DataError>([&] { without_bad(data, seen, 1); }) ==
        "data set 'folder', train: 2 of 12 pictures cannot be read:\n  " + seen.bad[0].reason + "\n  " +
            seen.bad[1].reason + "\n--skip-bad 2 leaves them out");
}

TEST_CASE("examine: at most ten damaged pictures are named; if all are damaged, none is left") {
  const DamagedFolder files(12);
  const auto data = files.open();
  const Examination seen = examine(*data);
  REQUIRE(seen.bad.size() == 12);
  std::string lines;
  for (int i = 0; i < 10; ++i) lines += seen.bad[static_cast<std::size_t>(i)].reason + "\n  ";
  CHECK(message_of<DataError>([&] { without_bad(data, seen, 0); }) ==
        "data set 'folder', train: 12 of 12 pictures cannot be read:\n  " + lines +
            "and 2 more\n--skip-bad 12 leaves them out");
  CHECK(message_of<DataError>([&] { without_bad(data, seen, 12); }) ==
        "data set 'folder': no picture of the train part can be read");
}

TEST_CASE("examine: without damaged pictures nothing changes, and a callback that returns false stops it") {
  const DamagedFolder files(0);
  const auto data = files.open();
  CHECK(without_bad(data, examine(*data), 0) == data);
  CHECK(!examine(*data, [](std::int64_t, std::int64_t) { return false; }).finished);
}

TEST_CASE("sample cache: samples that do not fit are not kept") {
  SampleCache cache(3000);
  Sample sample;
  sample.image = Image(20, 20, 3);
  cache.keep("a", sample);
  CHECK(!cache.is_full());
  cache.keep("b", sample);
  CHECK(cache.is_full());
  CHECK(cache.find("a", 20, 3));
  CHECK(!cache.find("b", 20, 3));
  sample.image = Image(20, 20, 1);
  SampleCache grey;
  grey.keep("a", sample);
  CHECK(!grey.find("a", 20, 3));  // its colours are not known
}

}  // namespace
}  // namespace fer::test
