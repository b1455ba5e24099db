// The class tokens in two dimensions: shows whether classes separate and whether the neutral ones cluster.
#include <algorithm>
#include <cmath>

#include "fer/nearest.h"
#include "fer/report/embedding.h"
#include "fer/training/loop.h"
#include "report/figure_parts.h"

namespace fer {
namespace {

/// Root mean squared distance of the chosen rows from their mean.
double radius(const std::vector<float>& rows, std::size_t width, const std::vector<std::size_t>& chosen) {
  if (chosen.empty()) return std::nan("");
  std::vector<double> mean(width, 0.0);
  for (const std::size_t r : chosen) {
    for (std::size_t c = 0; c < width; ++c) mean[c] += rows[r * width + c];
  }
  for (double& m : mean) m /= static_cast<double>(chosen.size());
  double squares = 0;
  for (const std::size_t r : chosen) {
    for (std::size_t c = 0; c < width; ++c) {
      const double d = rows[r * width + c] - mean[c];
      squares += d * d;
    }
  }
  return std::sqrt(squares / static_cast<double>(chosen.size()));
}

/// Sizes of marks by arousal: from 0.8 (lowest) to 1.7 (highest) times the usual size.
std::vector<double> sizes_of(const std::vector<Sample>& faces) {
  std::vector<double> sizes(faces.size(), 1.0);
  const bool known = std::all_of(faces.begin(), faces.end(),
                                 [](const Sample& s) { return s.arousal && std::isfinite(*s.arousal); });
  if (!known || faces.empty()) return sizes;
  const auto [low, high] = std::minmax_element(
      faces.begin(), faces.end(), [](const Sample& a, const Sample& b) { return *a.arousal < *b.arousal; });
  const float span = std::max(1e-6f, *high->arousal - *low->arousal);
  for (std::size_t i = 0; i < faces.size(); ++i) {
    sizes[i] = 0.8 + 0.9 * static_cast<double>((*faces[i].arousal - *low->arousal) / span);
  }
  return sizes;
}

std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}

std::string neutral_note(const Tensor& tokens, const std::vector<Sample>& faces, int neutral) {
  const auto rows = tokens.to_vector<float>();
  const auto width = static_cast<std::size_t>(tokens.dim(1));
  std::vector<std::size_t> all, chosen;
  for (std::size_t i = 0; i < faces.size(); ++i) {
    all.push_back(i);
    if (faces[i].label == neutral) chosen.push_back(i);
  }
  if (neutral < 0 || chosen.empty()) return "";
  const double own = radius(rows, width, chosen), whole = radius(rows, width, all);
  return concat("Root mean squared distance from their mean: neutral tokens ", short_number(own),
                ", all tokens ", short_number(whole), ", ratio ", short_number(own / whole), ".");
}

Drawing plot(const std::string& method, const Tensor& tokens, const std::vector<Sample>& faces,
             const std::vector<double>& sizes, const Classifier& net, const TokensOptions& options,
             bool legend) {
  require<ConfigError>(method == "pca" || method == "tsne", unknown_name("method", method, {"pca", "tsne"}));
  Scatter scatter;
  scatter.groups = net.class_names;
  scatter.size = 380;
  scatter.legend = legend;
  Embedding embedding;
  if (method == "pca") {
    embedding = pca(tokens);
    scatter.title = "Class tokens: principal components";
    scatter.note = concat(detail::percent(embedding.first, 0), " and ", detail::percent(embedding.second, 0),
                          " of the variance along x and y");
  } else {
    TsneOptions settings;
    settings.perplexity = options.perplexity;
    embedding = tsne(tokens, settings);
    scatter.title = "Class tokens: t-SNE";
    scatter.note = concat("perplexity ", short_number(options.perplexity), ", divergence ",
                          short_number(embedding.first));
  }
  for (std::size_t i = 0; i < faces.size(); ++i) {
    std::string tooltip = faces[i].name + ": " + detail::label_of(net, faces[i]);
    if (faces[i].arousal) tooltip += concat(", arousal ", short_number(*faces[i].arousal));
    scatter.points.push_back({embedding.points[i].first, embedding.points[i].second,
                              static_cast<int>(std::max<std::int64_t>(0, faces[i].label)), sizes[i],
                              std::move(tooltip)});
  }
  return draw_scatter(scatter);
}

}  // namespace

Tensor class_tokens(const Classifier& net, const std::vector<Sample>& faces) {
  NoGrad no_grad;
  constexpr std::size_t batch = 32;
  std::vector<float> values;
  std::int64_t width = 0;
  for (std::size_t i = 0; i < faces.size(); i += batch) {
    std::vector<Image> pictures;
    for (std::size_t k = i; k < std::min(faces.size(), i + batch); ++k) pictures.push_back(faces[k].image);
    const Tensor token = (*net.model)(Variable(net.input(pictures))).token.value();
    const auto part = token.to_vector<float>();
    values.insert(values.end(), part.begin(), part.end());
    width = token.dim(1);
  }
  return Tensor::from<float>({static_cast<std::int64_t>(faces.size()), width}, values);
}

Drawing tokens_figure(const Classifier& net, const Dataset& dataset, const TokensOptions& options) {
  require<ConfigError>(!options.methods.empty(), "a figure of class tokens needs pca, tsne or both");
  require<ConfigError>(options.count >= 4 && dataset.size() >= 4,
                       "a figure of class tokens needs four faces or more");
  std::vector<std::int64_t> numbers;
  const auto total = static_cast<std::size_t>(dataset.size()), count = std::min(options.count, total);
  for (std::size_t i = 0; i < count; ++i) numbers.push_back(static_cast<std::int64_t>(i * total / count));
  const std::vector<Sample> faces = choose_faces(dataset, numbers);
  const Tensor tokens = class_tokens(net, faces);
  const std::vector<double> sizes = sizes_of(faces);
  const bool sized = std::any_of(sizes.begin(), sizes.end(), [](double s) { return s != 1; });
  std::vector<Drawing> plots;
  double width = 0, height = 0;
  for (std::size_t i = 0; i < options.methods.size(); ++i) {
    const bool last = i + 1 == options.methods.size();
    plots.push_back(plot(options.methods[i], tokens, faces, sizes, net, options, last));
    width += plots.back().width();
    height = std::max(height, plots.back().height());
  }
  Drawing figure(width, height + 40);
  double x = 0;
  for (const Drawing& one : plots) {
    figure.add(one, x, 0);
    x += one.width();
  }
  figure.text(
      12, height + 12,
      fitted_text(concat(faces.size(), " faces of ", dataset.info().name, " (", name_of(dataset.info().split),
                         ")", sized ? "; the larger a mark, the stronger the arousal." : "."),
                  11, width - 24),
      {.size = 11});
  figure.text(12, height + 28,
              fitted_text(neutral_note(tokens, faces, dataset.info().neutral), 11, width - 24), {.size = 11});
  return figure;
}

}  // namespace fer
