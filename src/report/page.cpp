#include "fer/report/page.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <set>
#include <sstream>

#include "fer/report/charts.h"
#include "fer/study/comparison.h"
#include "report/page_charts.h"
#include "report/page_style.h"
#include "study/number_text.h"

namespace fer {
namespace {

bool all_validated(const std::vector<RunStudy>& runs) {
  return std::all_of(runs.begin(), runs.end(),
                     [](const RunStudy& run) { return run.log.config.data.validation_fraction > 0; });
}

std::string html(const std::string& text) {
  return xml_escape(text);
}

using detail::formatted;

std::string two_decimals(double share) {
  return detail::percent(share, 2);
}

std::string duration(double seconds) {
  if (seconds >= 3600) return formatted("%.1f h", seconds / 3600);
  return seconds >= 60 ? formatted("%.1f min", seconds / 60) : formatted("%.0f s", seconds);
}

/// A table in a frame that can be scrolled sideways, by touch and by keyboard.
class Table {
 public:
  Table(std::ostringstream& out, const std::string& label, const std::vector<std::string>& head) : out_(out) {
    out_ << "<div class=scroll tabindex=0 role=region aria-label=\"" << html(label)
         << "\"><table><thead><tr>";
    for (const std::string& cell : head) out_ << "<th scope=col>" << html(cell) << "</th>";
    out_ << "</tr></thead><tbody>\n";
  }
  ~Table() { out_ << "</tbody></table></div>\n"; }
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  void row(const std::vector<std::string>& cells) {
    out_ << "<tr>";
    for (std::size_t i = 0; i < cells.size(); ++i) {
      out_ << (i == 0 ? "<th scope=row>" : "<td>") << html(cells[i]) << (i == 0 ? "</th>" : "</td>");
    }
    out_ << "</tr>\n";
  }

 private:
  std::ostringstream& out_;
};

void chart(std::ostringstream& out, const LineChart& line_chart) {
  out << "<figure class=chart>" << draw_chart(line_chart).svg(line_chart.title, /*paper=*/false)
      << "</figure>\n";
}

double seconds_of(const RunLog& log) {
  double seconds = 0;
  for (const EpochReport& epoch : log.epochs) seconds += epoch.seconds;
  return seconds;
}

const EpochReport* best_epoch(const RunLog& log) {
  const EpochReport* best = nullptr;
  for (const EpochReport& epoch : log.epochs) {
    if (epoch.stage == main_stage && epoch.best) best = &epoch;
  }
  return best;
}

void summary(std::ostringstream& out, const std::vector<RunStudy>& runs) {
  out << "<section aria-labelledby=summary><h2 id=summary>Summary</h2>\n";
  {
    Table table(out, "Summary of runs",
                {"run", "data set", "preset", "accuracy", "mean class", "macro F1", "best epoch", "steps",
                 "time", "parameters"});
    for (const RunStudy& run : runs) {
      const EpochReport* best = best_epoch(run.log);
      std::int64_t steps = 0;
      for (const StepReport& step : run.log.steps)
        steps = step.stage == main_stage ? std::max(steps, step.step) : steps;
      const auto figure = [&](double (ConfusionMatrix::*f)() const) {
        return run.evaluation ? two_decimals((run.evaluation->confusion.*f)()) : "–";
      };
      table.row({run.name, run.log.config.data.name, run.log.config.preset,
                 figure(&ConfusionMatrix::accuracy), figure(&ConfusionMatrix::mean_class_accuracy),
                 figure(&ConfusionMatrix::macro_f1), best ? std::to_string(best->epoch) : "–",
                 std::to_string(steps), duration(seconds_of(run.log)),
                 run.parameters > 0 ? formatted("%.2f M", static_cast<double>(run.parameters) / 1e6) : "-"});
    }
  }
  out << "<p class=note>Accuracy, mean class accuracy and macro F1 are of the " << html(runs[0].split)
      << " split, with the weights of the epoch that was best on the validation split"
      << (all_validated(runs) ? "" : ", or of the last where there is none")
      << ". Time covers all "
         "epochs, including those of the backbones.</p></section>\n";
}

void comparison(std::ostringstream& out, const std::vector<RunStudy>& runs) {
  out << "<section aria-labelledby=comparison><h2 id=comparison>Comparison</h2>\n<div class=charts>\n";
  for (const LineChart& line_chart : detail::comparison_charts(runs)) chart(out, line_chart);
  out << "</div>\n<h3>Settings that differ</h3>\n";
  std::vector<std::string> head{"setting"};
  for (const RunStudy& run : runs) head.push_back(run.name);
  {
    Table table(out, "Settings that differ", head);
    std::vector<std::vector<SettingInfo>> settings;
    settings.reserve(runs.size());
    for (const RunStudy& run : runs) settings.push_back(settings_of(run.log.config));
    for (std::size_t i = 0; i < settings[0].size(); ++i) {
      std::vector<std::string> row{settings[0][i].key};
      std::set<std::string> values;
      for (const auto& of_run : settings) {
        row.push_back(of_run[i].value);
        values.insert(of_run[i].value);
      }
      if (values.size() > 1) table.row(row);
    }
  }
  out << "<h3>On the same faces</h3>\n";
  {
    Table table(out, "McNemar's test against the first run",
                {"against " + runs[0].name, "points", "mended", "broken", "McNemar p"});
    for (std::size_t i = 1; i < runs.size(); ++i) {
      if (!runs[0].evaluation || !runs[i].evaluation) continue;
      try {
        const McNemar test = compare_predictions(*runs[0].evaluation, *runs[i].evaluation).test;
        table.row({runs[i].name, formatted("%+.2f", 100 * test.difference()),
                   std::to_string(test.only_second), std::to_string(test.only_first), p_text(test.p)});
      } catch (const DataError&) {
        table.row({runs[i].name, "other faces", "–", "–", "–"});
      }
    }
  }
  out << "<p class=note>Mended: wrong in the first run, right in this one; broken: the other way around. "
         "McNemar's exact test says how probable so uneven a count would be if both erred equally often. It "
         "is about these two sets of weights, not about other seeds.</p></section>\n";
}

void configuration(std::ostringstream& out, const RunStudy& run) {
  out << "<details><summary>Configuration</summary>\n";
  std::string section;
  for (const SettingInfo& info : settings_of(run.log.config)) {
    if (info.section != section) {
      if (!section.empty()) out << "</ul>\n";
      section = info.section;
      out << "<h3>" << html(section) << "</h3><ul class=settings>\n";
    }
    out << "<li><span>" << html(info.key) << "</span><span>" << html(info.value) << "</span></li>\n";
  }
  out << "</ul></details>\n";
}

void epochs_table(std::ostringstream& out, const RunStudy& run) {
  out << "<details><summary>Epochs as a table</summary>\n";
  {
    std::vector<std::string> head{"epoch", "loss"};
    const EpochReport* first = nullptr;
    for (const EpochReport& epoch : run.log.epochs)
      first = !first && epoch.stage == main_stage ? &epoch : first;
    if (first) {
      for (const auto& [name, value] : first->evaluation.figures) head.push_back(name);
    }
    head.insert(head.end(), {"rate", "images/s", "seconds"});
    Table table(out, "Epochs", head);
    for (const EpochReport& epoch : run.log.epochs) {
      if (epoch.stage != main_stage) continue;
      std::vector<std::string> row{concat(epoch.epoch, epoch.best ? " (best so far)" : ""),
                                   formatted("%.4f", epoch.train_loss)};
      for (const auto& [name, value] : epoch.evaluation.figures) row.push_back(formatted("%.4f", value));
      row.insert(row.end(), {formatted("%.3g", epoch.lr), formatted("%.1f", epoch.images_per_second),
                             formatted("%.1f", epoch.seconds)});
      table.row(row);
    }
  }
  out << "</details>\n";
}

void class_table(std::ostringstream& out, const ConfusionMatrix& confusion) {
  Table table(out, "Figures of each class", {"class", "samples", "recall", "precision", "F1"});
  for (int c = 0; c < confusion.classes(); ++c) {
    table.row({confusion.class_names()[static_cast<std::size_t>(c)], std::to_string(confusion.support(c)),
               two_decimals(confusion.recall(c)), two_decimals(confusion.precision(c)),
               two_decimals(confusion.f1(c))});
  }
}

void picture(std::ostringstream& out, const Image& image, const std::string& description) {
  if (image.empty()) return;
  const std::vector<std::uint8_t> jpeg = encode_jpeg(image, 88);
  out << "<img loading=lazy alt=\"" << html(description) << "\" src=\"data:image/jpeg;base64," << base64(jpeg)
      << "\">";
}

void gallery(std::ostringstream& out, const std::vector<GalleryFace>& faces, const std::string& title,
             const std::string& note) {
  out << "<h3>" << html(title) << "</h3>\n<p class=note>" << html(note) << "</p>\n";
  if (faces.empty()) {
    out << "<p>None.</p>\n";
    return;
  }
  out << "<ul class=gallery>\n";
  for (const GalleryFace& face : faces) {
    out << "<li><div class=row>";
    picture(out, face.picture, "Face: " + face.label);
    picture(out, face.heat, "Heat map of the landmarks");
    picture(out, face.cam, "Grad-CAM of the predicted class");
    out << "</div><p><strong>" << html(face.label) << "</strong>, predicted " << html(face.prediction);
    for (const std::string& other : face.alternatives) out << ", " << html(other);
    out << "</p><p class=note>" << html(face.name) << ", loss " << formatted("%.2f", face.loss)
        << "</p></li>\n";
  }
  out << "</ul>\n";
}

void run_section(std::ostringstream& out, const RunStudy& run, std::size_t number) {
  out << "<section aria-labelledby=run" << number << "><h2 id=run" << number << ">" << html(run.name)
      << "</h2>\n";
  configuration(out, run);
  out << "<h3>Training</h3>\n<div class=charts>\n";
  for (const LineChart& line_chart : detail::training_charts(run)) chart(out, line_chart);
  out << "</div>\n";
  epochs_table(out, run);
  if (!run.evaluation) {
    out << "<p>The run has no weights of a complete epoch yet, so there is nothing to "
           "evaluate.</p></section>\n";
    return;
  }
  const ConfusionMatrix& confusion = run.evaluation->confusion;
  out << "<p class=note>" << html(subject_text(*run.evaluation)) << "</p>\n<h3>By class</h3>\n";
  class_table(out, confusion);
  out << "<h3>Confusion matrix</h3>\n<div class=\"scroll wide\" tabindex=0 role=region "
         "aria-label=\"Confusion "
         "matrix\">"
      << draw_confusion(confusion, concat(run.split, ", ", confusion.total(), " samples"))
             .svg("Confusion matrix", /*paper=*/false)
      << "</div>\n";
  const std::string pictures =
      !run.wrong.empty() && run.wrong[0].heat.width > 0
          ? "Left to right: the face, the heat map of its landmarks, Grad-CAM of the "
            "predicted class after the attention."
          : "Left to right: the face, Grad-CAM of the predicted class.";
  gallery(out, run.wrong, "Most wrong", pictures);
  gallery(out, run.uncertain, "Least certain",
          "The two most probable classes are closest to each other here.");
  out << "</section>\n";
}

}  // namespace

std::string report_page(const std::vector<RunStudy>& runs) {
  require<ConfigError>(!runs.empty(), "a report needs one run or more");
  const std::string title = runs.size() == 1 ? "Run " + runs[0].name : concat(runs.size(), " runs compared");
  std::ostringstream out;
  out << "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n"
         "<meta name=viewport content=\"width=device-width, initial-scale=1\">\n"
         "<meta name=color-scheme content=\"light dark\">\n<title>"
      << html(title) << "</title>\n<style>" << detail::page_style << "</style>\n</head>\n<body>\n"
      << "<a class=skip href=#content>To the content</a>\n<header><div><h1>" << html(title)
      << "</h1><nav aria-label=Sections><a href=#summary>Summary</a>";
  if (runs.size() > 1) out << "<a href=#comparison>Comparison</a>";
  for (std::size_t i = 0; i < runs.size(); ++i) {
    out << "<a href=#run" << i + 1 << ">" << html(runs[i].name) << "</a>";
  }
  out << "</nav><button id=theme type=button hidden>Dark</button></div></header>\n<main id=content>\n";
  summary(out, runs);
  if (runs.size() > 1) comparison(out, runs);
  for (std::size_t i = 0; i < runs.size(); ++i) run_section(out, runs[i], i + 1);
  out << "<footer>Made by fer report. This page loads nothing from the network.</footer>\n</main>\n<script>"
      << detail::page_script << "</script>\n</body>\n</html>\n";
  return out.str();
}

}  // namespace fer
