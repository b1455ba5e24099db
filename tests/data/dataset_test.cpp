// Data sets of labelled folders and of drawn faces, parts of data sets, and the messages for what is wrong in
// them.
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
}

TEST_CASE("folder: classes are the folders' names, in order") {
  const TempFolder folder;
  for (const char* name : {"train/happy/a.png", "train/happy/b.JPG", "train/Neutral/c.png", "train/sad/d.png",
                           "test/happy/e.png", "test/sad/f.png", "train/sad/notes.txt"}) {
    put_picture(folder / name);
  }
  const auto train = open("folder", folder.path());
  CHECK(train->info().class_names == std::vector<std::string>{"Neutral", "happy", "sad"});
  CHECK(train->info().neutral == 0);
  CHECK(train->info().class_counts == std::vector<std::int64_t>{1, 2, 1});
  CHECK(train->info().warnings.empty());
  CHECK(train->sample(1).label == 1);
  CHECK(train->sample(1).image.at(0, 0, 1) == 200);
  CHECK(train->name(1) == (folder / "train/happy/a.png").string());

  const auto test = open("folder", folder.path(), Split::test);
  CHECK(test->size() == 2);
  CHECK(test->label(1) == 2);
  CHECK(test->info().warnings == std::vector<std::string>{"class 'Neutral' has no samples"});
}

TEST_CASE("folder: what is wrong is said") {
  const TempFolder folder;
  const std::string train = (folder / "train").string();
  CHECK(open_error<IoError>("folder", folder.path()) ==
        "data set 'folder': the folder '" + train + "' does not exist");
  fs::create_directories(folder / "train");
  CHECK(open_error<DataError>("folder", folder.path()) ==
        "data set 'folder': '" + train + "' holds no class folders");
  fs::create_directories(folder / "train/angry");
  CHECK(open_error<DataError>("folder", folder.path()) ==
        "data set 'folder': the class folder '" + train + "/angry' holds no PNG or JPEG picture");
  put_picture(folder / "train/angry/a.png");
  CHECK(open_error<IoError>("folder", folder.path(), Split::test) ==
        "data set 'folder': the folder '" + (folder / "test").string() + "' does not exist");
  put_picture(folder / "test/mad/a.png");
  CHECK(open_error<DataError>("folder", folder.path(), Split::test) ==
        "data set 'folder': the class 'mad' of '" + (folder / "test").string() + "' is not in '" + train +
            "'");
}

TEST_CASE("folder: a truncated JPEG is met when it is read, and named") {
  const TempFolder folder;
  auto bytes = bytes_of(fixture("plain.jpg"));
  bytes.resize(bytes.size() / 2);
  write_bytes(folder / "train/happy/broken.jpg", bytes);
  const auto data = open("folder", folder.path());
  const std::string message = message_of<FormatError>([&] { data->sample(0); });
  CHECK(message.starts_with("'" + (folder / "train/happy/broken.jpg").string() + "' is a truncated JPEG: "));
}

TEST_CASE("rafdb") {
  const TempFolder folder;
  const fs::path list = folder / "EmoLabel/list_patition_label.txt";
  CHECK(open_error<IoError>("rafdb", folder.path()) ==
        "data set 'rafdb': '" + list.string() + "' does not exist");
  write_text(list, "train_00001.jpg 5\r\ntrain_00002.jpg 7\ntest_0001.jpg 1\n");
  for (const char* name : {"train_00001", "train_00002", "test_0001"}) {
    put_picture(folder / (std::string("Image/aligned/") + name + "_aligned.jpg"));
  }
  const auto train = open("rafdb", folder.path());
  CHECK(train->size() == 2);
  CHECK(train->label(0) == 4);
  CHECK(train->label(1) == 6);
  CHECK(train->info().class_names == expression_names());
  CHECK(train->info().neutral == 6);
  CHECK(train->info().warnings.size() == 5);  // the classes that are not there
  CHECK(open("rafdb", folder.path(), Split::test)->label(0) == 0);

  write_text(list, "train_00001.jpg 5\ntrain_00002.jpg 8\n");
  CHECK(open_error<DataError>("rafdb", folder.path()) ==
        list.string() + ":2: the label must be 1 to 7, got '8'");
  write_text(list, "train_00001.jpg 5\ntrain_00003.jpg 2\n");
  CHECK(open_error<IoError>("rafdb", folder.path()) ==
        list.string() + ":2: the picture '" + (folder / "Image/aligned/train_00003_aligned.jpg").string() +
            "' does not exist");
  write_text(list, "train_00001.jpg\n");
  CHECK(open_error<DataError>("rafdb", folder.path()) ==
        list.string() + ":1: expected a file name and a label, got 'train_00001.jpg'");
  write_text(list, "00001.jpg 3\n");
  CHECK(open_error<DataError>("rafdb", folder.path()) ==
        list.string() + ":1: the picture's name must begin with train or test, got '00001.jpg'");
  write_text(list, "test_0001.jpg 1\n");
  CHECK(open_error<DataError>("rafdb", folder.path()) == "data set 'rafdb': the train part has no samples");
}

TEST_CASE("the validation part is carved from the training part, class by class, by seed") {
  const TempFolder folder;
  for (int i = 0; i < 40; ++i) put_picture(folder / concat("train/a/", 100 + i, ".png"));
  for (int i = 0; i < 20; ++i) put_picture(folder / concat("train/b/", 100 + i, ".png"));
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

TEST_CASE("subsets and plain pictures") {
  DatasetOptions options;
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
