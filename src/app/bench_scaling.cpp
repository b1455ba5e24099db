// fer bench scaling: time per image against batch and threads, as a table, JSON and a chart.
#include <omp.h>

#include <cmath>

#include "app/bench.h"
#include "fer/error.h"
#include "fer/formats/atomic_file.h"
#include "fer/report/charts.h"

namespace fer::app {

std::vector<Measurement> bench_scaling(const BenchOptions& options, const std::filesystem::path& svg,
                                       const std::function<void(const Measurement&)>& done) {
  BenchOptions model = options;
  if (model.batches.empty()) model.batches = {1, 2, 4, 8, 16, 32, 64};
  const int most = omp_get_max_threads();
  std::vector<Measurement> all;
  LineChart chart;
  chart.title = concat("Inference, preset ", options.preset);
  chart.x_label = "log2 of the batch";
  chart.y_label = "ms per image";
  chart.from_zero = true;
  for (int threads = 1; threads <= most; threads *= 2) {
    omp_set_num_threads(threads);
    Series series;
    series.name = concat(threads, threads == 1 ? " thread" : " threads");
    series.marks = true;
    const auto each = [&](Measurement m) {
      m.name = concat("inference, ", series.name);
      series.x.push_back(std::log2(m.batch));
      series.y.push_back(m.milliseconds / m.batch);
      done(m);
      all.push_back(m);
    };
    bench_model(model, each);
    chart.series.push_back(series);
  }
  omp_set_num_threads(most);
  if (!svg.empty()) write_file_atomically(svg, draw_chart(chart).svg(chart.title));
  return all;
}

}  // namespace fer::app
