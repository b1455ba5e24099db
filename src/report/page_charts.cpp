#include "report/page_charts.h"

#include <cmath>

namespace fer::detail {
namespace {

/// About the width of a chart in pixels; more points would only make the page larger.
constexpr std::size_t most_points = 200;

LineChart blank(const std::string& title, const std::string& x_label) {
  LineChart chart;
  chart.title = title;
  chart.x_label = x_label;
  chart.whole_x = true;
  chart.width = 400;
  chart.height = 250;
  return chart;
}

template <typename Value>
Series of_steps(const RunLog& log, const std::string& stage, const std::string& name, Value value) {
  Series series;
  series.name = name;
  for (const StepReport& step : log.steps) {
    if (step.stage != stage) continue;
    series.x.push_back(static_cast<double>(step.step));
    series.y.push_back(value(step));
  }
  return thinned(series, most_points);
}

double figure(const Figures& figures, const std::string& name) {
  for (const auto& [key, value] : figures) {
    if (key == name) return value;
  }
  return std::nan("");
}

/// Validation losses are placed at the steps where their epochs end.
Series validation_loss(const RunLog& log, const std::string& name) {
  Series series;
  series.name = name;
  for (const EpochReport& epoch : log.epochs) {
    const double value = figure(epoch.evaluation.figures, "cross_entropy");
    if (epoch.stage != main_stage || !std::isfinite(value)) continue;
    series.x.push_back(static_cast<double>(epoch.step));
    series.y.push_back(value);
  }
  series.marks = series.x.size() <= 60;
  return series;
}

Series of_epochs(const RunLog& log, const std::string& stage, const std::string& key,
                 const std::string& name) {
  Series series;
  series.name = name;
  for (const EpochReport& epoch : log.epochs) {
    if (epoch.stage != stage) continue;
    const double value = figure(epoch.evaluation.figures, key);
    if (!std::isfinite(value)) continue;
    series.x.push_back(static_cast<double>(epoch.epoch));
    series.y.push_back(value);
  }
  series.marks = series.x.size() <= 60;
  return series;
}

const auto loss = [](const StepReport& step) { return step.loss; };
/// The cross-entropy of the main stage; without parts it is the total loss.
const auto cross_entropy = [](const StepReport& step) {
  const double value = figure(step.parts, "cross_entropy");
  return std::isfinite(value) ? value : step.loss;
};

}  // namespace

std::vector<LineChart> training_charts(const RunStudy& run) {
  const RunLog& log = run.log;
  std::vector<LineChart> charts;
  // Shows cross-entropy for both, because the other loss terms are not computed on the validation split.
  LineChart total = blank("Training loss and validation loss (cross-entropy)", "step");
  total.series.push_back(of_steps(log, main_stage, "training", cross_entropy));
  if (Series validation = validation_loss(log, "validation"); !validation.x.empty())
    total.series.push_back(std::move(validation));
  charts.push_back(std::move(total));

  Figures parts;
  for (const StepReport& step : log.steps) {
    if (step.stage == main_stage) parts = step.parts;
  }
  LineChart of_parts = blank("Parts of the loss, before their weights", "step");
  of_parts.log_y = true;
  for (const auto& [name, unused] : parts) {
    Series series = of_steps(log, main_stage, name,
                             [&key = name](const StepReport& step) { return figure(step.parts, key); });
    series.low.clear(), series.high.clear();  // the areas of several curves would hide one another
    for (char& c : series.name) c = c == '_' ? ' ' : c;
    of_parts.series.push_back(std::move(series));
  }
  charts.push_back(std::move(of_parts));

  LineChart accuracy = blank("Accuracy on the validation split", "epoch");
  accuracy.percent = true;
  accuracy.series.push_back(of_epochs(log, main_stage, "accuracy", "accuracy"));
  accuracy.series.push_back(of_epochs(log, main_stage, "mean_class_accuracy", "mean class accuracy"));
  charts.push_back(std::move(accuracy));

  LineChart rate = blank("Learning rate", "step");
  rate.series.push_back(of_steps(log, main_stage, "", [](const StepReport& step) { return step.lr; }));
  rate.series[0].low.clear(), rate.series[0].high.clear();
  charts.push_back(std::move(rate));

  LineChart speed = blank("Throughput, images per second", "step");
  speed.from_zero = true;
  speed.series.push_back(
      of_steps(log, main_stage, "", [](const StepReport& step) { return step.images_per_second; }));
  charts.push_back(std::move(speed));

  for (const auto& [stage, title] :
       {std::pair{"landmarks", "Landmark backbone: loss"}, {"image", "Image backbone: loss on points"}}) {
    LineChart points = blank(title, "step");
    points.log_y = true;
    points.series.push_back(of_steps(log, stage, "", loss));
    if (!points.series[0].x.empty()) charts.push_back(std::move(points));
  }
  return charts;
}

std::vector<LineChart> comparison_charts(const std::vector<RunStudy>& runs) {
  LineChart total = blank("Training loss", "step"),
            validation = blank("Validation loss (cross-entropy)", "step"),
            accuracy = blank("Accuracy on the validation split", "epoch");
  accuracy.percent = true;
  for (const RunStudy& run : runs) {
    Series series = of_steps(run.log, main_stage, run.name, loss);
    series.low.clear(), series.high.clear();
    total.series.push_back(std::move(series));
    validation.series.push_back(validation_loss(run.log, run.name));
    accuracy.series.push_back(of_epochs(run.log, main_stage, "accuracy", run.name));
  }
  return {total, validation, accuracy};
}

}  // namespace fer::detail
