// AffectNet in both of its layouts, and the .npy files of its annotations.
#include "data/npy.h"
#include "tests/data/dataset_test.h"

namespace fer::test {
namespace {

TEST_CASE("affectnet: published layout with .npy annotations") {
  const TempFolder folder;
  CHECK(open_error<IoError>("affectnet7", folder.path()) ==
        "data set 'affectnet7': '" + folder.str() +
            "' holds neither 'train_set/annotations' nor 'train.txt'");
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
        "the picture '" + (folder / "train_set/images/10.jpg").string() +
            "' of annotation '10_exp.npy' does not exist");
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
  CHECK(seven->info().warnings.at(0) == "2 pictures left aside: contempt, none, uncertain or no face");
  CHECK(seven->sample(1).label == 6);
  const auto eight = open("affectnet8", folder.path());
  CHECK(eight->size() == 3);
  CHECK(eight->label(2) == 7);
  CHECK(eight->info().warnings.at(0) == "1 pictures left aside: none, uncertain or no face");
  write_text(folder / "val.txt", "a.jpg 11\n");
  CHECK(open_error<DataError>("affectnet8", folder.path(), Split::test) ==
        (folder / "val.txt").string() + ":1: the label must be 0 to 10, got '11'");
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
