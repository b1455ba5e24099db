// The input specification in a weight file: written, read back, and refused if it is invalid.
#include "fer/formats/input_spec.h"

#include <doctest/doctest.h>

#include "fer/error.h"

namespace {

const std::string grey_text =
    R"({"version":1,"colour":"grey","size":56,"face_share":0.64,"mean":[0.5,0.25,0.75],"std":[1.0,0.5,0.125]})";

std::string error_of(const std::string& text) {
  try {
    fer::parse_input_spec(text, "w");
  } catch (const fer::FormatError& error) {
    return error.what();
  }
  return "(no error)";
}

/// The message for grey_text with one part replaced.
std::string error_with(const std::string& part, const std::string& other) {
  std::string text = grey_text;
  return error_of(text.replace(text.find(part), part.size(), other));
}

}  // namespace

TEST_CASE("input specification: to text and back") {
  fer::InputSpec spec;
  CHECK(fer::to_json(spec) == R"({"version":1,"colour":"rgb","size":112,"face_share":0.83,)"
                              R"("mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225]})");
  CHECK(fer::parse_input_spec(fer::to_json(spec), "w") == spec);
  spec = {fer::InputColour::grey, 56, 0.64, {{0.5, 0.25, 0.75}, {1, 0.5, 0.125}}};
  CHECK(fer::to_json(spec) == grey_text);
  CHECK(fer::parse_input_spec(grey_text, "w") == spec);
  CHECK(fer::description_of(spec) ==
        "grey pictures of 56 x 56, in which a detected face box takes 0.64 of the side");
}

TEST_CASE("input specification: nonsense is refused, by file and key") {
  const std::string where = "w: 'input' in its metadata";
  CHECK(error_of("grey").starts_with(where + ": not JSON: "));
  CHECK(error_of(std::string(100000, '[')) == where + ": is nested more than 64 levels deep");
  CHECK(error_of("[1]") == where + " must be a JSON object, got [1]");
  CHECK(error_of("{}") == where + " lacks 'version'");
  CHECK(error_with("1,", "2,") == where + " is of version 2, this program reads version 1");
  CHECK(error_with("\"colour\"", "\"hue\"") == where + " lacks 'colour'");
  CHECK(error_with("{", "{\"hue\":1,") == where + " has an unknown key 'hue'");
  CHECK(error_with("\"grey\"", "\"sepia\"") ==
        where + ": 'colour' must be \"grey\" or \"rgb\", got \"sepia\"");
  CHECK(error_with("\"grey\"", "1") == where + ": 'colour' must be \"grey\" or \"rgb\", got 1");
  CHECK(error_with("56", "56.5") == where + ": 'size' must be a whole number from 1 to 4096, got 56.5");
  CHECK(error_with("56", "0") == where + ": 'size' must be a whole number from 1 to 4096, got 0");
  CHECK(error_with("56", "18446744073709551615") ==
        where + ": 'size' must be a whole number from 1 to 4096, got 18446744073709551615");
  CHECK(error_with("0.64", "\"tight\"") ==
        where + ": 'face_share' must be a number from 0.1 to 2, got \"tight\"");
  CHECK(error_with("0.64", "1e-9") == where + ": 'face_share' must be a number from 0.1 to 2, got 1e-09");
  CHECK(error_with("0.64", "1e999") == where + ": 'face_share' is out of range: 1e999");
  CHECK(error_with("[0.5,0.25,0.75]", "[0.5,0.25]") ==
        where + ": 'mean' must be a list of three numbers, got [0.5,0.25]");
  CHECK(error_with("0.75]", "127.5]") == where + ": 'mean' must be a number from 0 to 1, got 127.5");
  CHECK(error_with("0.125]", "0]") == where + ": 'std' must be a number from 0.001 to 10, got 0");
  CHECK(error_with("\"grey\"", "\"" + std::string(1000, 'g') + "\"").size() < 200);
}

TEST_CASE("input colours by name") {
  CHECK(fer::parse_input_colour("grey") == fer::InputColour::grey);
  CHECK(fer::parse_input_colour("rgb") == fer::InputColour::rgb);
  CHECK_THROWS_WITH_AS(fer::parse_input_colour("gray"),
                       "unknown colour 'gray'; known are grey, rgb; did you mean 'grey'?", fer::ConfigError);
}
