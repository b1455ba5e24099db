// Ticks, curves, confusion matrices and sheets: what they show, and that nothing overlaps.
#include "fer/report/charts.h"

#include <doctest/doctest.h>

#include <cmath>
#include <regex>

#include "fer/error.h"

namespace {

struct Box {
  double left, right, top, bottom;
  std::string text;
};

/// The boxes of all upright texts of an SVG document.
std::vector<Box> text_boxes(const std::string& svg) {
  static const std::regex text(
      "<text x=\"([-0-9.]+)\" y=\"([-0-9.]+)\" font-size=\"([0-9.]+)\" "
      "text-anchor=\"(start|middle|end)\"([^>]*)>([^<]*)</text>");
  std::vector<Box> boxes;
  for (std::sregex_iterator it(svg.begin(), svg.end(), text), end; it != end; ++it) {
    const std::smatch& m = *it;
    if (m[5].str().find("rotate") != std::string::npos) continue;
    const double x = std::stod(m[1]), y = std::stod(m[2]), size = std::stod(m[3]);
    const double width = fer::text_width(m[6], size, m[5].str().find("bold") != std::string::npos);
    const double left = m[4] == "start" ? x : m[4] == "middle" ? x - width / 2 : x - width;
    boxes.push_back({left, left + width, y - 0.75 * size, y + 0.2 * size, m[6]});
  }
  return boxes;
}

void check_no_overlap(const fer::Drawing& drawing) {
  const std::vector<Box> boxes = text_boxes(drawing.svg("x"));
  CHECK(boxes.size() > 2);
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    const Box& a = boxes[i];
    CHECK_MESSAGE(a.left >= -0.5, a.text);
    CHECK_MESSAGE(a.right <= drawing.width() + 0.5, a.text);
    CHECK_MESSAGE(a.bottom <= drawing.height() + 0.5, a.text);
    for (std::size_t j = i + 1; j < boxes.size(); ++j) {
      const Box& b = boxes[j];
      const bool apart = a.right <= b.left + 0.5 || b.right <= a.left + 0.5 || a.bottom <= b.top + 0.5 ||
                         b.bottom <= a.top + 0.5;
      CHECK_MESSAGE(apart, "'" << a.text << "' lies on '" << b.text << "'");
    }
  }
}

fer::ConfusionMatrix confusion(int classes) {
  std::vector<std::string> names;
  for (int c = 0; c < classes; ++c)
    names.push_back(c == 1 ? "a rather long class name" : fer::concat("class ", c));
  fer::ConfusionMatrix m(names);
  for (int t = 0; t < classes; ++t) {
    for (int p = 0; p < classes; ++p) {
      for (int i = 0; i < (t == p ? 5 : (t + p) % 3); ++i) m.add(t, p);
    }
  }
  return m;
}

}  // namespace

TEST_CASE("ticks are round and inside of the range") {
  CHECK(fer::nice_ticks(0, 1, 5) == std::vector<double>{0, 0.2, 0.4, 0.6000000000000001, 0.8, 1});
  const auto ticks = fer::nice_ticks(3, 97, 5);
  CHECK(ticks.front() == 20);
  CHECK(ticks.back() == 80);
  CHECK(fer::nice_ticks(1, 1, 5).empty());
  CHECK(fer::nice_ticks(0, std::nan(""), 5).empty());
  CHECK(fer::tick_labels({0, 0.25, 0.5}) == std::vector<std::string>{"0", "0.25", "0.50"});
  CHECK(fer::tick_labels({0, 20000, 40000}) == std::vector<std::string>{"0", "20k", "40k"});
}

TEST_CASE("curves: labels do not overlap, gaps stay gaps") {
  fer::LineChart chart;
  chart.title = "Accuracy on the validation split, by epoch";
  chart.x_label = "epoch";
  chart.y_label = "accuracy";
  chart.percent = true;
  for (int k = 0; k < 5; ++k) {
    fer::Series s;
    s.name = fer::concat("a run with a long name, number ", k);
    for (int i = 0; i < 30; ++i) {
      s.x.push_back(i * 1000);
      s.y.push_back(i == 15 ? std::nan("") : 0.3 + 0.02 * i - 0.05 * k);
    }
    chart.series.push_back(s);
  }
  check_no_overlap(fer::draw_chart(chart));
  chart.width = 400;
  chart.height = 250;
  check_no_overlap(fer::draw_chart(chart));
  chart.percent = false;
  chart.log_y = true;
  check_no_overlap(fer::draw_chart(chart));
  // Two lines per series because of the gap, and one in the legend.
  const std::string svg = fer::draw_chart(chart).svg("x");
  const std::regex line("class=\"line s0\"");
  CHECK(std::distance(std::sregex_iterator(svg.begin(), svg.end(), line), std::sregex_iterator()) == 3);
}

TEST_CASE("steps and epochs have no ticks between whole numbers") {
  fer::LineChart chart;
  chart.whole_x = true;
  chart.series.push_back({"", {1, 2, 3}, {5, 6, 7}, {}, {}, false});
  const std::string svg = fer::draw_chart(chart).svg("x");
  CHECK(svg.find(">2</text>") != std::string::npos);
  CHECK(svg.find(">1.5</text>") == std::string::npos);
}

TEST_CASE("a chart without points says so; lists of different length are refused") {
  fer::LineChart chart;
  chart.series.push_back({"empty", {}, {}, {}, {}, false});
  CHECK(fer::draw_chart(chart).svg("x").find("no data") != std::string::npos);
  chart.series[0].x = {1, 2};
  CHECK_THROWS_WITH_AS(fer::draw_chart(chart), "[chart] series 'empty' has 2 x and 0 y", fer::ShapeError);
}

TEST_CASE("many points become few, with their range") {
  fer::Series s;
  for (int i = 0; i < 1000; ++i) {
    s.x.push_back(i);
    s.y.push_back(i % 10);
  }
  const fer::Series thin = fer::thinned(s, 100);
  CHECK(thin.x.size() == 100);
  CHECK(thin.y[0] == doctest::Approx(4.5));
  CHECK(thin.low[0] == 0);
  CHECK(thin.high[0] == 9);
  CHECK(fer::thinned(s, 5000).low.empty());
}

TEST_CASE("a confusion matrix: counts, shares, and labels that do not overlap") {
  for (const int classes : {2, 7, 8}) {
    const fer::Drawing d = fer::draw_confusion(confusion(classes), "RAF-DB, test");
    check_no_overlap(d);
  }
  fer::ConfusionMatrix m({"calm", "glad"});
  for (int i = 0; i < 3; ++i) m.add(0, 0);
  m.add(0, 1);
  const std::string svg = fer::draw_confusion(m, "x").svg("x");
  CHECK(svg.find("true calm, predicted glad: 1 (25.0 %)") != std::string::npos);
  CHECK(svg.find(">75.0 %<") != std::string::npos);
}

TEST_CASE("a scatter plot keeps one scale and names its groups") {
  fer::Scatter scatter;
  scatter.title = "Class tokens";
  scatter.note = "a note";
  scatter.groups = {"calm", "glad", "sad"};
  for (int i = 0; i < 30; ++i) {
    scatter.points.push_back({i * 1.0, i * 0.5, i % 3, 1 + 0.02 * i, fer::concat("face ", i)});
  }
  const fer::Drawing d = fer::draw_scatter(scatter);
  check_no_overlap(d);
  const std::string svg = d.svg("x");
  CHECK(svg.find("<title>face 29</title>") != std::string::npos);
  CHECK(svg.find("class=\"mark s2\"") != std::string::npos);
}

TEST_CASE("a sheet of pictures: titles, captions cut to their column") {
  fer::SheetOptions options;
  options.columns = 2;
  options.title = "A sheet with a title longer than its two columns are wide, which is therefore cut";
  options.column_titles = {"before", "after"};
  options.row_titles = {"first", "second"};
  options.colour_scale = true;
  std::vector<fer::Panel> panels;
  for (int i = 0; i < 4; ++i) {
    panels.push_back(
        {fer::Image(48, 48, 1, 100), {"surprise with very many letters 94 %", "second line"}, i == 0});
  }
  const fer::Drawing d = fer::contact_sheet(panels, options);
  check_no_overlap(d);
  CHECK(d.svg("x").find("rotate(-90") != std::string::npos);
  options.column_titles = {"one"};
  CHECK_THROWS_WITH_AS(fer::contact_sheet(panels, options), "[contact_sheet] 2 columns cannot have 1 titles",
                       fer::ShapeError);
  options.column_titles.clear();
  options.row_titles = {"one"};
  CHECK_THROWS_WITH_AS(fer::contact_sheet(panels, options), "[contact_sheet] 2 rows cannot have 1 titles",
                       fer::ShapeError);
  CHECK(fer::text_width(fer::fitted_text("a long text that does not fit", 12, 60), 12) <= 60);
  CHECK(fer::fitted_text("short", 12, 60) == "short");
}
