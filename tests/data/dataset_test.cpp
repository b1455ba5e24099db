// Data sets in their published layouts, made small in temporary folders, and the messages for what is wrong
// in them.
#include "fer/data/dataset.h"

#include <set>

#include "data/npy.h"
#include "tests/data/helpers.h"

namespace fer::test {
namespace {

const std::vector<std::uint8_t>& tiny_png() {
  static const auto bytes = bytes_of(fixture("pixel.png"));
  return bytes;
}

void put_picture(const fs::path& path) {
  write_bytes(path, tiny_png());
}

std::shared_ptr<const Dataset> open(const std::string& name, const fs::path& folder,
                                    Split split = Split::train, double validation = 0,
                                    LabelMode mode = LabelMode::majority) {
  DatasetOptions options;
  options.name = name;
  options.folder = folder;
  options.split = split;
  options.validation_fraction = validation;
  options.label_mode = mode;
  return open_dataset(options);
}

template <typename E>
std::string open_error(const std::string& name, const fs::path& folder, Split split = Split::train) {
  return message_of<E>([&] { open(name, folder, split); });
}

/// A row's pixels: `count` numbers, the first of them `first`.
std::string pixels(int first, int count = 2304) {
  std::string text = std::to_string(first);
  for (int i = 1; i < count; ++i) text += " " + std::to_string(i % 256);
  return text;
}

TEST_CASE("unknown names, splits and options") {
  CHECK(
      open_error<ConfigError>("rafdbb", "/tmp") ==
      "unknown data set 'rafdbb'; known are rafdb, ferplus, fer2013, affectnet7, affectnet8, folder, faces");
  CHECK(open_error<ConfigError>("rafdb", "") == "data set 'rafdb': name its folder with --data");
  CHECK(open_error<IoError>("rafdb", "/nonexistent/raf") ==
        "data set 'rafdb': the folder '/nonexistent/raf' does not exist");
  CHECK(message_of<ConfigError>([] { parse_split("tets"); }) ==
        "unknown split 'tets'; known are train, validation, test, public_test, private_test");
  CHECK(message_of<ConfigError>([] { parse_label_mode("hard"); }) ==
        "unknown label mode 'hard'; known are majority, argmax, soft");
  for (Split s : {Split::train, Split::validation, Split::test, Split::public_test, Split::private_test}) {
    CHECK(parse_split(name_of(s)) == s);
  }
  CHECK(open_error<ConfigError>("faces", "", Split::validation) ==
        "there is no validation split: its fraction is 0");
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

TEST_CASE("fer2013: rows, parts and both column orders") {
  const TempFolder folder;
  CHECK(open_error<IoError>("fer2013", folder.path()) ==
        "'" + folder.str() + "' holds neither fer2013.csv nor icml_face_data.csv");
  SUBCASE("fer2013.csv") {
    write_text(folder / "fer2013.csv", "emotion,pixels,Usage\n3," + pixels(7) + ",Training\n6," + pixels(8) +
                                           ",PublicTest\n0," + pixels(9) + ",PrivateTest\n");
  }
  SUBCASE("Kaggle's icml_face_data.csv") {
    write_text(folder / "icml_face_data.csv", "emotion, Usage, pixels\r\n3, Training, " + pixels(7) +
                                                  "\r\n6, PublicTest, \"" + pixels(8) +
                                                  "\"\r\n0, PrivateTest, " + pixels(9) + "\r\n");
  }
  const auto train = open("fer2013", folder.path());
  CHECK(train->size() == 1);
  CHECK(train->label(0) == 3);
  CHECK(train->info().neutral == 6);
  CHECK(train->info().channels == 1);
  const Image image = train->sample(0).image;
  CHECK(image.height == 48);
  CHECK(image.channels == 1);
  CHECK(image.at(0, 0) == 7);
  CHECK(image.at(0, 1) == 1);
  CHECK(image.at(47, 47) == 2303 % 256);
  CHECK(open("fer2013", folder.path(), Split::public_test)->label(0) == 6);
  const auto test = open("fer2013", folder.path(), Split::test);
  CHECK(test->label(0) == 0);
  CHECK(test->sample(0).image.at(0, 0) == 9);
  CHECK(test->name(0).ends_with(".csv:4"));
}

TEST_CASE("fer2013: without PrivateTest rows, PublicTest serves and that is said") {
  const TempFolder folder;
  write_text(folder / "fer2013.csv",
             "emotion,pixels,Usage\n3," + pixels(7) + ",Training\n6," + pixels(8) + ",PublicTest\n");
  const auto test = open("fer2013", folder.path(), Split::test);
  CHECK(test->info().split == Split::public_test);
  CHECK(test->info().warnings.at(0) ==
        "this copy has no PrivateTest rows; PublicTest serves as the test part");
  CHECK(open_error<DataError>("fer2013", folder.path(), Split::private_test) ==
        "data set 'fer2013': the private_test part has no samples");
}

TEST_CASE("fer2013: bad rows") {
  const TempFolder folder;
  const fs::path csv = folder / "fer2013.csv";
  const auto message = [&](const std::string& rows, const std::string& header = "emotion,pixels,Usage") {
    write_text(csv, header + "\n" + rows);
    return open_error<DataError>("fer2013", folder.path());
  };
  const std::string good = "1," + pixels(0) + ",Training\n";
  CHECK(message(good + "2," + pixels(0, 2303) + ",Training\n") ==
        csv.string() + ":3: expected 2304 pixels, got 2303");
  CHECK(message(good + "2," + pixels(0, 2305) + ",Training\n") ==
        csv.string() + ":3: expected 2304 pixels, got 2305");
  CHECK(message(good + good + "7," + pixels(0) + ",Training\n") ==
        csv.string() + ":4: the emotion must be 0 to 6, got '7'");
  CHECK(message("2," + pixels(256) + ",Training\n") ==
        csv.string() + ":2: pixel 1 must be 0 to 255, got '256'");
  CHECK(message("2,1 2 x3 4,Training\n") == csv.string() + ":2: pixel 3 must be 0 to 255, got 'x3'");
  CHECK(message("2,1 -2 4,Training\n") == csv.string() + ":2: pixel 2 must be 0 to 255, got '-2'");
  CHECK(message("2,1 2 3\n") == csv.string() + ":2: expected 3 fields, got 2");
  CHECK(message("2," + pixels(0) + ",Testing\n") ==
        csv.string() + ":2: unknown Usage 'Testing'; known are Training, PublicTest, PrivateTest");
  CHECK(message(good, "emotion,pixels,Use") == csv.string() + ":1: the header has no column 'usage'");
  write_text(csv, "");
  CHECK(open_error<DataError>("fer2013", folder.path()) == csv.string() + ": is empty");
}

/// Eight rows of votes that tell the rules apart.
struct VoteRow {
  const char* name;
  const char* votes;
  int majority, argmax;  // -1: left aside
};
constexpr VoteRow vote_rows[] = {
    {"a.png", "10,0,0,0,0,0,0,0,0,0", 0, 0},
    {"b.png", "4,0,0,1,3,2,0,0,0,0", -1, 0},   // 4 of 9 is no majority
    {"c.png", "1,1,0,0,6,1,0,0,1,0", 4, 4},    // the single votes do not count: 6 of 6
    {"d.png", "0,0,0,0,2,0,0,0,8,0", -1, -1},  // unknown wins
    {"", "0,0,0,0,0,0,0,0,0,10", -1, -1},      // no face, and no name
    {"f.png", "0,5,5,0,0,0,0,0,0,0", -1, 1},   // the first of equals
    {"g.png", "1,1,1,1,1,1,1,1,1,1", -1, 0},   // nothing but single votes
    {"h.png", "0,0,0,0,0,0,0,7,3,0", 7, 7},
};

void write_votes(const TempFolder& folder, const std::string& usage = "Training") {
  std::string
      faces = "emotion,pixels,Usage\n",
      votes = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n";
  int first = 0;
  for (const VoteRow& row : vote_rows) {
    faces += "0," + pixels(first++) + "," + usage + "\n";
    votes += usage + "," + row.name + "," + row.votes + "\n";
  }
  write_text(folder / "fer2013.csv", faces);
  write_text(folder / "fer2013new.csv", votes);
}

TEST_CASE("ferplus: majority, argmax and soft labels, joined by row") {
  const TempFolder folder;
  write_votes(folder);
  for (LabelMode mode : {LabelMode::majority, LabelMode::argmax, LabelMode::soft}) {
    CAPTURE(name_of(mode));
    const auto data = open("ferplus", folder.path(), Split::train, 0, mode);
    std::int64_t i = 0;
    for (int row = 0; row < 8; ++row) {
      const int label = mode == LabelMode::majority ? vote_rows[row].majority : vote_rows[row].argmax;
      if (label < 0) continue;
      REQUIRE(i < data->size());
      const Sample sample = data->sample(i++);
      CHECK(sample.label == label);
      CHECK(sample.image.at(0, 0) == row);
      CHECK(sample.target.size() == (mode == LabelMode::soft ? 8 : 0));
    }
    CHECK(i == data->size());
    CHECK(data->info().soft_labels == (mode == LabelMode::soft));
    CHECK(data->info().neutral == 0);
    CHECK(data->info().warnings.at(0) == concat(8 - i, " rows left aside: no majority, unknown or no face"));
  }
  const auto soft = open("ferplus", folder.path(), Split::train, 0, LabelMode::soft);
  const auto b = soft->sample(1).target;  // 4 neutral, 3 anger, 2 disgust; the single sadness does not count
  CHECK(b[0] == doctest::Approx(4.0 / 9));
  CHECK(b[3] == 0);
  CHECK(b[4] == doctest::Approx(3.0 / 9));
  CHECK(b[5] == doctest::Approx(2.0 / 9));
  CHECK(soft->sample(4).target[7] == doctest::Approx(1.0 / 8));  // only single votes: they count after all
}

TEST_CASE("ferplus: files that do not belong together") {
  const TempFolder folder;
  write_votes(folder);
  const fs::path votes = folder / "fer2013new.csv";
  fs::rename(votes, folder / "aside");
  CHECK(open_error<IoError>("ferplus", folder.path()) ==
        "'" + folder.str() + "' holds no fer2013new.csv, FER+'s votes");
  const std::string header = "Usage,Image name,n,h,s,s,a,d,f,c,u,N\n";
  write_text(votes, header + "Training,a.png,10,0,0,0,0,0,0,0,0,0\n");
  CHECK(open_error<DataError>("ferplus", folder.path()) ==
        votes.string() + ": has 1 rows of votes, but " + (folder / "fer2013.csv").string() + " 8 pictures");
  write_text(votes, header + "PublicTest,a.png,10,0,0,0,0,0,0,0,0,0\n");
  CHECK(open_error<DataError>("ferplus", folder.path()) ==
        votes.string() + ":2: Usage is 'PublicTest', but another at " + (folder / "fer2013.csv").string() +
            ":2; the files are joined row by row");
  write_text(votes, header + "Training,a.png,10,0,0,0,0,0,0,0,x,0\n");
  CHECK(open_error<DataError>("ferplus", folder.path()) ==
        votes.string() + ":2: votes must be 0 to 100, got 'x'");
  write_text(votes, header + "Training,a.png,10\n");
  CHECK(open_error<DataError>("ferplus", folder.path()) == votes.string() + ":2: expected 12 fields, got 3");
}

TEST_CASE("ferplus: the picture folders of its own tools") {
  const TempFolder folder;
  for (const char* part : {"FER2013Train", "FER2013Valid", "FER2013Test"}) {
    put_picture(folder / (std::string(part) + "/fer0000001.png"));
    put_picture(folder / (std::string(part) + "/fer0000002.png"));
  }
  write_text(folder / "FER2013Train/label.csv",
             "fer0000001.png,\"(0, 0, 48, 48)\",0,0,0,9,0,1,0,0,0,0\nfer0000002.png,\"(0, 0, 48, "
             "48)\",4,0,0,1,3,2,0,0,0,0\n");
  write_text(folder / "FER2013Valid/label.csv", "fer0000002.png,\"(0, 0, 48, 48)\",0,10,0,0,0,0,0,0,0,0\n");
  write_text(folder / "FER2013Test/label.csv", "fer0000003.png,\"(0, 0, 48, 48)\",0,10,0,0,0,0,0,0,0,0\n");
  const auto train = open("ferplus", folder.path());
  CHECK(train->size() == 1);
  CHECK(train->label(0) == 3);
  CHECK(train->info().channels == 1);
  CHECK(train->info().warnings.at(0) == "1 rows left aside: no majority, unknown or no face");
  CHECK(open("ferplus", folder.path(), Split::public_test)->label(0) == 1);
  const auto soft = open("ferplus", folder.path(), Split::train, 0, LabelMode::soft);
  CHECK(soft->sample(1).target[0] == doctest::Approx(4.0 / 9));
  CHECK(open_error<IoError>("ferplus", folder.path(), Split::test) ==
        (folder / "FER2013Test/label.csv").string() + ":1: the picture '" +
            (folder / "FER2013Test/fer0000003.png").string() + "' does not exist");
}

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

TEST_CASE("FER+ as published: the known counts") {
  const char* folder = std::getenv("FER_DATA_DIR");
  if (!folder || !fs::exists(fs::path(folder) / "fer2013.csv")) {
    MESSAGE("skipped: FER_DATA_DIR names no folder with fer2013.csv and fer2013new.csv");
    return;
  }
  using Counts = std::vector<std::int64_t>;
  const auto train = open("ferplus", folder);
  CHECK(train->size() == 25060);
  CHECK(train->info().class_counts == Counts{8740, 7287, 3149, 3014, 2100, 119, 532, 119});
  const auto test = open("ferplus", folder, Split::public_test);
  CHECK(test->size() == 3199);
  CHECK(test->info().class_counts == Counts{1182, 865, 415, 351, 287, 24, 62, 13});
  CHECK(open("ferplus", folder, Split::train, 0, LabelMode::argmax)->size() == 28389);
  CHECK(open("ferplus", folder, Split::public_test, 0, LabelMode::argmax)->size() == 3553);
  CHECK(open("ferplus", folder, Split::train, 0, LabelMode::soft)->size() == 28389);
  CHECK(open("fer2013", folder)->size() == 28709);
  CHECK(open("fer2013", folder, Split::public_test)->size() == 3589);
  // the first row of the published file begins 70 80 82 72
  const Image first = train->sample(0).image;
  MESSAGE("first kept training row begins ", int{first.at(0, 0)}, " ", int{first.at(0, 1)});
  CHECK(train->name(0).find("fer2013.csv:") != std::string::npos);
}

}  // namespace
}  // namespace fer::test
