// Charts as drawings: curves, confusion matrices, points in two dimensions, sheets of captioned pictures.
#pragma once

#include <string>
#include <vector>

#include "fer/report/drawing.h"
#include "fer/training/metrics.h"

namespace fer {

/// About `wanted` ticks within [low, high], evenly spaced by 1, 2 or 5 times a power of ten. None if the
/// range is empty or not finite.
std::vector<double> nice_ticks(double low, double high, int wanted);
/// The labels of one axis, all with the same number of decimals: "0.25", "12k", "3e-05".
std::vector<std::string> tick_labels(const std::vector<double>& ticks);

/// A curve. Points that are not finite leave a gap.
struct Series {
  std::string name;
  std::vector<double> x, y;
  std::vector<double> low, high;  ///< bounds of a shaded area around the curve; empty, or one per point
  bool marks = false;             ///< draws a dot at each point
};

struct LineChart {
  std::string title, x_label, y_label;
  std::vector<Series> series;
  bool percent = false;  ///< y is a share, shown as a percentage
  bool log_y = false;    ///< points that are not positive are left out
  bool from_zero = false;
  bool whole_x = false;  ///< x counts something (steps, epochs): no ticks between whole numbers
  double width = 560, height = 300;
};
/// ShapeError if x and y of a series differ in length. A chart without points shows a note instead.
Drawing draw_chart(const LineChart& chart);

/// Averages successive points so that at most `most` remain; the shaded area spans their minimum and maximum.
Series thinned(const Series& series, std::size_t most);

/// Rows are true classes, columns predictions. A cell shows its count and its share of the row; a larger
/// share is darker. Above 16 classes the numbers are only in tooltips.
Drawing draw_confusion(const ConfusionMatrix& confusion, const std::string& title);

struct ScatterPoint {
  double x = 0, y = 0;
  int group = 0;
  double size = 1;  ///< of the mark, relative to the default
  std::string tooltip;
};
struct Scatter {
  std::string title, note;
  std::vector<std::string> groups;  ///< names; each group has its own colour and shape
  std::vector<ScatterPoint> points;
  double size = 420;  ///< side of the square in which the points lie
  bool legend = true;
};
/// Draws no axes, because only the distances of an embedding mean something.
Drawing draw_scatter(const Scatter& scatter);

/// A picture on a sheet, with lines of text under it.
struct Panel {
  Image picture;  ///< fitted into a square; empty: leaves a gap
  std::vector<std::string> caption;
  bool emphasised = false;  ///< first line of the caption in bold
};
struct SheetOptions {
  int columns = 4;
  double picture_size = 112;
  double text_size = 11;
  std::string title;
  std::vector<std::string> column_titles;  ///< empty, or one per column
  std::vector<std::string> row_titles;     ///< empty, or one per row, rotated, left of the row
  bool colour_scale = false;               ///< a key to the heat colours, below the panels
};
/// Panels in rows, left to right. Text wider than a column is cut short with "..".
Drawing contact_sheet(const std::vector<Panel>& panels, const SheetOptions& options);

/// The text, cut short with ".." if it is wider than `width`.
std::string fitted_text(const std::string& text, double size, double width);

}  // namespace fer
