// Names and options of data sets, drawn faces, and parts of data sets.
#include <set>

#include "tests/data/dataset_test.h"

namespace fer::test {
namespace {

TEST_CASE("unknown names, splits and options") {
  CHECK(
      open_error<ConfigError>("rafdbb", "/tmp") ==
      "unknown data set 'rafdbb'; known are rafdb, ferplus, fer2013, affectnet7, affectnet8, folder, faces; "
      "did you mean 'rafdb'?");
  CHECK(open_error<ConfigError>("rafdb", "") == "data set 'rafdb': name its folder with --data");
  CHECK(open_error<IoError>("rafdb", "/nonexistent/raf") ==
        "data set 'rafdb': the folder '/nonexistent/raf' does not exist");
  CHECK(message_of<ConfigError>([] { parse_split("tets"); }) ==
        "unknown split 'tets'; known are train, validation, test, public_test, private_test; did you mean "
        "'test'?");
  CHECK(message_of<ConfigError>([] { parse_label_mode("hard"); }) ==
        "unknown label mode 'hard'; known are majority, argmax, soft");
  for (Split s : {Split::train, Split::validation, Split::test, Split::public_test, Split::private_test}) {
    CHECK(parse_split(name_of(s)) == s);
  }
  CHECK(open_error<ConfigError>("faces", "", Split::validation) ==
        "there is no validation split: its fraction is 0");
  for (Split s : {Split::public_test, Split::private_test}) {
    for (const char* name : {"faces", "rafdb", "folder", "affectnet7"}) {
      CHECK(open_error<ConfigError>(name, "/tmp", s) == concat("data set '", name, "' has no split '",
                                                               name_of(s),
                                                               "'; it has train, validation and test"));
    }
  }
  CHECK(message_of<ConfigError>([] { open("faces", "", Split::train, 0.7); }) ==
        "the validation fraction must be 0 to 0.5, got 0.7");
  DatasetOptions options;
  options.validation_fraction = 0;
  options.name = "faces";
  options.test_fraction = 0.6;
  CHECK(message_of<ConfigError>([&] { open_dataset(options); }) ==
        "the test fraction must be 0 to 0.5, got 0.6");
  options.test_fraction = 0.2;
  options.skip_bad = -1;
  CHECK(message_of<ConfigError>([&] { open_dataset(options); }) ==
        "the number of bad pictures to skip must not be negative, got -1");
}

TEST_CASE("the validation part is carved from the training part, class by class, by seed") {
  const TempFolder folder;
  for (int i = 0; i < 40; ++i) put_picture(folder / concat("train/a/", 100 + i, ".png"));
  for (int i = 0; i < 20; ++i) put_picture(folder / concat("train/b/", 100 + i, ".png"));
  put_picture(folder / "test/a/100.png");
  const auto train = open("folder", folder.path(), Split::train, 0.2);
  const auto validation = open("folder", folder.path(), Split::validation, 0.2);
  CHECK(train->info().class_counts == std::vector<std::int64_t>{32, 16});
  CHECK(validation->info().class_counts == std::vector<std::int64_t>{8, 4});
  std::set<std::string> names;
  for (const auto& part : {train, validation}) {
    for (std::int64_t i = 0; i < part->size(); ++i) names.insert(part->name(i));
  }
  CHECK(names.size() == 60);  // together everything, nothing twice
  const auto again = open("folder", folder.path(), Split::validation, 0.2);
  for (std::int64_t i = 0; i < 12; ++i) CHECK(again->name(i) == validation->name(i));
  DatasetOptions other;
  other.name = "folder";
  other.folder = folder.path();
  other.split = Split::validation;
  other.validation_fraction = 0.2;
  other.seed = 2;
  const auto different = open_dataset(other);
  int same = 0;
  for (std::int64_t i = 0; i < 12; ++i) same += different->name(i) == validation->name(i);
  CHECK(same < 12);
}

TEST_CASE("faces: persons of the parts are different people") {
  DatasetOptions options;
  options.name = "faces";
  options.train_identities = 20;
  options.test_identities = 5;
  options.faces_per_identity = 7;
  options.validation_fraction = 0.25;
  options.face_size = 32;
  const auto train = open_dataset(options);
  options.split = Split::validation;
  const auto validation = open_dataset(options);
  options.split = Split::test;
  const auto test = open_dataset(options);
  CHECK(train->size() == 15 * 7);
  CHECK(validation->size() == 5 * 7);
  CHECK(test->size() == 5 * 7);
  std::set<std::string> persons;
  for (const auto& part : {train, validation, test}) {
    for (std::int64_t i = 0; i < part->size(); i += 7)
      persons.insert(part->name(i).substr(0, part->name(i).find(',')));
    CHECK(part->info().class_counts == std::vector<std::int64_t>(7, part->size() / 7));
  }
  CHECK(persons.size() == 25);
  const Sample sample = test->sample(3);
  CHECK(sample.image.width == 32);
  CHECK(sample.landmarks.has_value());
  CHECK(sample.arousal.has_value());
  CHECK(sample.label == test->label(3));
  CHECK(test->info().neutral == 6);
  options.train_identities = 0;
  CHECK(message_of<ConfigError>([&] { open_dataset(options); }) ==
        "faces: numbers of persons and of pictures must be positive");
}

TEST_CASE("a data set is grey if every picture is, whatever its files' channels") {
  const TempFolder folder;
  const Image colour = read_image(fixture("upright.png"));
  fs::create_directories(folder / "train/a");
  fs::create_directories(folder / "test/a");
  write_image(folder / "test/a/1.png", colour);
  write_image(folder / "train/a/1.png", to_grey(colour));
  write_image(folder / "train/a/2.png", to_rgb(to_grey(colour)));
  write_image(folder / "train/a/3.jpg", to_rgb(to_grey(colour)), 60);
  CHECK(open("folder", folder.path())->info().channels == 3);  // what is known without reading the files
  CHECK(all_grey(*open("folder", folder.path())));
  write_image(folder / "train/a/4.png", colour);
  CHECK_FALSE(all_grey(*open("folder", folder.path())));
  fs::remove(folder / "train/a/4.png");
  write_text(folder / "train/a/5.png", "no picture");
  CHECK(message_of<FormatError>([&] {
          all_grey(*open("folder", folder.path()));
        }).starts_with("'" + (folder / "train/a/5.png").string() + "'"));
  write_image(folder / "train/a/6.png", colour);
  CHECK_FALSE(all_grey(*open("folder", folder.path())));
  DatasetOptions faces;
  faces.validation_fraction = 0;
  faces.name = "faces";
  CHECK_FALSE(all_grey(*open_dataset(faces)));
}

TEST_CASE("subsets and plain pictures") {
  DatasetOptions options;
  options.validation_fraction = 0;
  options.name = "faces";
  options.train_identities = 2;
  options.faces_per_identity = 7;
  options.face_size = 16;
  const auto all = open_dataset(options);
  const auto some = subset(all, {13, 2, 2});
  CHECK(some->size() == 3);
  CHECK(some->label(0) == all->label(13));
  CHECK(some->sample(2).image == all->sample(2).image);
  CHECK(some->info().class_counts[static_cast<std::size_t>(all->label(2))] >= 2);
  CHECK(message_of<ConfigError>([&] { subset(all, {14}); }) == "subset: no sample 14 among 14");
  const auto pictures = picture_files({fixture("pixel.png"), fixture("plain.jpg")});
  CHECK(pictures->label(0) == -1);
  CHECK(pictures->sample(1).image.width == 32);
}

}  // namespace
}  // namespace fer::test
