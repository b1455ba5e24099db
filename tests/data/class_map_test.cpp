// Classes matched by name and by alias, and data sets with renamed classes.
#include "fer/data/class_map.h"

#include "tests/data/dataset_test.h"

namespace fer::test {
namespace {

using Names = std::vector<std::string>;
using Pairs = std::vector<ClassMap::Pair>;

ClassMap matched(const Names& data, const Names& network) {
  return match_classes({"the data set", data}, {"the network", network});
}

TEST_CASE("what a class name means, however it is spelt") {
  for (const char* name : {"anger", "Angry", "ANGRY", "1_angry", "01 - Anger", "3.anger", " angry "})
    CHECK_MESSAGE(canonical_class(name) == "anger", name);
  CHECK(canonical_class("Surprised") == "surprise");
  CHECK(canonical_class("suprise") == "surprise");
  CHECK(canonical_class("afraid") == "fear");
  CHECK(canonical_class("Fearful") == "fear");
  CHECK(canonical_class("disgusted") == "disgust");
  CHECK(canonical_class("contemptuous") == "contempt");
  CHECK(canonical_class("sad") == "sadness");
  CHECK(canonical_class("joy") == "happiness");
  CHECK(canonical_class("normal") == "neutral");
  CHECK(canonical_class("Very_Bored") == "very bored");
  CHECK(canonical_class("very-bored") == "very bored");
  CHECK(canonical_class("7") == "7");  // a number is a name where there is nothing else
  CHECK(canonical_class("") == "");
  CHECK(neutral_class({"happy", "0_Normal"}) == 1);
  CHECK(neutral_class({"happy", "sad"}) == -1);
}

TEST_CASE("the published data sets match one another") {
  const Names ferplus{"neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"};
  const Names fer2013{"angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"};
  const ClassMap map = matched(fer2013, ferplus);
  CHECK(map.common == Pairs{{0, 4}, {1, 5}, {2, 6}, {3, 1}, {4, 3}, {5, 2}, {6, 0}});
  CHECK(map.only_first.empty());
  CHECK(map.only_second == Names{"contempt"});
  CHECK(map.second_of_first() == std::vector<std::int64_t>{4, 5, 6, 1, 3, 2, 0});
  CHECK_FALSE(map.identical());
  CHECK(matched({"1_surprise", "2_fear"}, {"surprised", "afraid"}).identical());
  CHECK_FALSE(matched({"fear", "surprise"}, {"surprise", "fear"}).identical());

  const ClassMap part = matched({"bored", "happy", "tired"}, {"tense", "happiness"});
  CHECK(part.common == Pairs{{1, 1}});
  CHECK(part.only_first == Names{"bored", "tired"});
  CHECK(part.only_second == Names{"tense"});
  CHECK(part.second_of_first() == std::vector<std::int64_t>{-1, 1, -1});
}

TEST_CASE("several classes of one list that mean one of the other are an error that names them") {
  CHECK(message_of<DataError>([] {
          matched({"angry", "happy", "anger"}, {"anger", "happiness"});
        }) ==
        "the data set: its classes 'angry' and 'anger' mean the same as 'anger' of the network; rename or "
        "merge "
        "them");
  CHECK(message_of<DataError>([] {
          matched({"fear", "sad"}, {"fear", "afraid", "scared"});
        }) ==
        "the network: its classes 'fear', 'afraid' and 'scared' mean the same as 'fear' of the data set; "
        "rename "
        "or merge them");
  // A network trained on such folders can be tested on them.
  CHECK(matched({"anger", "angry"}, {"anger", "angry"}).identical());
  CHECK(matched({"anger", "angry"}, {"angry", "anger"}).common == Pairs{{0, 1}, {1, 0}});
  // A class that the other list lacks cannot be mistaken for one of its classes.
  CHECK(matched({"joy", "happy", "sad"}, {"sadness", "fear"}).only_first == Names{"joy", "happy"});
  CHECK(message_of<DataError>([] {
          matched({"a", "a"}, {"a", "a"});
        }) ==
        "the data set: its classes 'a' and 'a' mean the same as 'a' and 'a' of the network; rename or merge "
        "them");
}

TEST_CASE("a data set under other class names") {
  const TempFolder folder;
  for (const char* name :
       {"train/bored/a.png", "train/happy/b.png", "train/happy/c.png", "train/sad/d.png", "test/happy/e.png"})
    put_picture(folder / name);
  const auto data = open("folder", folder.path());
  const std::vector<std::int64_t> places{-1, 1, 0};
  const std::vector<std::int64_t> known = samples_with_place(*data, places);
  CHECK(known == std::vector<std::int64_t>{1, 2, 3});
  const auto seen = relabelled(subset(data, known), {"sadness", "happiness"}, places);
  CHECK(seen->info().class_names == Names{"sadness", "happiness"});
  CHECK(seen->info().class_counts == std::vector<std::int64_t>{1, 2});
  CHECK(seen->label(0) == 1);
  CHECK(seen->sample(2).label == 0);
  CHECK(seen->name(2) == (folder / "train/sad/d.png").string());
  CHECK(message_of<ConfigError>([&] {
          relabelled(data, {"sadness", "happiness"}, places);
        }) == "a sample is of the class 'bored', which is not among sadness, happiness");
}

TEST_CASE("soft labels under other class names: the shares of the classes there, of their sum") {
  const TempFolder folder;
  put_picture(folder / "FER2013Train/a.png");
  write_text(folder / "FER2013Train/label.csv", "a.png,box,4,0,0,1,3,2,0,0,0,0\n");
  const auto soft = open("ferplus", folder.path(), Split::train, 0, LabelMode::soft);
  CHECK(soft->info().labels == "shares of the votes; the class of most votes counts as right");
  CHECK(open("ferplus", folder.path(), Split::train, 0, LabelMode::argmax)->info().labels == "most votes");
  const Sample seen = relabelled(soft, {"anger", "neutral"}, {1, -1, -1, -1, 0, -1, -1, -1})->sample(0);
  CHECK(seen.label == 1);
  REQUIRE(seen.target.size() == 2);
  CHECK(seen.target[0] == doctest::Approx(3.0 / 7));
  CHECK(seen.target[1] == doctest::Approx(4.0 / 7));
}

TEST_CASE("folder: neutral is found by its meaning") {
  const TempFolder folder;
  for (const char* name : {"train/1_happy/a.png", "train/2_Normal/b.png", "test/1_happy/c.png"})
    put_picture(folder / name);
  CHECK(open("folder", folder.path())->info().neutral == 1);
  CHECK(open("folder", folder.path())->info().labels == "class folders");
}

}  // namespace
}  // namespace fer::test
