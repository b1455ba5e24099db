// Evaluates a run and selects faces to show.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "fer/data/examine.h"
#include "fer/report/explain.h"
#include "fer/report/page.h"
#include "fer/training/experiment.h"
#include "report/figure_parts.h"

namespace fer {
namespace {

/// A sample's name for a caption: relative to its data set's folder, or only the file name if it is
/// elsewhere.
std::string caption_of(const std::string& name, const std::filesystem::path& folder) {
  const std::filesystem::path within = std::filesystem::path(name).lexically_relative(folder);
  const bool inside = !within.empty() && within.begin()->string() != ".." && within != ".";
  return inside ? within.string() : std::filesystem::path(name).filename().string();
}

/// Classes, most probable first.
std::vector<std::size_t> ranked(const SamplePrediction& p) {
  std::vector<std::size_t> order(p.probabilities.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return p.probabilities[a] > p.probabilities[b]; });
  return order;
}

double margin(const SamplePrediction& p) {
  const auto order = ranked(p);
  return order.size() < 2 ? 1 : p.probabilities[order[0]] - p.probabilities[order[1]];
}

std::vector<SamplePrediction> most_wrong(const EvaluationResult& result, std::size_t count) {
  std::vector<SamplePrediction> wrong;
  for (const SamplePrediction& p : result.samples) {
    if (p.predicted != p.label) wrong.push_back(p);
  }
  std::stable_sort(wrong.begin(), wrong.end(), [](const SamplePrediction& a, const SamplePrediction& b) {
    return sample_loss(a) > sample_loss(b);
  });
  wrong.resize(std::min(count, wrong.size()));
  return wrong;
}

std::vector<SamplePrediction> least_certain(const EvaluationResult& result, std::size_t count) {
  std::vector<SamplePrediction> samples = result.samples;
  std::stable_sort(samples.begin(), samples.end(), [](const SamplePrediction& a, const SamplePrediction& b) {
    return margin(a) < margin(b);
  });
  samples.resize(std::min(count, samples.size()));
  return samples;
}

std::vector<GalleryFace> gallery(const Classifier& net, const Dataset& dataset,
                                 const std::vector<std::string>& names,
                                 const std::vector<SamplePrediction>& chosen) {
  // The network's output index of each class of the evaluation.
  const std::vector<std::int64_t> outputs =
      match_classes({"the evaluation", names}, {"the network", net.class_names}).second_of_first();
  std::vector<GalleryFace> faces;
  for (const SamplePrediction& p : chosen) {
    const Sample sample = dataset.sample(p.index);
    const Tensor x = net.input({sample.image});
    const auto order = ranked(p);
    GalleryFace face;
    face.name = caption_of(sample.name, net.config.data.folder);
    face.label = names[static_cast<std::size_t>(p.label)];
    face.prediction = names[order[0]] + " " + detail::percent(p.probabilities[order[0]], 0);
    for (std::size_t i = 1; i < std::min<std::size_t>(3, order.size()); ++i) {
      face.alternatives.push_back(names[order[i]] + " " + detail::percent(p.probabilities[order[i]], 0));
    }
    face.loss = sample_loss(p);
    face.picture = detail::canvas(sample.image);
    auto* fernet = dynamic_cast<FERNet*>(net.model.get());
    if (fernet && fernet->config().attention.product)
      face.heat = overlay_heat(face.picture, normalised(landmark_heat(*fernet, x)[0]));
    const std::string layer = net.model->layers().back();
    face.cam = overlay_heat(face.picture, normalised(grad_cam(*net.model, x, layer, {outputs[order[0]]})[0]));
    faces.push_back(std::move(face));
  }
  return faces;
}

}  // namespace

RunStudy study_run(const std::filesystem::path& folder, Device device, const StudyOptions& options) {
  RunStudy study;
  study.log = read_run(folder);
  study.name = folder.has_filename() ? folder.filename().string() : folder.parent_path().filename().string();
  study.split = options.split;
  std::error_code error;
  if (!std::filesystem::exists(folder / "best.safetensors", error)) return study;
  const Classifier net = load_classifier(folder, device);
  study.parameters = net.model->parameter_count();
  study.note = net.note;
  const Split split = parse_split(options.split);
  const auto dataset = open_readable(evaluation_data(net.config.data, split));
  study.split = std::string(name_of(dataset->info().split));
  study.evaluation = evaluate(net, dataset);
  const std::vector<std::string>& names = study.evaluation->confusion.class_names();
  study.wrong = gallery(net, *dataset, names, most_wrong(*study.evaluation, options.gallery));
  study.uncertain = gallery(net, *dataset, names, least_certain(*study.evaluation, options.gallery));
  return study;
}

}  // namespace fer
