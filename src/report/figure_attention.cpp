// Where the queries of each head look: attention rollout from the landmarks' tokens.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "fer/report/explain.h"
#include "report/figure_parts.h"

namespace fer {
namespace {

struct QueryRow {
  std::string title;
  std::vector<int> points;  ///< landmarks; none: the class token
};

std::vector<QueryRow> rows_of(const AttentionOptions& options) {
  std::vector<QueryRow> rows{{"class token", {}}};
  if (!options.points.empty()) {
    for (const int point : options.points) {
      require<ConfigError>(point >= 0 && point < 68, "there is no landmark ", point, "; they are 0 to 67");
      rows.push_back({concat("point ", point), {point}});
    }
    return rows;
  }
  const std::tuple<const char*, int, int> parts[] = {
      {"left brow", 17, 21}, {"right brow", 22, 26}, {"left eye", 36, 41}, {"right eye", 42, 47},
      {"nose", 27, 35},      {"mouth", 48, 67},      {"jaw", 0, 16}};
  for (const auto& [title, first, last] : parts) {
    QueryRow row{title, std::vector<int>(static_cast<std::size_t>(last - first + 1))};
    std::iota(row.points.begin(), row.points.end(), first);
    rows.push_back(std::move(row));
  }
  return rows;
}

/// The token of the pixel that contains a point; points outside the picture are moved to its border.
std::int64_t token_at(const Point2& p, int height, int width) {
  const int x = std::clamp(static_cast<int>(std::floor(p.x * static_cast<float>(width))), 0, width - 1);
  const int y = std::clamp(static_cast<int>(std::floor(p.y * static_cast<float>(height))), 0, height - 1);
  return 1 + static_cast<std::int64_t>(y) * width + x;
}

/// The mean map of a row's queries in one head.
HeatMap mean_map(const Tensor& rollout, std::int64_t head, const std::vector<std::int64_t>& queries,
                 int height, int width) {
  HeatMap mean{height, width, std::vector<float>(static_cast<std::size_t>(height * width), 0.0f)};
  for (const std::int64_t query : queries) {
    const HeatMap map = rollout_map(rollout, head, query, height, width);
    for (std::size_t i = 0; i < map.values.size(); ++i) {
      mean.values[i] += map.values[i] / static_cast<float>(queries.size());
    }
  }
  return mean;
}

HeatMap average(const std::vector<HeatMap>& maps) {
  HeatMap mean = maps[0];
  for (std::size_t i = 0; i < mean.values.size(); ++i) {
    mean.values[i] = 0;
    for (const HeatMap& map : maps) mean.values[i] += map.values[i] / static_cast<float>(maps.size());
  }
  return mean;
}

}  // namespace

Drawing attention_figure(const Classifier& net, const Sample& face, const AttentionOptions& options) {
  FERNet& fernet = detail::fernet_of(net);
  const std::vector<QueryRow> rows = rows_of(options);
  std::string source;
  const auto landmarks = detail::landmarks_of(net, {face}, source);
  require<ConfigError>(!landmarks.empty(),
                       "neither the network nor the data set knows this face's landmarks (", face.name,
                       "); a network with a landmark head does");
  FERNetTrace trace;
  trace.attention.full_last_block = true;
  {
    NoGrad no_grad;
    fernet(Variable(net.input({face.image})), &trace);
  }
  const int height = static_cast<int>(trace.f_img.dim(1)), width = static_cast<int>(trace.f_img.dim(2));
  const Tensor rollout = attention_rollout(trace.attention.attention)[0];
  const std::int64_t heads = rollout.dim(0);

  SheetOptions sheet;
  sheet.columns = static_cast<int>(heads) + 1;
  sheet.picture_size = 84;
  sheet.colour_scale = true;
  sheet.title = fernet.config().attention.cross ? "Where the landmark queries look, head by head"
                                                : "Where the queries look, head by head (self-attention)";
  for (std::int64_t h = 0; h < heads; ++h) sheet.column_titles.push_back(concat("head ", h + 1));
  sheet.column_titles.emplace_back("all heads");
  std::vector<Panel> panels;
  const Image picture = detail::canvas(face.image);
  const auto panel = [&](const HeatMap& map, const QueryRow& row) {
    Image overlay = overlay_heat(picture, normalised(map), 0.65);
    for (const int point : row.points) {
      const Point2& p = landmarks[0][static_cast<std::size_t>(point)];
      draw_disc(overlay, p.x * overlay.width, p.y * overlay.height, 2.2, {0, 0, 0});
      draw_disc(overlay, p.x * overlay.width, p.y * overlay.height, 1.3, {255, 255, 255});
    }
    panels.push_back({std::move(overlay), {}, false});
  };
  for (const QueryRow& row : rows) {
    sheet.row_titles.push_back(row.title);
    std::vector<std::int64_t> queries{0};
    if (!row.points.empty()) queries.clear();
    for (const int point : row.points) {
      queries.push_back(token_at(landmarks[0][static_cast<std::size_t>(point)], height, width));
    }
    std::vector<HeatMap> maps;
    for (std::int64_t h = 0; h < heads; ++h) maps.push_back(mean_map(rollout, h, queries, height, width));
    for (const HeatMap& map : maps) panel(map, row);
    panel(average(maps), row);
  }
  return contact_sheet(panels, sheet);
}

}  // namespace fer
