// The JSON reader: bounded and strict; every error names the file and the key.
#include "formats/json_text.h"

#include <ctime>

#include "tests/formats/format_test.h"

namespace fer::test {
namespace {

std::string refusal(const std::string& text, const JsonLimits& limits = {}) {
  try {
    (void)parse_json(text, "x.json", limits);
  } catch (const FormatError& error) {
    return error.what();
  }
  return "no FormatError";
}

std::string repeated(const std::string& text, int count) {
  std::string made;
  for (int i = 0; i < count; ++i) made += text;
  return made;
}

/// {"k0":0,"k1":0,...}
std::string object_of(int keys) {
  std::string text = "{";
  for (int i = 0; i < keys; ++i) text += concat(i == 0 ? "" : ",", "\"k", i, "\":0");
  return text + "}";
}

TEST_CASE("JSON: values come as they are, keys in their order") {
  const Json json =
      parse_json(R"({"b": [1, -2, 2.5, "x", null, true, {"c": {}}], "a": 18446744073709551615})", "x.json");
  CHECK(json.dump() == R"({"b":[1,-2,2.5,"x",null,true,{"c":{}}],"a":18446744073709551615})");
  CHECK(parse_json("\xEF\xBB\xBF 3 ", "x.json") == Json(3));
}

TEST_CASE("JSON: numbers out of range") {
  CHECK(refusal(R"({"training": {"lr": 1e400}})") == "x.json: 'training.lr' is out of range: 1e400");
  CHECK(refusal(R"([{"a": 1}, {"b": [0, -1e400]}])") == "x.json: '[1].b[1]' is out of range: -1e400");
  CHECK(refusal("1e400") == "x.json: the value is out of range: 1e400");
  CHECK(refusal(R"({"n": 18446744073709551616})") == "x.json: 'n' is out of range: 18446744073709551616");
  CHECK(refusal(R"({"n": -9223372036854775809})") == "x.json: 'n' is out of range: -9223372036854775809");
  CHECK(refusal(R"({"n": )" + std::string(1000, '7') + "}") ==
        "x.json: 'n' is out of range: " + std::string(80, '7') + "...");
  CHECK(refusal(R"({"a": 1, "loss": NaN})") == "x.json: 'loss' is NaN, which is not JSON");
  CHECK(refusal(R"({"loss": -Infinity})") == "x.json: 'loss' is Infinity, which is not JSON");
  CHECK(refusal(R"({"loss": Infinity})") == "x.json: 'loss' is Infinity, which is not JSON");
}

TEST_CASE("JSON: texts that are not UTF-8") {
  CHECK(refusal("{\"a\": 1, \"data\": {\"folder\": \"caf\xe9\"}}") == "x.json: 'data.folder' is not UTF-8");
  CHECK(refusal("{\"a\": 1, \"caf\xe9\": 1}") == "x.json: a key is not UTF-8");
  CHECK(refusal("{\"data\": {\"b\": 1, \"\xff\": 1}}") == "x.json: a key of 'data' is not UTF-8");
  for (const char* text : {"plain", "caf\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", ""})
    CHECK(is_utf8(text));
  for (const char* text :
       {"\x80", "\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xe2\x82"})
    CHECK(!is_utf8(text));
}

TEST_CASE("JSON: errors say where the text is not JSON") {
  CHECK(refusal("").starts_with("x.json: not JSON: line 1, column 1: "));
  CHECK(refusal("{\"a\":\n tru}").starts_with("x.json: not JSON: line 2, column 5: "));
  CHECK(refusal("{} {}").starts_with("x.json: not JSON: line 1, column 4: "));
}

TEST_CASE("JSON: a key that occurs twice, in small objects and in large ones") {
  CHECK(refusal(R"({"a": {"b": 1, "c": 2, "b": 3}})") == "x.json: 'a.b' occurs twice");
  std::string large = object_of(5000);
  large.back() = ',';
  CHECK(refusal(large + R"("k17":1})") == "x.json: 'k17' occurs twice");
  CHECK(refusal(large + R"("k4999":1})") == "x.json: 'k4999' occurs twice");
  CHECK(parse_json(R"([{"a": 1}, {"a": 2}])", "x.json").size() == 2);
}

TEST_CASE("JSON: depth, size, keys and values have limits") {
  CHECK(parse_json(repeated("[", 64) + repeated("]", 64), "x.json").is_array());
  CHECK(refusal(repeated("[", 65)) == "x.json: is nested more than 64 levels deep");
  CHECK(refusal(repeated("{\"a\":", 1000000)) == "x.json: is nested more than 64 levels deep");
  CHECK(refusal("[1, 2, 3]", {.bytes = 8}) == "x.json: has 9 bytes of JSON; at most 8 are read");
  CHECK(refusal("[1, 2, 3]", {.values = 3}) == "x.json: holds more than 3 values");
  CHECK(parse_json("[1, 2, 3]", "x.json", {.bytes = 9, .values = 4}).size() == 3);
  CHECK(parse_json(object_of(10000), "x.json").size() == 10000);
  CHECK(refusal("{\"a\": " + object_of(10001) + "}") == "x.json: 'a' has more than 10000 keys");
  CHECK(refusal(object_of(10001)) == "x.json: the value has more than 10000 keys");
}

TEST_CASE("JSON: a million keys take no longer than a million values") {
  const std::string object = object_of(10000);
  std::string text = "[" + object;
  for (int i = 1; i < 100; ++i) text += "," + object;
  const std::clock_t start = std::clock();
  CHECK(parse_json(text + "]", "x.json").size() == 100);
  CHECK(std::clock() - start < 10 * CLOCKS_PER_SEC);  // quadratic: a minute
}

TEST_CASE("JSON: fields take what they can hold") {
  const Json json = parse_json(
      R"({"n": 5000000000, "x": 2.5, "t": "text", "b": true, "big": 1e300, "list": [1, 2.5], "neg": -1,
          "huge": 18446744073709551615})",
      "x.json");
  CHECK(json_at<std::int64_t>(json, "n", "x.json") == 5000000000);
  CHECK(json_at<double>(json, "n", "x.json") == 5e9);
  CHECK(json_at<std::uint64_t>(json, "huge", "x.json") == 18446744073709551615u);
  CHECK(json_at<std::vector<double>>(json, "list", "x.json") == std::vector<double>{1, 2.5});
  CHECK(json_value<std::string>(json, "t", "", "x.json") == "text");
  CHECK(json_value<std::string>(json, "none", "otherwise", "x.json") == "otherwise");
  CHECK_MESSAGE_OF(json_at<int>(json, "n", "x.json"), FormatError, "x.json: 'n' is out of range: 5000000000");
  CHECK_MESSAGE_OF(json_at<std::int64_t>(json, "huge", "x.json"), FormatError,
                   "x.json: 'huge' is out of range: 18446744073709551615");
  CHECK_MESSAGE_OF(json_at<float>(json, "big", "x.json"), FormatError,
                   "x.json: 'big' is out of range: 1e+300");
  CHECK_MESSAGE_OF(json_at<std::int64_t>(json, "x", "x.json"), FormatError,
                   "x.json: 'x' must be a whole number, got 2.5");
  CHECK_MESSAGE_OF(json_at<std::uint64_t>(json, "neg", "x.json"), FormatError,
                   "x.json: 'neg' must be a whole number, not negative, got -1");
  CHECK_MESSAGE_OF(json_at<bool>(json, "t", "x.json"), FormatError,
                   "x.json: 't' must be true or false, got \"text\"");
  CHECK_MESSAGE_OF(json_at<std::string>(json, "n", "x.json"), FormatError,
                   "x.json: 'n' must be a string, got 5000000000");
  CHECK_MESSAGE_OF(json_at<std::vector<int>>(json, "list", "x.json"), FormatError,
                   "x.json: 'list' must be a list of whole numbers, got [1,2.5]");
  CHECK_MESSAGE_OF(json_at<int>(json, "none", "x.json"), FormatError, "x.json: 'none' is missing");
  CHECK_MESSAGE_OF(json_at<int>(Json(3), "none", "x.json"), FormatError, "x.json: 'none' is missing");
}

TEST_CASE("JSON: excerpts are short and printable") {
  CHECK(excerpt(std::string(81, 'x')) == std::string(80, 'x') + "...");
  CHECK(excerpt("tab\tand \x1b[31m") == "tab?and ?[31m");
  CHECK(excerpt("\xff\xfe.") == "??.");
  CHECK(excerpt(std::string(79, 'x') + "\xc3\xa9y") == std::string(79, 'x') + "...");
}

TEST_CASE("JSON files: no larger than the limit") {
  const TemporaryFolder folder;
  const auto path = folder.file("a.json", "[1, 2, 3]");
  CHECK(read_json(path).dump() == "[1,2,3]");
  CHECK_MESSAGE_OF(read_json(path, {.bytes = 8}), IoError,
                   concat("cannot read '", path.string(), "': it is larger than 8 bytes"));
  CHECK_MESSAGE_OF(read_json(folder.file("b.json", "{\"a\": 1e999}")), FormatError,
                   concat((folder / "b.json").string(), ": 'a' is out of range: 1e999"));
}

}  // namespace
}  // namespace fer::test
