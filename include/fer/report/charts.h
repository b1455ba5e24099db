// Charts as drawings: curves, confusion matrices, points in two dimensions, sheets of captioned pictures.
#pragma once

#include <string>
#include <vector>

#include "fer/report/drawing.h"
#include "fer/training/metrics.h"

namespace fer {

/// Ticks at 1, 2 or 5 times a power of ten: all that lie in [low, high], about `wanted` of them. A range
/// that is empty or not finite gives no ticks.
std::vector<double> nice_ticks(double low, double high, int wanted);
/// Ticks of one axis as text with the same number of decimals: "0.25", "12k", "3e-05".
std::vector<std::string> tick_labels(const std::vector<double>& ticks);

/// A curve. Points that are not finite leave a gap.
struct Series {
  std::string name;
  std::vector<double> x, y;
  std::vector<double> low, high;  ///< an area about the curve; empty or as many as y
  bool marks = false;             ///< a dot a point
};

struct LineChart {
  std::string title, x_label, y_label;
  std::vector<Series> series;
  bool percent = false;  ///< y is a share, shown as percentage
  bool log_y = false;    ///< points that are not positive are left out
  bool from_zero = false;
  bool whole_x = false;  ///< x counts something (steps, epochs): no ticks between whole numbers
  double width = 560, height = 300;
};
/// ShapeError if a series has x and y of different lengths. Without a point there is a note in place of
/// curves.
Drawing draw_chart(const LineChart& chart);

/// Averages successive points so that at most `most` remain, with their least and greatest value as area.
Series thinned(const Series& series, std::size_t most);

/// Rows are true classes, columns predictions; a cell has its count and its share of the row, and is the
/// darker the greater the share. Above 16 classes the numbers are left to tooltips.
Drawing draw_confusion(const ConfusionMatrix& confusion, const std::string& title);

struct ScatterPoint {
  double x = 0, y = 0;
  int group = 0;
  double size = 1;  ///< of its mark, 1: the usual
  std::string tooltip;
};
struct Scatter {
  std::string title, note;
  std::vector<std::string> groups;  ///< names; a colour and a shape each
  std::vector<ScatterPoint> points;
  double size = 420;  ///< side of the square in which the points lie
  bool legend = true;
};
/// Axes are left out: of embeddings only distances mean something.
Drawing draw_scatter(const Scatter& scatter);

/// A picture of a sheet, with lines of text under it.
struct Panel {
  Image picture;  ///< fitted into a square; empty: the place stays free
  std::vector<std::string> caption;
  bool emphasised = false;  ///< first line of the caption in bold
};
struct SheetOptions {
  int columns = 4;
  double picture_size = 112;
  double text_size = 11;
  std::string title;
  std::vector<std::string> column_titles;  ///< none, or one a column
  std::vector<std::string> row_titles;     ///< none, or one a row, upright on its left
  bool colour_scale = false;               ///< a key to the heat colours below
};
/// Panels in rows, left to right. Lines wider than a column are cut short with "..".
Drawing contact_sheet(const std::vector<Panel>& panels, const SheetOptions& options);

/// The text, cut short with ".." if it is wider than `width`.
std::string fitted_text(const std::string& text, double size, double width);

}  // namespace fer
