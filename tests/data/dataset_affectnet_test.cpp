// AffectNet in both of its layouts, and the .npy files of its annotations.
#include "data/npy.h"
#include "tests/data/dataset_test.h"

namespace fer::test {
namespace {

TEST_CASE("affectnet: published layout with .npy annotations") {
  const TempFolder folder;
  CHECK(open_error<IoError>("affectnet7", folder.path()) ==
        "data set 'affectnet7': '" + folder.str() +
            "' holds neither 'train_set/annotations' nor 'train.txt', 'training.csv' or 'labels.csv'; "
            "folders of "
            "classes are the data set 'folder'");
  const auto put = [&](const std::string& number, const char* label, const char* arousal) {
    const std::string base = "train_set/annotations/" + number;
    put_picture(folder / ("train_set/images/" + number + ".jpg"));
    write_bytes(folder / (base + "_exp.npy"), bytes_of(fixture(label)));
    write_bytes(folder / (base + "_aro.npy"), bytes_of(fixture(arousal)));
    write_bytes(folder / (base + "_lnd.npy"), bytes_of(fixture("points.npy")));
  };
  put("10", "label_int64.npy", "arousal_float.npy");   // 5
  put("2", "label_string.npy", "arousal_string.npy");  // 3
  const auto data = open("affectnet7", folder.path());
  REQUIRE(data->size() == 2);
  CHECK(data->label(0) == 3);  // 2 before 10
  CHECK(data->label(1) == 5);
  CHECK(data->info().neutral == 0);
  CHECK(data->info().has_arousal);
  CHECK(data->info().has_landmarks);
  const Sample sample = data->sample(0);
  CHECK(*sample.arousal == doctest::Approx(-0.0625));
  CHECK((*sample.landmarks)[1].y == 3);  // pixel 3 of a picture of one pixel
  CHECK(*data->sample(1).arousal == doctest::Approx(0.25));

  fs::remove(folder / "train_set/images/10.jpg");
  CHECK(open_error<IoError>("affectnet7", folder.path()) ==
        (folder / "train_set/annotations/10_exp.npy").string() + ": the picture '" +
            (folder / "train_set/images/10.jpg").string() + "' does not exist");
  DatasetOptions options;
  options.name = "affectnet7";
  options.folder = folder.path();
  options.skip_bad = 1;
  CHECK(open_dataset(options)->size() == 1);
  put_picture(folder / "train_set/images/3.png");
  options.split = Split::train;
  const auto unlisted = open_dataset(options)->info().left_out;
  REQUIRE(unlisted.size() == 2);
  CHECK(unlisted[1].rule == "without an annotation");
  CHECK(unlisted[1].count == 1);
  CHECK(unlisted[1].examples.at(0) == (folder / "train_set/images/3.png").string());
  const fs::path annotation = folder / "train_set/annotations/10_exp.npy";
  write_bytes(annotation, bytes_of(fixture("points.npy")));
  CHECK(open_error<FormatError>("affectnet7", folder.path()) ==
        "'" + annotation.string() + "': expected one element, got 136");
  write_bytes(annotation, bytes_of(fixture("arousal_float.npy")));
  CHECK(open_error<DataError>("affectnet7", folder.path()) ==
        "'" + annotation.string() + "': the label must be 0 to 10, got 0.25");
}

TEST_CASE("affectnet: an annotation text, seven and eight classes") {
  const TempFolder folder;
  for (const char* name : {"a.jpg", "sub/b c.jpg", "d.jpg", "e.jpg"}) put_picture(folder / name);
  write_text(folder / "train.txt", "a.jpg 0\nsub/b c.jpg 6\nd.jpg 7\ne.jpg 9\n");
  const auto seven = open("affectnet7", folder.path());
  CHECK(seven->size() == 2);
  CHECK(seven->classes() == 7);
  CHECK(seven->info().warnings.at(0) == "2 pictures left aside: 1 contempt, 1 uncertain");
  CHECK(seven->sample(1).label == 6);
  const auto eight = open("affectnet8", folder.path());
  CHECK(eight->size() == 3);
  CHECK(eight->label(2) == 7);
  CHECK(eight->info().warnings.at(0) == "1 pictures left aside: 1 uncertain");
  write_text(folder / "val.txt", "a.jpg 11\n");
  CHECK(open_error<DataError>("affectnet8", folder.path(), Split::test) ==
        (folder / "val.txt").string() + ":1: the label must be 0 to 10 or a known name, got '11'");
}

constexpr const char* cropped_header =
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,"
    "arousal\n";

TEST_CASE("affectnet: pictures that no list names are counted once, in the training part") {
  const TempFolder folder;
  for (const char* name : {"1/a.jpg", "1/b.jpg", "1/c.jpg", "2/d.jpg", "3/e.jpg"}) put_picture(folder / name);
  const auto check = [&](const std::string& layout) {
    CAPTURE(layout);
    const auto train = open("affectnet7", folder.path());
    CHECK(train->size() == 1);
    const std::vector<LeftOut>& left_out = train->info().left_out;
    REQUIRE(left_out.size() == 2);  // b is of another class, d and e are beside no listed picture
    CHECK(left_out[1].rule == "in no list");
    CHECK(left_out[1].count == 1);
    CHECK(left_out[1].examples == std::vector<std::string>{(folder / "1/c.jpg").string()});
    const auto& warnings = train->info().warnings;
    CHECK(std::count(warnings.begin(), warnings.end(), "1 pictures left aside: 1 in no list") == 1);
    for (const LeftOut& entry : open("affectnet7", folder.path(), Split::test)->info().left_out)
      CHECK(entry.rule != "in no list");
  };
  write_text(folder / "train.txt", "1/a.jpg 0\n1/b.jpg 9\n");
  write_text(folder / "val.txt", "2/d.jpg 1\n");
  check("txt");
  fs::remove(folder / "train.txt");
  fs::remove(folder / "val.txt");
  write_text(folder / "training.csv", "path,label\n1/a.jpg,0\n1/b.jpg,9\n");
  write_text(folder / "validation.csv", "path,label\n2/d.jpg,1\n");
  check("csv");
}

TEST_CASE("affectnet: the published csv files, of faces in larger pictures") {
  const TempFolder folder;
  write_image(folder / "plain.png", read_image(fixture("plain.jpg")));  // 32 x 24
  const auto png = bytes_of(folder / "plain.png");
  for (const char* name :
       {"Manually_Annotated_Images/12/a.png", "Manually_Annotated_Images/12/b.png", "13/c.png"})
    write_bytes(folder / name, png);
  write_text(folder / "training.csv", std::string(cropped_header) +
                                          "12/a.png,4,8,20,16,1;2;3;4,6,-0.3,0.5\n"
                                          "12/b.png,-2,0,20,20,1;2;3;4,0,-2,-2\n"
                                          "13/c.png,0,0,32,32,1;2;3;4,9,-2,-2\n");
  write_text(folder / "validation.csv",
             "13/c.png,0,0,32,32,1;2;3;4,3,0.1,0.2\n");  // it comes without a header
  const auto train = open("affectnet7", folder.path());
  REQUIRE(train->size() == 2);
  CHECK(train->label(0) == 6);
  CHECK(train->info().has_arousal);
  const Sample sample = train->sample(0);
  CHECK(sample.arousal == 0.5f);
  CHECK(sample.image == crop(read_image(folder / "plain.png"), 8, 4, 16, 20));
  CHECK(train->sample(1).image.width == 18);  // within the picture
  CHECK(!train->sample(1).arousal);
  CHECK(train->info().warnings.at(0) == "1 pictures left aside: 1 uncertain");
  const auto test = open("affectnet7", folder.path(), Split::test);
  CHECK(test->label(0) == 3);
  CHECK(test->sample(0).arousal == 0.2f);

  const fs::path csv = folder / "training.csv";
  write_text(csv, std::string(cropped_header) + "12/a.png,100,100,50,50,1;2,6,-0.3,0.5\n");
  CHECK(message_of<FormatError>([&] { open("affectnet7", folder.path())->sample(0); }) ==
        "'" + (folder / "Manually_Annotated_Images/12/a.png").string() +
            "' has 32 x 24 pixels, but its list says that its face is 50 x 50 at 100, 100; pictures that are "
            "cut to "
            "the face need a list without face_x");
  const auto message = [&](const std::string& text) {
    write_text(csv, text);
    return open_error<DataError>("affectnet7", folder.path());
  };
  CHECK(message(std::string(cropped_header) + "12/a.png,1,2,0,50,1;2,6,-0.3,0.5\n") ==
        csv.string() + ":2: the face's place and size must be numbers of pixels, got '0'");
  CHECK(message(std::string(cropped_header) + "12/a.png,1,2,1e99,50,1;2,6,-0.3,0.5\n") ==
        csv.string() + ":2: the face's place and size must be numbers of pixels, got '1e99'");
  CHECK(message(std::string(cropped_header) + "12/a.png,1,2,9,9,1;2,99999999999999999999,-0.3,0.5\n") ==
        csv.string() + ":2: the label must be 0 to 10 or a known name, got '99999999999999999999'");
  CHECK(message("a,b\n1,2\n") ==
        csv.string() + ":1: the header names no column of pictures (subDirectory_filePath, pth, path)");
  CHECK(message("path,b\n1,2\n") ==
        csv.string() + ":1: the header names no column of labels (expression, label, emotion)");
}

TEST_CASE("affectnet: labels.csv, as on Kaggle") {
  const TempFolder folder;
  std::string rows = ",pth,label,relFCs\n";
  for (int i = 0; i < 20; ++i) {
    const std::string name = concat(i % 2 == 0 ? "anger" : "surprise", "/image", i, ".png");
    put_picture(folder / name);
    rows += concat(i, ",", name, ",", i % 2 == 0 ? "Angry" : "Surprise", ",0.87\n");
  }
  write_text(folder / "labels.csv", rows);
  const auto train = open("affectnet8", folder.path()), test = open("affectnet8", folder.path(), Split::test);
  CHECK(train->size() == 16);
  CHECK(test->size() == 4);
  CHECK(test->info().class_counts == std::vector<std::int64_t>{0, 0, 0, 2, 0, 0, 2, 0});
  CHECK(
      test->info().warnings.at(0) ==
      "it has no test part of its own; 20 % of its pictures, class by class by seed 1, are held out for one");
  write_text(folder / "labels.csv",
             "image;label;split\nanger/image0.png;6;train\nanger/image2.png;6;val\n"
             "anger/image4.png;6;test\n");
  CHECK(open("affectnet8", folder.path())->size() == 1);
  CHECK(open("affectnet8", folder.path(), Split::test)->name(0) == (folder / "anger/image4.png").string());
  CHECK(open("affectnet8", folder.path(), Split::validation, 0.1)->name(0) ==
        (folder / "anger/image2.png").string());
}

TEST_CASE(".npy: integers, floats, strings; other things are refused") {
  using detail::read_npy;
  CHECK(read_npy(fixture("label_string.npy")) == std::vector<double>{3});
  CHECK(read_npy(fixture("label_bytes.npy")) == std::vector<double>{4});
  CHECK(read_npy(fixture("label_int64.npy")) == std::vector<double>{5});
  CHECK(read_npy(fixture("label_uint8.npy")) == std::vector<double>{6});
  CHECK(read_npy(fixture("arousal_float.npy")) == std::vector<double>{0.25});
  CHECK(read_npy(fixture("points.npy")).at(135) == 135);
  CHECK(read_npy(fixture("points_strings.npy")).at(135) == 67.5);
  const std::string object = fixture("object.npy").string();
  CHECK(message_of<FormatError>([&] { read_npy(object); }) ==
        "'" + object + "': the .npy element type '|O' is not read; numbers and strings are");
  const TempFolder folder;
  const fs::path path = folder / "x.npy";
  const auto whole = bytes_of(fixture("points.npy"));
  for (std::size_t n = 0; n < whole.size(); n += n < 140 ? 1 : 97) {  // cut anywhere
    write_bytes(path, {whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n)});
    CHECK(message_of<FormatError>([&] { read_npy(path); }).starts_with("'" + path.string() + "'"));
  }
  for (std::size_t n = 6; n < 128; ++n) {  // changed anywhere in the header
    auto changed = whole;
    changed[n] ^= 0x15;
    write_bytes(path, changed);
    try {
      read_npy(path);
    } catch (const FormatError&) {
    }
  }
}

}  // namespace
}  // namespace fer::test
