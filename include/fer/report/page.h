// One HTML page about one run or several: what was trained, how training went, how good the result is, and
// where it fails. The page contains its pictures, style and script, so it can be mailed and opened offline.
//
//   std::vector<fer::RunStudy> runs{fer::study_run("runs/mine", fer::Device::cpu, {})};
//   fer::write_file_atomically("report.html", fer::report_page(runs));
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "fer/data/image.h"
#include "fer/inference/classifier.h"
#include "fer/training/run_log.h"

namespace fer {

/// A face of a gallery.
struct GalleryFace {
  std::string name, label, prediction;    ///< of the sample; of its true class; "fear 81 %"
  std::vector<std::string> alternatives;  ///< the next most probable classes
  double loss = 0;                        ///< cross-entropy of the sample, natural logarithm
  Image picture, heat, cam;  ///< the face; the heat map of Eq. 1 (empty without product); Grad-CAM
};

/// What a page says about one run.
struct RunStudy {
  std::string name;  ///< the folder's name, unless the caller changes it
  RunLog log;
  std::int64_t parameters = 0;
  std::string note;  ///< Classifier::note; not shown on the page
  std::string split;
  /// On `split`, with the weights of the best epoch; none if the run has no weights yet.
  std::optional<EvaluationResult> evaluation;
  std::vector<GalleryFace> wrong;      ///< highest loss first
  std::vector<GalleryFace> uncertain;  ///< smallest distance between the two most probable classes first
};

struct StudyOptions {
  std::string split = "test";
  std::size_t gallery = 12;  ///< maximum number of faces in each gallery
};

/// Reads the run's log. If best.safetensors exists, evaluates it on the split and chooses the galleries.
RunStudy study_run(const std::filesystem::path& folder, Device device, const StudyOptions& options);

/// ConfigError if `runs` is empty.
std::string report_page(const std::vector<RunStudy>& runs);

}  // namespace fer
