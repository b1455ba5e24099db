// Curves with axes. Nothing overlaps: the number of ticks depends on the room for their labels, and the
// legend above the plot has as many rows as it needs.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "fer/error.h"
#include "fer/report/charts.h"

namespace fer {
namespace {

constexpr Colour ink{26, 26, 26}, pale{136, 136, 136}, grid{225, 225, 225};
constexpr double tick_size = 11, title_size = 13;
// Lines differ in their dashes, too, not only in colour.
const char* const dashes[] = {"", "7 4", "2 4", "9 3 2 3", "12 4", "1 3"};

struct Range {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  void include(double v) {
    if (!std::isfinite(v)) return;
    low = std::min(low, v), high = std::max(high, v);
  }
  bool empty() const { return !(low <= high); }
};

struct Axis {
  double low = 0, high = 1;   // data units, after the logarithm if there is one
  double from = 0, to = 1;    // position on the page, in points
  std::vector<double> ticks;  // data units
  std::vector<std::string> labels;
  double at(double v) const { return from + (v - low) / (high - low) * (to - from); }
};

/// Adds room at both ends, and some width if all values are equal.
void widen(Range& range, double share) {
  double span = range.high - range.low;
  if (span <= 1e-12 * std::max(std::abs(range.low), std::abs(range.high))) {
    span = range.low == 0 ? 1 : std::abs(range.low);
    share = 0.5;
  }
  range.low -= share * span, range.high += share * span;
}

std::string percent_label(double share, double step) {
  char text[32];
  std::snprintf(text, sizeof text, step < 0.01 ? "%.1f %%" : "%.0f %%", 100 * share);
  return text;
}

Axis y_axis(const LineChart& chart, Range range) {
  const bool never_negative = range.low >= 0;
  if (chart.from_zero) range.include(0);
  const Range before = range;
  widen(range, 0.05);
  if (never_negative && !chart.log_y) range.low = std::max(range.low, 0.0);
  if (chart.from_zero) range.low = std::min(0.0, before.low);
  if (chart.percent) range.high = std::min(range.high, std::max(1.0, before.high));
  Axis axis{range.low, range.high, 0, 1, {}, {}};
  if (!chart.log_y) {
    axis.ticks = nice_ticks(axis.low, axis.high, 5);
    const double step = axis.ticks.size() > 1 ? axis.ticks[1] - axis.ticks[0] : 1;
    axis.labels = tick_labels(axis.ticks);
    if (chart.percent) {
      for (std::size_t i = 0; i < axis.ticks.size(); ++i) axis.labels[i] = percent_label(axis.ticks[i], step);
    }
    return axis;
  }
  for (double power = std::floor(axis.low); power <= axis.high; ++power) {
    for (const int factor : {1, 2, 5}) {
      const double tick = power + std::log10(factor);
      if (factor != 1 && axis.high - axis.low > 2) continue;
      if (tick < axis.low || tick > axis.high) continue;
      char text[32];
      std::snprintf(text, sizeof text, "%.3g", factor * std::pow(10.0, power));
      axis.ticks.push_back(tick);
      axis.labels.emplace_back(text);
    }
  }
  return axis;
}

Axis x_axis(Range range, double width, bool whole) {
  if (range.high - range.low <= 0) widen(range, 0.5);
  Axis axis{range.low, range.high, 0, 1, {}, {}};
  const int most = whole ? static_cast<int>(std::clamp(range.high - range.low, 1.0, 8.0)) : 8;
  for (int wanted = most; wanted >= 1; --wanted) {
    axis.ticks = nice_ticks(axis.low, axis.high, wanted);
    axis.labels = tick_labels(axis.ticks);
    double widest = 0;
    for (const std::string& label : axis.labels) widest = std::max(widest, text_width(label, tick_size));
    if (static_cast<double>(axis.ticks.size()) * (widest + 14) <= width) break;
  }
  return axis;
}

/// Draws names beside samples of their lines, starting at (left, top); returns the height used.
double draw_legend(Drawing& d, const LineChart& chart, double left, double right, double top) {
  if (chart.series.size() < 2 && (chart.series.empty() || chart.series[0].name.empty())) return 0;
  constexpr double row = 17, sample = 24;
  double x = left, y = top + 12;
  for (std::size_t i = 0; i < chart.series.size(); ++i) {
    const std::string name = fitted_text(chart.series[i].name, tick_size, right - left - sample - 6);
    const double width = sample + 6 + text_width(name, tick_size) + 16;
    if (x > left && x + width > right + 16) x = left, y += row;
    d.polyline({{x, y - 4}, {x + sample, y - 4}}, {.stroke = palette(i),
                                                   .stroke_width = 2,
                                                   .dash = dashes[i % std::size(dashes)],
                                                   .role = concat("line s", i % 8)});
    d.text(x + sample + 6, y, name, {.size = tick_size, .colour = ink});
    x += width;
  }
  return y - top + 8;
}

double mapped(const LineChart& chart, double y) {
  if (!chart.log_y) return y;
  return y > 0 ? std::log10(y) : std::numeric_limits<double>::quiet_NaN();
}

void draw_series(Drawing& d, const LineChart& chart, std::size_t i, const Axis& x, const Axis& y) {
  const Series& s = chart.series[i];
  const auto clamped_y = [&](double v) {
    return std::clamp(y.at(mapped(chart, v)), std::min(y.from, y.to), std::max(y.from, y.to));
  };
  if (!s.low.empty()) {
    Points area;
    for (std::size_t k = 0; k < s.x.size(); ++k) {
      if (std::isfinite(mapped(chart, s.high[k]))) area.emplace_back(x.at(s.x[k]), clamped_y(s.high[k]));
    }
    for (std::size_t k = s.x.size(); k-- > 0;) {
      if (std::isfinite(mapped(chart, s.low[k]))) area.emplace_back(x.at(s.x[k]), clamped_y(s.low[k]));
    }
    d.polygon(std::move(area), {.fill = palette(i), .opacity = 0.18, .role = concat("area s", i % 8)});
  }
  const Paint paint{.stroke = palette(i),
                    .stroke_width = 1.8,
                    .dash = dashes[i % std::size(dashes)],
                    .role = concat("line s", i % 8)};
  Points run;
  for (std::size_t k = 0; k < s.x.size(); ++k) {
    const double v = mapped(chart, s.y[k]);
    if (std::isfinite(v) && std::isfinite(s.x[k])) {
      run.emplace_back(x.at(s.x[k]), y.at(v));
      continue;
    }
    if (run.size() > 1) d.polyline(run, paint);
    run.clear();
  }
  if (run.size() > 1) d.polyline(run, paint);
  if (!s.marks && s.x.size() > 1) return;
  for (std::size_t k = 0; k < s.x.size(); ++k) {
    if (!std::isfinite(mapped(chart, s.y[k]))) continue;
    char value[48];
    if (chart.percent) {
      std::snprintf(value, sizeof value, "%.2f %%", 100 * s.y[k]);
    } else {
      std::snprintf(value, sizeof value, "%.4g", s.y[k]);
    }
    d.circle(x.at(s.x[k]), y.at(mapped(chart, s.y[k])), 2.6,
             {.fill = palette(i), .role = concat("mark s", i % 8)},
             concat(s.name, ", ", chart.x_label, " ", number_text(s.x[k]), ": ", value));
  }
}

}  // namespace

std::vector<double> nice_ticks(double low, double high, int wanted) {
  if (!std::isfinite(low) || !std::isfinite(high) || high <= low || wanted < 1) return {};
  const double rough = (high - low) / wanted;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough * (1 - 1e-9)) {
      step = factor * power;
      break;
    }
  }
  std::vector<double> ticks;
  const double slack = 1e-9 * (high - low);
  for (double n = std::ceil((low - slack) / step); n * step <= high + slack; ++n) {
    ticks.push_back(n == 0 ? 0.0 : n * step);
  }
  return ticks;
}

std::vector<std::string> tick_labels(const std::vector<double>& ticks) {
  double greatest = 0;
  for (const double t : ticks) greatest = std::max(greatest, std::abs(t));
  const double step = ticks.size() > 1 ? ticks[1] - ticks[0] : std::max(greatest, 1e-300);
  int decimals = 0;  // as many as the step has: two for 0.25
  const auto is_whole = [](double x) {
    return std::abs(x - std::round(x)) < 1e-6 * std::max(1.0, std::abs(x));
  };
  for (double scaled = std::abs(step); decimals < 12 && !is_whole(scaled); scaled *= 10) ++decimals;
  std::vector<std::string> labels;
  for (const double t : ticks) {
    char text[64];
    if (greatest > 0 && greatest < 1e-3) {
      std::snprintf(text, sizeof text, "%.3g", t);
    } else if (greatest >= 1e4 && step >= 1e3) {
      std::snprintf(text, sizeof text, "%.0fk", t / 1000);
    } else {
      std::snprintf(text, sizeof text, "%.*f", decimals, t);
    }
    labels.emplace_back(t == 0 ? "0" : text);
  }
  return labels;
}

Series thinned(const Series& series, std::size_t most) {
  require<ShapeError>(series.x.size() == series.y.size(), "[chart] series '", series.name, "' has ",
                      series.x.size(), " x and ", series.y.size(), " y");
  if (series.x.size() <= most || most == 0) return series;
  Series out;
  out.name = series.name;
  out.marks = series.marks;
  for (std::size_t i = 0; i < most; ++i) {
    const std::size_t begin = i * series.x.size() / most, end = (i + 1) * series.x.size() / most;
    double x = 0, y = 0, count = 0;
    Range range;
    for (std::size_t k = begin; k < end; ++k) {
      if (!std::isfinite(series.y[k])) continue;
      x += series.x[k], y += series.y[k], ++count;
      range.include(series.y[k]);
    }
    if (count == 0) continue;
    out.x.push_back(x / count);
    out.y.push_back(y / count);
    out.low.push_back(range.low);
    out.high.push_back(range.high);
  }
  return out;
}

Drawing draw_chart(const LineChart& chart) {
  Range xs, ys;
  for (const Series& s : chart.series) {
    require<ShapeError>(s.x.size() == s.y.size(), "[chart] series '", s.name, "' has ", s.x.size(), " x and ",
                        s.y.size(), " y");
    require<ShapeError>(s.low.size() == s.high.size() && (s.low.empty() || s.low.size() == s.y.size()),
                        "[chart] series '", s.name, "' has ", s.y.size(), " y and an area of ", s.low.size());
    for (std::size_t k = 0; k < s.x.size(); ++k) {
      if (!std::isfinite(mapped(chart, s.y[k])) || !std::isfinite(s.x[k])) continue;
      xs.include(s.x[k]);
      ys.include(mapped(chart, s.y[k]));
    }
  }
  Drawing d(chart.width, chart.height);
  d.text(12, 20, fitted_text(chart.title, title_size, chart.width - 24), {.size = title_size, .bold = true});
  if (xs.empty()) {
    d.text(chart.width / 2, chart.height / 2, "no data",
           {.anchor = Anchor::middle, .colour = pale, .role = "faint"});
    return d;
  }
  const double legend = draw_legend(d, chart, 12, chart.width - 12, 28);
  Axis y = y_axis(chart, ys);
  double widest = 0;
  for (const std::string& label : y.labels) widest = std::max(widest, text_width(label, tick_size));
  const double left = 12 + (chart.y_label.empty() ? 0 : 18) + widest + 8, right = chart.width - 18;
  const double top = 34 + legend, bottom = chart.height - (chart.x_label.empty() ? 26 : 44);
  Axis x = x_axis(xs, right - left, chart.whole_x);
  x.from = left, x.to = right;
  y.from = bottom, y.to = top;
  for (std::size_t i = 0; i < y.ticks.size(); ++i) {
    const double at = y.at(y.ticks[i]);
    d.polyline({{left, at}, {right, at}}, {.stroke = grid, .role = "grid"});
    d.text(left - 6, at + 4, y.labels[i], {.size = tick_size, .anchor = Anchor::end});
  }
  for (std::size_t i = 0; i < x.ticks.size(); ++i) {
    const double at = x.at(x.ticks[i]);
    d.polyline({{at, bottom}, {at, bottom + 4}}, {.stroke = pale, .role = "axis"});
    d.text(at, bottom + 17, x.labels[i], {.size = tick_size, .anchor = Anchor::middle});
  }
  for (std::size_t i = 0; i < chart.series.size(); ++i) draw_series(d, chart, i, x, y);
  d.polyline({{left, top}, {left, bottom}, {right, bottom}}, {.stroke = pale, .role = "axis"});
  if (!chart.x_label.empty()) {
    d.text((left + right) / 2, chart.height - 8, chart.x_label, {.anchor = Anchor::middle});
  }
  if (!chart.y_label.empty()) {
    d.text(20, (top + bottom) / 2, chart.y_label, {.anchor = Anchor::middle, .rotation = -90});
  }
  return d;
}

}  // namespace fer
