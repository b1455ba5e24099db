// Drawings as SVG and pixels, and the escaping of text.
#include "fer/report/drawing.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "fer/error.h"
#include "fer/report/picture.h"

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a drawing is the same as SVG and as pixels") {
  fer::Drawing d(20, 10);
  d.rect({2, 2, 6, 6}, {.fill = fer::Colour{0, 114, 178}, .role = "cell"}, "a & b");
  d.circle(15, 5, 3, {.fill = fer::Colour{213, 94, 0}});
  const std::string svg = d.svg("Two <shapes>");
  CHECK(contains(svg, "<title>Two &lt;shapes&gt;</title>"));
  CHECK(contains(svg, "viewBox=\"0 0 20 10\""));
  CHECK(contains(svg, "class=\"cell\" fill=\"#0072b2\"><title>a &amp; b</title></rect>"));
  CHECK(contains(svg, "<circle cx=\"15\" cy=\"5\" r=\"3\" fill=\"#d55e00\"/>"));
  const fer::Image pixels = d.raster(2);
  CHECK(pixels.width == 40);
  CHECK(pixels.height == 20);
  const auto colour_at = [&](int x, int y) {
    return fer::Colour{pixels.at(y, x, 0), pixels.at(y, x, 1), pixels.at(y, x, 2)};
  };
  CHECK(colour_at(10, 10) == fer::Colour{0, 114, 178});
  CHECK(colour_at(30, 10) == fer::Colour{213, 94, 0});
  CHECK(colour_at(0, 0) == fer::Colour{255, 255, 255});
  CHECK(contains(d.svg("x", false), "<svg"));
  CHECK_FALSE(contains(d.svg("x", false), "fill=\"#ffffff\""));
}

TEST_CASE("a drawing inside another is moved") {
  fer::Drawing inner(4, 4), outer(20, 20);
  inner.rect({0, 0, 4, 4}, {.fill = fer::Colour{0, 0, 0}});
  outer.add(inner, 10, 12);
  const fer::Image pixels = outer.raster(1);
  CHECK(pixels.at(13, 11) == 0);
  CHECK(pixels.at(2, 2) == 255);
}

TEST_CASE("dashes leave gaps") {
  fer::Drawing d(40, 10);
  d.polyline({{0, 5}, {40, 5}}, {.stroke = fer::Colour{0, 0, 0}, .stroke_width = 2, .dash = "8 8"});
  const fer::Image pixels = d.raster(1);
  CHECK(pixels.at(5, 4) < 40);
  CHECK(pixels.at(5, 12) > 200);
}

TEST_CASE("text that XML cannot hold") {
  CHECK(fer::xml_escape("<a href='x'>\"&\x01") == "&lt;a href=&#39;x&#39;&gt;&quot;&amp; ");
  CHECK(fer::xml_escape("\xc3\xa9\xff") == "\xc3\xa9?");
  CHECK(fer::number_text(0.5) == "0.5");
  CHECK(fer::number_text(12) == "12");
  CHECK(fer::number_text(-0.0001) == "0");
}

TEST_CASE("base64 by the vectors of RFC 4648") {
  const auto encode = [](const std::string& text) { return fer::base64({text.begin(), text.end()}); };
  CHECK(encode("") == "");
  CHECK(encode("f") == "Zg==");
  CHECK(encode("fo") == "Zm8=");
  CHECK(encode("foobar") == "Zm9vYmFy");
}

TEST_CASE("text is at most as wide as text_width() says, and rotates about its start") {
  fer::Image image(60, 120, 3, 255);
  fer::draw_text(image, 10, 30, "Mixed gH", 12, {0, 0, 0});
  int left = image.width, right = 0;
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      if (image.at(y, x) < 128) left = std::min(left, x), right = std::max(right, x);
    }
  }
  CHECK(left >= 9);
  CHECK(right - left > 40);
  CHECK(right <= 10 + fer::text_width("Mixed gH", 12));
}

TEST_CASE("sizes and extensions that make no sense are refused") {
  CHECK_THROWS_WITH_AS(fer::Drawing(0, 10), "a drawing must be 1 to 20000 points wide and high, got 0 x 10",
                       fer::ConfigError);
  const fer::Drawing d(10, 10);
  CHECK_THROWS_AS(fer::write_drawing("figure.gif", d, "x"), fer::ConfigError);
  CHECK_FALSE(std::filesystem::exists("figure.gif"));
  fer::Image grey(4, 4, 1);
  CHECK_THROWS_WITH_AS(fer::fill_rect(grey, 0, 0, 1, 1, {0, 0, 0}),
                       "painting needs an RGB picture, got 1 channels", fer::ShapeError);
}

TEST_CASE("the heat scale rises evenly in lightness, and palette colours differ for any colour vision") {
  double before = fer::to_oklab(fer::heat_colour(0))[0];
  for (int i = 1; i <= 16; ++i) {
    const double lightness = fer::to_oklab(fer::heat_colour(i / 16.0))[0];
    CHECK(lightness - before == doctest::Approx(0.72 / 16).epsilon(0.15));
    before = lightness;
  }
  CHECK(fer::heat_colour(-1) == fer::heat_colour(0));
  CHECK(fer::heat_colour(std::nan("")) == fer::heat_colour(0));
  for (int i = 1; i <= 8; ++i) {
    CHECK(fer::to_oklab(fer::share_colour(i / 8.0))[0] <
          fer::to_oklab(fer::share_colour((i - 1) / 8.0))[0] - 0.05);
  }
  CHECK(fer::share_colour(2) == fer::share_colour(1));
  CHECK(fer::hex(fer::palette(0)) == "#0072b2");
  CHECK(fer::palette(8) == fer::palette(0));
  CHECK(fer::ink_on({255, 255, 255}) == fer::Colour{0, 0, 0});
  CHECK(fer::ink_on({20, 20, 60}) == fer::Colour{255, 255, 255});
}

TEST_CASE("a heat map over a picture") {
  const fer::Image grey(4, 4, 1, 128);
  const fer::HeatMap map = fer::normalised({2, 2, {1, 1, 3, 5}});
  CHECK(map.values == std::vector<float>{0, 0, 0.5f, 1});
  const fer::Image over = fer::overlay_heat(grey, map, 1.0);
  CHECK(over.channels == 3);
  const fer::Colour hottest = fer::heat_colour(1);
  CHECK(over.at(3, 3, 0) == hottest.r);
  CHECK(over.at(3, 3, 1) == hottest.g);
  CHECK_THROWS_WITH_AS(fer::overlay_heat(grey, {2, 2, {1}}),
                       "[overlay_heat] a map of 2 x 2 cannot have 1 values", fer::ShapeError);
  CHECK(fer::normalised({1, 2, {3, 3}}).values == std::vector<float>{0, 0});
}
