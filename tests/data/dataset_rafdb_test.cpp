// RAF-DB as published and as on Kaggle.
#include "tests/data/dataset_test.h"

namespace fer::test {
namespace {

TEST_CASE("rafdb: as published") {
  const TempFolder folder;
  fs::path list = folder / "EmoLabel/list_patition_label.txt";
  CHECK(open_error<IoError>("rafdb", folder.path()) == "data set 'rafdb': '" + list.string() +
                                                           "' does not exist, nor does '" +
                                                           (folder / "train/1").string() + "'");
  std::string pictures = "Image/aligned/", ending = "_aligned.jpg";
  SUBCASE("aligned") {}
  SUBCASE("without _aligned") {
    ending = ".jpg";
  }
  SUBCASE("list_partition_label.txt, beside the pictures") {
    list = folder / "list_partition_label.txt";
    pictures = "aligned/";
  }
  write_text(list, "train_00001.jpg 5\r\ntrain_00002.jpg 7\ntest_0001.jpg 1\n");
  for (const char* name : {"train_00001", "train_00002", "test_0001"})
    put_picture(folder / (pictures + name + ending));
  const auto train = open("rafdb", folder.path());
  CHECK(train->size() == 2);
  CHECK(train->label(0) == 4);
  CHECK(train->label(1) == 6);
  CHECK(train->info().class_names == expression_names());
  CHECK(train->info().neutral == 6);
  CHECK(train->info().warnings.size() == 5);  // the classes that are not there
  CHECK(open("rafdb", folder.path(), Split::test)->label(0) == 0);
  // Pictures that are not on the list are counted, in the part that their names indicate.
  for (const char* name : {"train_00008", "train_00009", "test_0009"})
    put_picture(folder / (pictures + name + ending));
  const DatasetInfo info = open("rafdb", folder.path())->info();
  REQUIRE(info.left_out.size() == 1);
  CHECK(info.left_out[0].rule == "not in the list");
  CHECK(info.left_out[0].count == 2);
  CHECK(info.left_out[0].examples.at(1) == (folder / (pictures + "train_00009" + ending)).string());
  CHECK(info.warnings.at(0) == "2 pictures left aside: 2 not in the list");
}

TEST_CASE("rafdb: what is wrong in its list") {
  const TempFolder folder;
  const fs::path list = folder / "EmoLabel/list_patition_label.txt";
  put_picture(folder / "Image/aligned/train_00001_aligned.jpg");
  const auto message = [&](const std::string& text) {
    write_text(list, text);
    return open_error<DataError>("rafdb", folder.path());
  };
  CHECK(message("train_00001.jpg 5\ntrain_00002.jpg 8\n") ==
        list.string() + ":2: the label must be 1 to 7, got '8'");
  CHECK(message("train_00001.jpg 5\ntrain_00002.jpg 99999999999999999999\n") ==
        list.string() + ":2: the label must be 1 to 7, got '99999999999999999999'");
  CHECK(message("train_00001.jpg\n") ==
        list.string() + ":1: expected a file name and a label, got 'train_00001.jpg'");
  CHECK(message("00001.jpg 3\n") ==
        list.string() + ":1: the picture's name must begin with train or test, got '00001.jpg'");
  CHECK(message("test_0001.jpg 1\n") == "data set 'rafdb': the train part has no samples");

  write_text(list, "train_00001.jpg 5\ntrain_00003.jpg 2\n");
  const std::string missing = list.string() + ":2: the picture '" +
                              (folder / "Image/aligned/train_00003_aligned.jpg").string() +
                              "' does not exist";
  CHECK(open_error<IoError>("rafdb", folder.path()) == missing);
  DatasetOptions options;
  options.validation_fraction = 0;
  options.name = "rafdb";
  options.folder = folder.path();
  options.skip_bad = 1;
  options.class_names = "1=joy";
  const auto kept = open_dataset(options);
  CHECK(kept->size() == 1);
  CHECK(kept->info().warnings.at(0) == "class names are for the data set 'folder' and change nothing here");
  CHECK(kept->info().warnings.at(1) == "left out: " + missing);
  std::string many = "train_00001.jpg 5\n", lines;
  for (int i = 2; i < 14; ++i) {
    many += concat("train_", i, ".jpg 1\n");
    if (i < 12)
      lines += concat(list.string(), ":", i, ": the picture '",
                      (folder / concat("Image/aligned/train_", i, "_aligned.jpg")).string(),
                      "' does not exist\n  ");
  }
  write_text(list, many);
  CHECK(message_of<IoError>([&] { open_dataset(options); }) ==
        "data set 'rafdb': 12 of 13 pictures do not exist:\n  " + lines +
            "and 2 more\n--skip-bad 12 leaves them out");
}

TEST_CASE("rafdb: as on Kaggle") {
  const TempFolder folder;
  for (int label = 1; label <= 7; ++label) {
    put_picture(folder / concat("DATASET/train/", label, "/train_0000", label, "_aligned.jpg"));
    put_picture(folder / concat("DATASET/test/", label, "/test_0000", label, "_aligned.jpg"));
  }
  const auto train = open("rafdb", folder.path());
  CHECK(train->size() == 7);
  CHECK(train->label(2) == 2);
  CHECK(train->info().class_names == expression_names());
  CHECK(open("rafdb", folder.path(), Split::test)->size() == 7);
  const fs::path csv = folder / "DATASET/train_labels.csv";
  write_text(csv, "image,label\ntrain_00001_aligned.jpg,1\ntrain_00003_aligned.jpg,3\n");
  CHECK(open("rafdb", folder.path())->size() == 7);
  write_text(csv, "image,label\ntrain_00001_aligned.jpg,1\ntrain_00003_aligned.jpg,4\n");
  CHECK(open_error<DataError>("rafdb", folder.path()) ==
        "'" + (folder / "DATASET/train/3/train_00003_aligned.jpg").string() +
            "' lies in the folder of label 3, but " + csv.string() + ":3 says 4");
  fs::remove(csv);
  fs::remove_all(folder / "DATASET/train/6");
  CHECK(open_error<IoError>("rafdb", folder.path()) ==
        "data set 'rafdb': the folder '" + (folder / "DATASET/train/6").string() + "' does not exist");
}

}  // namespace
}  // namespace fer::test
