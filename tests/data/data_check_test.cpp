// fer data check: counts, sizes, colour, damaged files, and duplicates: exact, near, mirrored, or none.
#include "fer/data/data_check.h"

#include <nlohmann/json.hpp>

#include "data/duplicates.h"
#include "tests/data/dataset_test.h"

namespace fer::test {
namespace {

Image face(std::uint64_t person, std::uint64_t picture, int side = 64) {
  return draw_face(sample_face(7, person, picture), side).image;
}

Image brighter(Image image, int by) {
  for (std::uint8_t& value : image.pixels) value = static_cast<std::uint8_t>(std::clamp(value + by, 0, 255));
  return image;
}

TEST_CASE("duplicates: copies are found, other faces are not") {
  std::vector<Image> images;
  for (std::uint64_t person = 0; person < 60; ++person) images.push_back(face(person, person));
  const auto n = static_cast<std::int64_t>(images.size());
  const Image original = images[5];
  images.push_back(original);                                      // n: exact
  images.push_back(resize(original, 80, 80));                      // n + 1: of another size
  images.push_back(decode_image(encode_jpeg(original, 60), "x"));  // n + 2: compressed
  images.push_back(brighter(original, 15));                        // n + 3
  images.push_back(flip_horizontal(original));                     // n + 4
  images.push_back(to_grey(original));                             // n + 5
  images.push_back(crop(original, 1, 1, 62, 62));                  // n + 6: a little less of it
  images.push_back(to_rgb(to_grey(images[9])));  // n + 7, n + 8: grey, in one channel and in three
  images.push_back(to_grey(images[9]));
  std::vector<detail::Fingerprint> prints;
  for (const Image& image : images) prints.push_back(detail::fingerprint_of(image));
  const detail::Groups exact = detail::exact_duplicates(prints);
  CHECK(exact == detail::Groups{{5, n}, {n + 7, n + 8}});
  CHECK(detail::near_duplicates(prints, exact) ==
        detail::Groups{{5, n, n + 1, n + 2, n + 3, n + 4, n + 5, n + 6}, {9, n + 7, n + 8}});
}

TEST_CASE("duplicates: pictures without contrast match nothing") {
  std::vector<detail::Fingerprint> prints;
  for (int value : {10, 10, 11, 200})
    prints.push_back(detail::fingerprint_of(Image(30, 30, 1, static_cast<std::uint8_t>(value))));
  const detail::Groups exact = detail::exact_duplicates(prints);
  CHECK(exact == detail::Groups{{0, 1}});
  CHECK(detail::near_duplicates(prints, exact).empty());
}

TEST_CASE("duplicates: many copies of one picture do not take long") {
  std::vector<detail::Fingerprint> prints;
  for (int i = 0; i < 20000; ++i) {
    detail::Fingerprint print = prints.empty() ? detail::fingerprint_of(face(1, 1)) : prints[0];
    print.exact[0] += static_cast<std::uint64_t>(i);  // each a little different
    prints.push_back(print);
  }
  const detail::Groups groups = detail::near_duplicates(prints, {});
  REQUIRE(groups.size() == 1);
  CHECK(groups[0].size() == 20000);
}

/// A folder with a leak, a contradiction, a damaged file and one of another format.
struct CheckedFolder {
  TempFolder folder;
  CheckedFolder() {
    for (const char* part : {"train", "test"}) {
      for (int i = 0; i < 6; ++i) {
        const std::string name = concat(part, i % 2 == 0 ? "/happy/" : "/sad/", i, ".png");
        const auto person = static_cast<std::uint64_t>(i + (part[1] == 'r' ? 0 : 20));
        fs::create_directories((folder / name).parent_path());
        write_image(folder / name, face(person, person, i == 1 ? 40 : 64));
      }
    }
    write_image(folder / "test/sad/leak.png", face(0, 0));  // happy in train
    write_image(folder / "test/happy/flipped.png", flip_horizontal(face(2, 2)));
    write_image(folder / "train/happy/grey.png", to_grey(face(50, 50)));
    write_text(folder / "train/sad/damaged.png", "no picture");
    write_text(folder / "train/sad/notes.xcf", "");
  }
  DataCheck check() const {
    DatasetOptions options;
    options.validation_fraction = 0;
    options.name = "folder";
    options.folder = folder.path();
    return check_data(options);
  }
  std::string path(const std::string& name) const { return (folder / name).string(); }
};

TEST_CASE("data check: of a folder, as text") {
  const CheckedFolder checked;
  const DataCheck check = checked.check();
  CHECK(!is_sound(check));
  const std::string method =
      "near duplicates (64 bits of the cosine transform at most 6 apart, and small grey copies, mirrored or "
      "not, that "
      "correlate by at least 0.98)";
  CHECK(to_text(check) == "folder in " + checked.folder.str() +
                              "\n\ntrain: 8 pictures\n"
                              "  happy        4\n"
                              "  sad          4\n"
                              "  40 to 64 wide (median 64), 40 to 64 high (median 64); 1 grey, 6 in colour\n"
                              "  1 cannot be read:\n"
                              "  " +
                              check.parts.at(0).damaged.at(0).reason +
                              "\n"
                              "  left out: 1 .xcf (" +
                              checked.path("train/sad/notes.xcf") +
                              ")\n"
                              "\ntest: 8 pictures\n"
                              "  happy        4\n"
                              "  sad          4\n"
                              "  40 to 64 wide (median 64), 40 to 64 high (median 64); 1 grey, 7 in colour\n"
                              "\nexact duplicates (the same pixels): 2 pictures in 1 groups\n"
                              "  in train and test: 1 of train, 1 of test; 1 groups with several labels\n"
                              "    " +
                              checked.path("train/happy/0.png") + " (train, happy), " +
                              checked.path("test/sad/leak.png") +
                              " (test, sad)\n"
                              "\n" +
                              method +
                              ": 2 pictures in 1 groups\n"
                              "  in train and test: 1 of train, 1 of test\n"
                              "    " +
                              checked.path("train/happy/2.png") + " (train, happy), " +
                              checked.path("test/happy/flipped.png") + " (test, happy)\n");
}

TEST_CASE("data check: as JSON") {
  const CheckedFolder checked;
  const auto json = nlohmann::json::parse(to_json(checked.check()));
  CHECK(json["version"] == 1);
  CHECK(json["sound"] == false);
  CHECK(json["parts"][0]["split"] == "train");
  CHECK(json["parts"][0]["classes"]["happy"] == 4);
  CHECK(json["parts"][0]["width"]["median"] == 64);
  CHECK(json["parts"][0]["damaged"].size() == 1);
  CHECK(json["parts"][0]["left_out"][0]["rule"] == ".xcf");
  CHECK(json["exact_duplicates"]["shared"][0]["groups_with_several_labels"] == 1);
  CHECK(json["near_duplicates"]["groups"][0][1]["name"] == checked.path("test/happy/flipped.png"));
  CHECK(json["near_duplicates"]["groups"][0][1]["class"] == "happy");
}

TEST_CASE("data check: a part that cannot be opened is reported, and the others are checked") {
  const TempFolder folder;
  put_picture(folder / "train/a/1.png");
  put_picture(folder / "train/b/2.png");
  put_picture(folder / "test/c/3.png");
  DatasetOptions options;
  options.validation_fraction = 0;
  options.name = "folder";
  options.folder = folder.path();
  const DataCheck check = check_data(options);
  REQUIRE(check.parts.size() == 2);
  CHECK(check.parts[0].problem.empty());
  CHECK(check.parts[1].problem == "data set 'folder': the class 'c' of '" + (folder / "test").string() +
                                      "' is not in '" + (folder / "train").string() +
                                      "', which has 'a', 'b'");
  CHECK(!is_sound(check));
  CHECK(!check_data(options, [](std::int64_t, std::int64_t) { return false; }).finished);
}

TEST_CASE("data check: pictures that a list names and that are missing are counted, and the others checked") {
  const TempFolder folder;
  const fs::path list = folder / "EmoLabel/list_patition_label.txt";
  std::string lines;
  for (int i = 0; i < 30; ++i) lines += concat(i % 2 == 0 ? "train_" : "test_", i, ".jpg 1\n");
  write_text(list, lines);
  put_picture(folder / "Image/aligned/train_0.jpg");
  put_picture(folder / "Image/aligned/test_1.jpg");
  DatasetOptions options;
  options.validation_fraction = 0;
  options.name = "rafdb";
  options.folder = folder.path();
  const DataCheck check = check_data(options);
  CHECK(!is_sound(check));
  CHECK(to_text(check).find("  left out: 14 missing (" + list.string() + ":3: the picture '" +
                            (folder / "Image/aligned/train_2_aligned.jpg").string() +
                            "' does not exist, ...)\n") != std::string::npos);
  CHECK(check.parts.at(0).info.class_counts.at(0) == 1);
  write_text(list, "train_0.jpg 1\ntest_1.jpg 1\n");
  CHECK(is_sound(check_data(options)));
}

TEST_CASE("FER2013 as published: pictures of PublicTest that are in Training, too") {
  const char* folder = std::getenv("FER_DATA_DIR");
  if (!folder || !fs::exists(fs::path(folder) / "fer2013.csv")) {
    MESSAGE("skipped: FER_DATA_DIR names no folder with fer2013.csv and fer2013new.csv");
    return;
  }
  DatasetOptions options;
  options.validation_fraction = 0;
  options.name = "fer2013";
  options.folder = folder;
  const DataCheck check = check_data(options);
  CHECK(is_sound(check));
  for (const SharedPictures& pair : shared_pictures(check, check.exact)) {
    if (check.parts[pair.first].split == Split::train && check.parts[pair.second].split == Split::public_test)
      CHECK(pair.of_second == 280);
  }
}

}  // namespace
}  // namespace fer::test
