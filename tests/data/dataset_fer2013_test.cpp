// FER2013 and FER+: csv files in both orders of columns, labels from votes, FER+'s own folders, and the
// counts of the published files.
#include "tests/data/dataset_test.h"

namespace fer::test {
namespace {

/// A row's pixels: `count` numbers, the first of them `first`.
std::string pixels(int first, int count = 2304) {
  std::string text = std::to_string(first);
  for (int i = 1; i < count; ++i) text += " " + std::to_string(i % 256);
  return text;
}

TEST_CASE("fer2013: rows, parts and both column orders") {
  const TempFolder folder;
  CHECK(open_error<IoError>("fer2013", folder.path()) ==
        "'" + folder.str() + "' holds neither fer2013.csv nor icml_face_data.csv");
  SUBCASE("fer2013.csv") {
    write_text(folder / "fer2013.csv", "emotion,pixels,Usage\n3," + pixels(7) + ",Training\n6," + pixels(8) +
                                           ",PublicTest\n0," + pixels(9) + ",PrivateTest\n");
  }
  SUBCASE("fer2013.csv with a byte order mark") {
    write_text(folder / "fer2013.csv",
               "\xEF\xBB\xBF"
               "emotion,pixels,Usage\n3," +
                   pixels(7) + ",Training\n6," + pixels(8) + ",PublicTest\n0," + pixels(9) +
                   ",PrivateTest\n");
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

TEST_CASE("fer2013: without PrivateTest rows, PublicTest is the test part, with a warning") {
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
  CHECK(message(good, "emotion,pixels,Use") ==
        csv.string() + ":1: the header has no column 'usage'; it has 'emotion', 'pixels', 'Use'");
  write_text(csv, "");
  CHECK(open_error<DataError>("fer2013", folder.path()) == csv.string() + ": is empty");
}

/// Eight rows of votes on which the rules differ.
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
    CHECK(
        data->info().warnings.at(0) ==
        (mode == LabelMode::majority
             ? "5 rows left aside: 1 without a majority, 1 won by unknown, 1 won by no face, 1 tied, 1 with "
               "only single votes"
             : "2 rows left aside: 1 won by unknown, 1 without an image name"));
    CHECK((data->info().warnings.at(1) ==
           "2 rows are tied: of the classes with the most votes, the first is the label") ==
          (mode != LabelMode::majority));
    CHECK(data->info().left_out.at(0).examples ==
          std::vector<std::string>{
              concat((folder / "fer2013.csv").string(), mode == LabelMode::majority ? ":3" : ":5")});
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
  const std::string header =
      "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n";
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
  write_text(votes, header.substr(0, header.rfind(",NF")) + "\n" + "Training,a.png,10,0,0,0,0,0,0,0,0,0\n");
  CHECK(open_error<DataError>("ferplus", folder.path()) ==
        votes.string() +
            ":1: the header has no column 'NF'; it has 'Usage', 'Image name', 'neutral', 'happiness', "
            "'surprise', 'sadness', 'anger', 'disgust', 'fear', 'contempt', 'unknown'");
  write_text(votes, "Training,a.png,10,0,0,0,0,0,0,0,0,0\n");
  CHECK(open_error<DataError>("ferplus", folder.path()) ==
        votes.string() +
            ":1: the header has no column 'Usage'; it has 'Training', 'a.png', '10', '0', '0', '0', "
            "'0', '0', '0', '0', '0', '0'");
  write_text(votes, "");
  CHECK(open_error<DataError>("ferplus", folder.path()) == votes.string() + ": is empty");
  write_text(votes, header + "Training,a.png,10\n");
  CHECK(open_error<DataError>("ferplus", folder.path()) == votes.string() + ":2: expected 12 fields, got 3");
}

TEST_CASE("ferplus: a line of junk at the end, numbers out of range, rows without a vote") {
  const TempFolder folder;
  write_votes(folder);
  const fs::path votes = folder / "fer2013new.csv";
  const auto bytes = bytes_of(votes);
  const std::string published(bytes.begin(), bytes.end());
  const auto message = [&](const std::string& line) {
    write_text(votes, published + line);
    return open_error<DataError>("ferplus", folder.path());
  };
  CHECK(message("total,,,,\n") == votes.string() + ":10: expected 12 fields, got 5");
  CHECK(message("total,,,,,,,,,,,\n") == votes.string() + ":10: votes must be 0 to 100, got ''");
  CHECK(message("Training,z.png,99999999999999999999,0,0,0,0,0,0,0,0,0") ==
        votes.string() + ":10: votes must be 0 to 100, got '99999999999999999999'");
  CHECK(message("Training,z.png,-1,0,0,0,0,0,0,0,0,0") ==
        votes.string() + ":10: votes must be 0 to 100, got '-1'");

  std::string none = published;
  none.replace(none.find("10,0,0"), 6, "0,0,0");
  write_text(votes, none);
  const auto soft = open("ferplus", folder.path(), Split::train, 0, LabelMode::soft);
  CHECK(soft->info().warnings.at(0) ==
        "3 rows left aside: 1 without votes, 1 won by unknown, 1 without an image name");
}

TEST_CASE("ferplus: votes with other separators and in another order") {
  const TempFolder folder;
  write_votes(folder);
  std::string text =
      "NF\tunknown\tcontempt\tfear\tdisgust\tanger\tsadness\tsurprise\thappiness\tneutral\tImage "
      "name\tUsage\n";
  for (const VoteRow& row : vote_rows) {
    std::string line = row.votes;
    std::reverse(line.begin(), line.end());
    for (std::size_t ten = line.find("01"); ten != std::string::npos; ten = line.find("01", ten + 2))
      line.replace(ten, 2, "10");
    std::replace(line.begin(), line.end(), ',', '\t');
    text += line + "\t" + row.name + "\tTraining\n";
  }
  write_text(folder / "fer2013new.csv", text);
  const auto data = open("ferplus", folder.path());
  REQUIRE(data->size() == 3);
  CHECK(data->label(1) == 4);
  CHECK(data->label(2) == 7);
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
  CHECK(train->info().warnings.at(0) == "1 rows left aside: 1 without a majority");
  CHECK(open("ferplus", folder.path(), Split::public_test)->label(0) == 1);
  const auto soft = open("ferplus", folder.path(), Split::train, 0, LabelMode::soft);
  CHECK(soft->sample(1).target[0] == doctest::Approx(4.0 / 9));
  CHECK(open_error<IoError>("ferplus", folder.path(), Split::test) ==
        (folder / "FER2013Test/label.csv").string() + ":1: the picture '" +
            (folder / "FER2013Test/fer0000003.png").string() + "' does not exist");
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
