// The data set `folder`: layouts, files that are not samples, held-out parts, and names for class folders.
#include <set>

#include "tests/data/dataset_test.h"

namespace fer::test {
namespace {

using Names = std::vector<std::string>;
using Counts = std::vector<std::int64_t>;

DatasetOptions folder_options(const TempFolder& folder, Split split = Split::train) {
  DatasetOptions options;
  options.validation_fraction = 0;
  options.name = "folder";
  options.folder = folder.path();
  options.split = split;
  return options;
}

void put_pictures(const TempFolder& folder, const std::string& where, int count) {
  for (int i = 0; i < count; ++i) put_picture(folder / concat(where, "/", 100 + i, ".png"));
}

std::set<std::string> names_of(const std::vector<std::shared_ptr<const Dataset>>& parts) {
  std::set<std::string> names;
  for (const auto& part : parts) {
    for (std::int64_t i = 0; i < part->size(); ++i) names.insert(part->name(i));
  }
  return names;
}

TEST_CASE("folder: classes are the folders' names, in order") {
  const TempFolder folder;
  for (const char* name : {"train/happy/a.png", "train/happy/b.JPG", "train/Neutral/c.png", "train/sad/d.png",
                           "test/happy/e.png", "test/sad/f.png", "train/sad/notes.txt"}) {
    put_picture(folder / name);
  }
  const auto train = open("folder", folder.path());
  CHECK(train->info().class_names == Names{"Neutral", "happy", "sad"});
  CHECK(train->info().neutral == 0);
  CHECK(train->info().class_counts == Counts{1, 2, 1});
  CHECK(train->info().warnings == Names{"1 files or folders left aside: 1 .txt"});
  CHECK(train->sample(1).label == 1);
  CHECK(train->sample(1).image.at(0, 0, 1) == 200);
  CHECK(train->name(1) == (folder / "train/happy/a.png").string());
  CHECK(train->reads_files());

  const auto test = open("folder", folder.path(), Split::test);
  CHECK(test->size() == 2);
  CHECK(test->label(1) == 2);
  CHECK(test->info().warnings == Names{"class 'Neutral' has no samples"});
}

TEST_CASE("folder: parts under any of their names, in any capitals") {
  const TempFolder folder;
  std::string train = "train", validation, test;
  SUBCASE("Train, valid, Test") {
    train = "Train", validation = "valid", test = "Test";
  }
  SUBCASE("training, val, testing") {
    train = "training", validation = "val", test = "testing";
  }
  SUBCASE("TRAIN, Validation, TEST") {
    train = "TRAIN", validation = "Validation", test = "TEST";
  }
  SUBCASE("dev") {
    validation = "dev", test = "test";
  }
  put_pictures(folder, train + "/a", 4);
  put_pictures(folder, train + "/b", 3);
  put_pictures(folder, validation + "/A", 2);  // capitals of classes count for nothing either
  put_pictures(folder, test + "/b", 1);
  CHECK(open("folder", folder.path(), Split::train, 0.25)->info().class_counts == Counts{4, 3});
  const auto held = open("folder", folder.path(), Split::validation, 0.25);
  CHECK(held->info().class_counts == Counts{2, 0});
  CHECK(held->name(0) == (folder / (validation + "/A/100.png")).string());
  CHECK(open("folder", folder.path(), Split::test)->info().class_counts == Counts{0, 1});
}

TEST_CASE("folder: system files are neither samples nor classes") {
  const TempFolder folder;
  for (const char* name :
       {"train/a/1.png", "train/b/2.png", "train/a/.DS_Store", "train/a/._1.png", "train/a/Thumbs.db",
        "train/b/desktop.ini", "train/.ipynb_checkpoints/1-checkpoint.png", "train/__MACOSX/a/._1.png",
        "train/a/.ipynb_checkpoints/2.png", "__MACOSX/x.png", ".git/config", "train/a/@eaDir/1.png"}) {
    put_picture(folder / name);
  }
  const auto train = open("folder", folder.path());
  CHECK(train->info().class_names == Names{"a", "b"});
  CHECK(train->size() == 2);
  CHECK(train->info().warnings.empty());
  REQUIRE(train->info().left_out.size() == 1);
  CHECK(train->info().left_out[0].rule == "hidden");
  CHECK(train->info().left_out[0].count == 8);
  CHECK(train->info().left_out[0].examples.size() == 5);
}

TEST_CASE("folder: other files are counted, empty class folders are no classes") {
  const TempFolder folder;
  for (const char* name :
       {"train/a/1.png", "train/a/2.xcf", "train/a/3.XCF", "train/b/4.png", "train/5.png", "train/b/6"})
    put_picture(folder / name);
  write_text(folder / "train/b/LICENSE", "no picture");
  fs::create_directories(folder / "train/contempt");
  fs::create_directories(folder / "train/c");
  fs::create_directories(folder / "logs");
  put_picture(folder / "test/c/6.png");
  fs::create_symlink(folder / "nowhere.png", folder / "train/a/7.png");
  const auto train = open("folder", folder.path());
  CHECK(train->info().class_names == Names{"a", "b", "c"});
  CHECK(train->info().class_counts == Counts{1, 2, 0});  // one by what is in it
  CHECK(
      train->info().warnings ==
      Names{"the class folder 'contempt' contains no picture and is not a class",
            concat("the folder '", (folder / "logs").string(), "' is none of train, validation and test"),
            "5 files or folders left aside: 1 a picture beside the class folders, 2 .xcf, 1 a broken link, 1 "
            "without an ending",
            "class 'c' has no samples"});
}

TEST_CASE("folder: class folders alone, of which parts are held out by seed") {
  const TempFolder folder;
  put_pictures(folder, "happy", 40);
  put_pictures(folder, "sad", 20);
  const auto train = open("folder", folder.path(), Split::train, 0.25);
  const auto validation = open("folder", folder.path(), Split::validation, 0.25);
  const auto test = open("folder", folder.path(), Split::test, 0.25);
  CHECK(test->info().class_counts == Counts{8, 4});
  CHECK(validation->info().class_counts == Counts{8, 4});  // a quarter of what is left
  CHECK(train->info().class_counts == Counts{24, 12});
  CHECK(names_of({train, validation, test}).size() == 60);
  CHECK(train->info().warnings.empty());
  CHECK(
      test->info().warnings ==
      Names{
          "it has no test part of its own; 20 % of its pictures, class by class by seed 1, are held out for "
          "one"});
  CHECK(names_of({open("folder", folder.path(), Split::test, 0)}) == names_of({test}));  // whatever else
  DatasetOptions options = folder_options(folder, Split::test);
  options.seed = 2;
  CHECK(names_of({open_dataset(options)}) != names_of({test}));
  options.test_fraction = 0;
  CHECK(message_of<ConfigError>([&] { open_dataset(options); }) ==
        "data set 'folder' has no test part of its own, and the fraction to hold out for one is 0");
}

TEST_CASE("folder: the wrapper folders of an unpacked archive are looked through") {
  const TempFolder folder;
  put_pictures(folder, "archive/images/train/happy", 2);
  put_pictures(folder, "archive/images/validation/happy", 1);
  put_picture(folder / "__MACOSX/images/._x.png");
  const auto train = open("folder", folder.path(), Split::train, 0.1);
  CHECK(train->size() == 2);
  CHECK(train->info().warnings.at(0) ==
        concat("it is read from '", (folder / "archive/images").string(), "'"));
  CHECK(open("folder", folder.path(), Split::validation, 0.1)->size() == 1);
}

TEST_CASE("folder: persons below their expressions, or above") {
  const TempFolder folder;
  bool above = false;
  SUBCASE("below") {
    above = false;
  }
  SUBCASE("above") {
    above = true;
  }
  for (int person = 0; person < 20; ++person) {
    for (const char* expression : {"anger", "happiness"}) {
      const std::string name = concat("S", 100 + person);
      put_pictures(folder, above ? name + "/" + expression : expression + ("/" + name), 2);
    }
  }
  const auto train = open("folder", folder.path(), Split::train, 0.25);
  const auto validation = open("folder", folder.path(), Split::validation, 0.25);
  const auto test = open("folder", folder.path(), Split::test, 0.25);
  CHECK(train->info().class_names == Names{"anger", "happiness"});
  CHECK(test->info().class_counts == Counts{8, 8});  // 4 of 20 persons
  CHECK(
      test->info().warnings ==
      Names{
          "it has no test part of its own; the pictures of 4 of its 20 persons, by seed 1, are held out for "
          "one"});
  CHECK(train->info().class_counts == Counts{24, 24});
  CHECK(validation->info().class_counts == Counts{8, 8});
  const auto persons = [](const std::shared_ptr<const Dataset>& part) {
    std::set<std::string> found;
    for (const std::string& name : names_of({part})) found.insert(name.substr(name.find("/S"), 5));
    return found;
  };
  CHECK(persons(train).size() == 12);
  for (const std::string& person : persons(train)) {
    CHECK(!persons(test).contains(person));
    CHECK(!persons(validation).contains(person));
  }
}

TEST_CASE("folder: two levels that could both be the classes") {
  const TempFolder folder;
  for (const char* name : {"train/x/1/a.png", "train/x/2/b.png", "train/y/1/c.png"})
    put_picture(folder / name);
  CHECK(open_error<DataError>("folder", folder.path()) ==
        "data set 'folder': below '" + (folder / "train").string() +
            "' there are two levels of folders, and it is not clear which are the classes: 'x', 'y', or '1', "
            "'2' "
            "in them; name them with --class-names");
  DatasetOptions options = folder_options(folder);
  options.class_names = "1=angry,2=calm";
  CHECK(open_dataset(options)->info().class_names == Names{"angry", "calm"});
  options.class_names = "x=angry,y=calm";
  CHECK(open_dataset(options)->info().class_counts == Counts{2, 1});
  put_picture(folder / "train/x/1/deeper/d.png");
  CHECK(open_dataset(options)->info().warnings ==
        Names{"1 files or folders left aside: 1 a folder below class and person"});
}

TEST_CASE("folder: links are followed, and loops end") {
  const TempFolder folder, elsewhere;
  put_picture(elsewhere / "1.png");
  put_picture(folder / "train/a/2.png");
  fs::create_directory_symlink(elsewhere.path(), folder / "train/b");
  fs::create_directory_symlink(folder / "train", folder / "train/a/up");
  fs::create_directory_symlink(folder / "train/a", folder / "train/0");
  fs::create_symlink("self.png", folder / "train/a/self.png");
  const auto train = open("folder", folder.path());
  CHECK(train->info().class_names == Names{"a", "b"});
  CHECK(train->size() == 2);
  CHECK(train->info().warnings ==
        Names{"3 files or folders left aside: 2 a link to a folder read before, 1 a broken link"});
}

TEST_CASE("folder: numbers for classes, and names for them") {
  const TempFolder folder;
  for (int c = 0; c < 11; ++c) put_picture(folder / concat("train/", c, "/a.png"));
  put_picture(folder / "test/10/b.png");
  const auto numbers = open("folder", folder.path());
  CHECK(numbers->info().class_names == Names{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"});
  CHECK(numbers->info().warnings.at(0) ==
        "the classes are numbers; --class-names 0=angry,1=disgust gives them names");
  DatasetOptions options = folder_options(folder, Split::test);
  const auto names = [&](const std::string& spec) {
    options.class_names = spec;
    return open_dataset(options)->info();
  };
  const Names eleven{"a", "b", "neutral", "d", "e", "f", "g", "h", "i", "j", "k"};
  CHECK(names("a,b,neutral,d,e,f,g,h,i,j,k").class_names == eleven);
  CHECK(names("a,b,neutral,d,e,f,g,h,i,j,k").neutral == 2);
  CHECK(names("a,b,neutral,d,e,f,g,h,i,j,k").class_counts.back() == 1);
  CHECK(names("10=joy, 0 = calm").class_names ==
        Names{"calm", "1", "2", "3", "4", "5", "6", "7", "8", "9", "joy"});
  CHECK(names("0=calm,77=joy").warnings.at(0) == "class names: there is no class folder '77'");
  write_text(folder / "names.txt",
             "0: a\n1: b\r\n\n2: neutral\n3: d\n4: e\n5: f\n6: g\n7: h\n8: i\n9: j\n10: k");
  CHECK(names((folder / "names.txt").string()).class_names == eleven);
  write_text(folder / "names.json",
             R"({"0":"a","1":"b","2":"neutral","3":"d","4":"e","5":"f","6":"g","7":"h",)"
             R"("8":"i","9":"j","10":"k"})");
  CHECK(names((folder / "names.json").string()).class_names == eleven);
  CHECK(names(R"(["a","b","neutral","d","e","f","g","h","i","j","k"])").class_names == eleven);
  CHECK(names(R"({"joy": 10, "calm": 0})").class_names ==
        Names{"calm", "1", "2", "3", "4", "5", "6", "7", "8", "9", "joy"});
  const auto refusal = [&](const std::string& spec) { return message_of<ConfigError>([&] { names(spec); }); };
  CHECK(refusal("a,b") == "2 class names are given for 11 class folders");
  CHECK(refusal("0=a,0=b") == "class names '0=a,0=b': the folder '0' is named twice");
  CHECK(refusal("0=a,1=A") == "class names '0=a,1=A': the name 'A' is given twice");
  CHECK(refusal("0=a,b") == "class names '0=a,b': 'b' mixes FOLDER=NAME with names in order");
  CHECK(refusal(R"({"0":["a"]})") ==
        R"(class names '{"0":["a"]}': '0' must be a name, or a name's number, got ["a"])");
  CHECK(refusal("[3]") == "class names '[3]': '0' must be a name, or a name's number, got 3");
  CHECK(refusal("0=") == "class names '0=': '0=' must be FOLDER=NAME or NAME");
  CHECK(refusal("=a") == "class names '=a': '=a' must be FOLDER=NAME or NAME");
}

TEST_CASE("folder: errors") {
  const TempFolder folder;
  const std::string root = folder.str(), train = (folder / "train").string();
  CHECK(open_error<DataError>("folder", folder.path()) ==
        "data set 'folder': '" + root + "' holds no class folders");
  fs::create_directories(folder / "train");
  CHECK(open_error<DataError>("folder", folder.path()) ==
        "data set 'folder': '" + train + "' holds no class folders");
  fs::create_directories(folder / "train/angry");
  CHECK(open_error<DataError>("folder", folder.path()) ==
        "data set 'folder': the class folders of '" + train + "' contain no picture that fer reads");
  put_picture(folder / "train/angry/a.png");
  put_picture(folder / "test/mad/a.png");
  CHECK(open_error<DataError>("folder", folder.path(), Split::test) ==
        "data set 'folder': the class 'mad' of '" + (folder / "test").string() + "' is not in '" + train +
            "', which has 'angry'");
  put_picture(folder / "train/Angry/a.png");
  CHECK(open_error<DataError>("folder", folder.path()) ==
        "data set 'folder': the classes 'Angry' and 'angry' of '" + train + "' differ only in case");
  put_picture(folder / "Training/angry/a.png");
  CHECK(open_error<DataError>("folder", folder.path()) == "data set 'folder': '" +
                                                              (folder / "Training").string() + "' and '" +
                                                              train + "' are both the train part");
}

TEST_CASE("folder: a test part alone can be opened, for a network that is trained already") {
  const TempFolder folder;
  put_picture(folder / "test/sad/a.png");
  CHECK(open("folder", folder.path(), Split::test)->info().class_names == Names{"sad"});
  CHECK(open_error<IoError>("folder", folder.path()) ==
        "data set 'folder': '" + folder.str() + "' holds no folder 'train'");
}

}  // namespace
}  // namespace fer::test
