#include "fer/report/charts.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "fer/error.h"
#include "study/number_text.h"

namespace fer {
namespace {

constexpr Colour faint{110, 110, 110};

std::string percent(double share) {
  return detail::percent(share, share >= 0.9995 || share == 0 ? 0 : 1);
}

/// The outline of mark number `kind` around (x, y); empty for a disc.
Points mark_outline(int kind, double x, double y, double r) {
  const auto at = [&](std::initializer_list<std::pair<double, double>> unit) {
    Points points;
    for (const auto& [u, v] : unit) points.emplace_back(x + r * u, y + r * v);
    return points;
  };
  switch (kind % 8) {
    case 1:
      return at({{-0.9, -0.9}, {0.9, -0.9}, {0.9, 0.9}, {-0.9, 0.9}});
    case 2:
      return at({{0, -1.2}, {1.1, 0.8}, {-1.1, 0.8}});
    case 3:
      return at({{0, -1.3}, {1.3, 0}, {0, 1.3}, {-1.3, 0}});
    case 4:
      return at({{0, 1.2}, {1.1, -0.8}, {-1.1, -0.8}});
    case 5:
      return at({{-0.4, -1.2},
                 {0.4, -1.2},
                 {0.4, -0.4},
                 {1.2, -0.4},
                 {1.2, 0.4},
                 {0.4, 0.4},
                 {0.4, 1.2},
                 {-0.4, 1.2},
                 {-0.4, 0.4},
                 {-1.2, 0.4},
                 {-1.2, -0.4},
                 {-0.4, -0.4}});
    case 6:
      return at({{-1.25, -0.7}, {1.25, -0.7}, {1.25, 0.7}, {-1.25, 0.7}});
    case 7:
      return at({{0, -1.2}, {1.14, -0.37}, {0.71, 0.97}, {-0.71, 0.97}, {-1.14, -0.37}});
    default:
      return {};
  }
}

void draw_mark(Drawing& d, int group, double x, double y, double r, const std::string& tooltip) {
  const auto g = static_cast<std::size_t>(group);
  const Paint paint{.fill = palette(g),
                    .stroke = Colour{255, 255, 255},
                    .stroke_width = 0.7,
                    .opacity = 0.85,
                    .role = concat("mark s", g % 8)};
  Points outline = mark_outline(group, x, y, r);
  if (outline.empty()) {
    d.circle(x, y, r, paint, tooltip);
  } else {
    d.polygon(std::move(outline), paint, tooltip);
  }
}

}  // namespace

std::string fitted_text(const std::string& text, double size, double width) {
  if (text_width(text, size) <= width) return text;
  std::string cut = text;
  while (!cut.empty() && text_width(cut + "..", size) > width) {
    // remove only whole UTF-8 characters
    while (!cut.empty() && (static_cast<unsigned char>(cut.back()) & 0xc0) == 0x80) cut.pop_back();
    if (!cut.empty()) cut.pop_back();
  }
  while (!cut.empty() && cut.back() == ' ') cut.pop_back();
  return cut + "..";
}

Drawing draw_confusion(const ConfusionMatrix& confusion, const std::string& title) {
  const int classes = confusion.classes();
  require<ConfigError>(classes > 0, "[confusion] there are no classes");
  const bool numbers = classes <= 16;
  const double cell = numbers ? 62 : std::max(8.0, 700.0 / classes), label_size = numbers ? 12 : 9;
  double widest = 0;
  for (const std::string& name : confusion.class_names()) {
    widest = std::max(widest, text_width(name, label_size));
  }
  widest = std::min(widest, 160.0);
  const bool upright = widest <= cell - 6;
  const double left = 34 + widest + 8, top = 34, side = classes * cell;
  const double bottom = top + side, below = upright ? 20 : 12 + 0.75 * widest;
  Drawing d(std::max(left + side + 78, text_width(title, 14, true) + 24), bottom + below + 30);
  d.text(12, 20, title, {.size = 14, .bold = true});
  const auto name = [&](int c) {
    return fitted_text(confusion.class_names()[static_cast<std::size_t>(c)], label_size, widest);
  };
  for (int t = 0; t < classes; ++t) {
    const double y = top + t * cell;
    const auto support = static_cast<double>(confusion.support(t));
    d.text(left - 8, y + cell / 2 + 4, name(t), {.size = label_size, .anchor = Anchor::end});
    for (int p = 0; p < classes; ++p) {
      const double x = left + p * cell;
      const std::int64_t count = confusion.count(t, p);
      const double share = support > 0 ? static_cast<double>(count) / support : 0;
      const Colour colour = share_colour(share);
      d.rect({x, y, cell, cell}, {.fill = colour, .stroke = Colour{255, 255, 255}, .role = "cell"},
             concat("true ", confusion.class_names()[static_cast<std::size_t>(t)], ", predicted ",
                    confusion.class_names()[static_cast<std::size_t>(p)], ": ", count, " (", percent(share),
                    ")"));
      if (!numbers) continue;
      const TextStyle big{
          .size = 13, .anchor = Anchor::middle, .colour = ink_on(colour), .bold = t == p, .role = ""};
      TextStyle small = big;
      small.size = 10.5;
      d.text(x + cell / 2, y + cell / 2 - 1, std::to_string(count), big);
      if (support > 0) d.text(x + cell / 2, y + cell / 2 + 14, percent(share), small);
    }
  }
  for (int p = 0; p < classes; ++p) {
    const double x = left + (p + 0.5) * cell;
    if (upright) {
      d.text(x, bottom + 16, name(p), {.size = label_size, .anchor = Anchor::middle});
    } else {
      d.text(x + 4, bottom + 14, name(p), {.size = label_size, .anchor = Anchor::end, .rotation = -45});
    }
  }
  d.text(left + side / 2, bottom + below + 20, "predicted", {.anchor = Anchor::middle, .bold = true});
  d.text(18, top + side / 2, "true", {.anchor = Anchor::middle, .rotation = -90, .bold = true});
  // The legend: the meaning of lightness.
  const double key = left + side + 18, height = std::min(side, 200.0);
  for (int i = 0; i < 50; ++i) {
    d.rect({key, top + height * i / 50, 14, height / 50 + 0.4}, {.fill = share_colour(1 - i / 49.0)});
  }
  d.text(key + 18, top + 9, "100 %", {.size = 10});
  d.text(key + 18, top + height, "0 %", {.size = 10});
  return d;
}

Drawing draw_scatter(const Scatter& scatter) {
  const std::size_t groups = scatter.legend ? scatter.groups.size() : 0;
  double widest = 0;
  for (const std::string& name : scatter.groups) widest = std::max(widest, text_width(name, 12));
  const double left = 12, top = 32;
  const double width = left + scatter.size + 12 + (groups > 0 ? 24 + widest + 12 : 0);
  Drawing d(width, std::max(top + scatter.size + 12, top + 20.0 * static_cast<double>(groups) + 30) + 18);
  d.text(left, 20, fitted_text(scatter.title, 14, width - 24), {.size = 14, .bold = true});
  d.rect({left, top, scatter.size, scatter.size}, {.stroke = faint, .role = "axis"});
  constexpr double infinity = std::numeric_limits<double>::infinity();
  double low_x = infinity, high_x = -infinity, low_y = infinity, high_y = -infinity;
  for (const ScatterPoint& p : scatter.points) {
    low_x = std::min(low_x, p.x), high_x = std::max(high_x, p.x);
    low_y = std::min(low_y, p.y), high_y = std::max(high_y, p.y);
  }
  // Both directions share one scale, so that distances are comparable.
  const double span = std::max({high_x - low_x, high_y - low_y, 1e-12}), scale = (scatter.size - 28) / span;
  for (const ScatterPoint& p : scatter.points) {
    const double x = left + scatter.size / 2 + scale * (p.x - (low_x + high_x) / 2);
    const double y = top + scatter.size / 2 - scale * (p.y - (low_y + high_y) / 2);
    draw_mark(d, p.group, x, y, 3.6 * p.size, p.tooltip);
  }
  for (std::size_t g = 0; g < groups; ++g) {
    const double y = top + 12 + 20 * static_cast<double>(g);
    draw_mark(d, static_cast<int>(g), left + scatter.size + 24, y - 4, 5, {});
    d.text(left + scatter.size + 36, y, scatter.groups[g]);
  }
  d.text(left, top + scatter.size + 18, fitted_text(scatter.note, 10.5, width - 24),
         {.size = 10.5, .colour = faint, .role = "faint"});
  return d;
}

Drawing contact_sheet(const std::vector<Panel>& panels, const SheetOptions& options) {
  require<ConfigError>(options.columns > 0, "[contact_sheet] needs 1 column or more, got ", options.columns);
  require<ShapeError>(options.column_titles.empty() ||
                          options.column_titles.size() == static_cast<std::size_t>(options.columns),
                      "[contact_sheet] ", options.columns, " columns cannot have ",
                      options.column_titles.size(), " titles");
  constexpr double gap = 8, margin = 12;
  const double left = margin + (options.row_titles.empty() ? 0 : 1.5 * options.text_size);
  const double line = 1.3 * options.text_size, size = options.picture_size;
  const auto columns = static_cast<std::size_t>(options.columns);
  const std::size_t rows = (panels.size() + columns - 1) / columns;
  require<ShapeError>(options.row_titles.empty() || options.row_titles.size() == rows, "[contact_sheet] ",
                      rows, " rows cannot have ", options.row_titles.size(), " titles");
  std::vector<double> tops{
      0};  // tops of the rows, and the end of the last; captions determine a row's height
  for (std::size_t r = 0; r < rows; ++r) {
    std::size_t lines = 0;
    for (std::size_t i = r * columns; i < std::min(panels.size(), (r + 1) * columns); ++i) {
      lines = std::max(lines, panels[i].caption.size());
    }
    tops.push_back(tops.back() + size + static_cast<double>(lines) * line + gap + 2);
  }
  const double head = (options.title.empty() ? 0 : 28) + (options.column_titles.empty() ? 0 : line + 4);
  // A sheet with one column may be narrower than its title; it is widened rather than cutting the title.
  const double titled = std::min(360.0, text_width(options.title, 14, true) + 2 * margin + 12);
  const double width = std::max(titled, left + margin + static_cast<double>(columns) * (size + gap) - gap);
  const double foot = options.colour_scale ? 30 : 0;
  Drawing d(width, 2 * margin + head + tops.back() + foot);
  if (!options.title.empty())
    d.text(margin, margin + 14, fitted_text(options.title, 14, width - 2 * margin - 12),
           {.size = 14, .bold = true});
  for (std::size_t c = 0; c < options.column_titles.size(); ++c) {
    d.text(left + static_cast<double>(c) * (size + gap) + size / 2, margin + head - 4,
           fitted_text(options.column_titles[c], options.text_size, size),
           {.size = options.text_size, .anchor = Anchor::middle, .bold = true});
  }
  for (std::size_t r = 0; r < options.row_titles.size(); ++r) {
    d.text(margin + 0.8 * options.text_size, margin + head + tops[r] + size / 2,
           fitted_text(options.row_titles[r], options.text_size, size),
           {.size = options.text_size, .anchor = Anchor::middle, .rotation = -90, .bold = true});
  }
  for (std::size_t i = 0; i < panels.size(); ++i) {
    const double x = left + static_cast<double>(i % columns) * (size + gap);
    const double y = margin + head + tops[i / columns];
    const Image& picture = panels[i].picture;
    if (!picture.empty()) {
      const double fit = size / std::max(picture.width, picture.height);
      const double w = fit * picture.width, h = fit * picture.height;
      d.image({x + (size - w) / 2, y + (size - h) / 2, w, h}, picture);
    }
    for (std::size_t k = 0; k < panels[i].caption.size(); ++k) {
      d.text(x + size / 2, y + size + line * (static_cast<double>(k) + 0.9),
             fitted_text(panels[i].caption[k], options.text_size, size),
             {.size = options.text_size, .anchor = Anchor::middle, .bold = panels[i].emphasised && k == 0});
    }
  }
  if (options.colour_scale) {
    const double y = margin + head + tops.back() + 6, length = std::min(160.0, size);
    for (int i = 0; i < 64; ++i) {
      d.rect({margin + 28 + length * i / 64, y, length / 64 + 0.4, 10}, {.fill = heat_colour(i / 63.0)});
    }
    d.text(margin, y + 9, "low", {.size = 10});
    d.text(margin + 34 + length, y + 9, "high", {.size = 10});
  }
  return d;
}

}  // namespace fer
