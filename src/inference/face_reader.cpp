#include "fer/inference/face_reader.h"

#include <algorithm>
#include <exception>

#include "fer/error.h"
#include "fer/nearest.h"

namespace fer {
namespace {

constexpr int largest_crop = 256;  // pixels per side; the data sets' cropped faces are not larger
constexpr int least_face = 16;     // pixels per side; smaller faces show no expression

bool is_face_crop(const Image& image) {
  return image.width == image.height && image.width <= largest_crop;
}

Box clipped(const Box& box, const Image& image) {
  const int left = std::max(box.x, 0), top = std::max(box.y, 0);
  return {left, top, std::min(box.x + box.width, image.width) - left,
          std::min(box.y + box.height, image.height) - top};
}

/// Converts fractions of `part` to fractions of a picture of width x height.
Landmarks moved(Landmarks landmarks, const Box& part, int width, int height) {
  for (Point2& p : landmarks) {
    p.x = (static_cast<float>(part.x) + p.x * static_cast<float>(part.width)) / static_cast<float>(width);
    p.y = (static_cast<float>(part.y) + p.y * static_cast<float>(part.height)) / static_cast<float>(height);
  }
  return landmarks;
}

/// Converts a face found in a picture that was turned clockwise by `quarters` back to the original picture of
/// width x height.
void turn_back(FaceReading& face, int quarters, int width, int height) {
  face.turn = 90 * quarters;
  for (; quarters > 0; --quarters) {
    // a quarter turn makes y count from the right
    const int side = quarters % 2 == 1 ? height : width;
    face.box = {face.box.y, side - face.box.x - face.box.width, face.box.height, face.box.width};
    if (!face.landmarks) continue;
    for (Point2& p : *face.landmarks) p = {p.y, 1 - p.x};
  }
}

}  // namespace

CropMode parse_crop_mode(std::string_view text) {
  if (text == "auto") return CropMode::automatic;
  if (text == "detect") return CropMode::detect;
  if (text == "none") return CropMode::none;
  throw ConfigError(unknown_name("crop mode", text, {"auto", "detect", "none"}));
}

FaceReader::FaceReader(Classifier classifier, CropMode mode, FaceDetectorOptions detection)
    : classifier_(std::move(classifier)), mode_(mode), detection_(detection) {}

void FaceReader::set_detection(const FaceDetectorOptions& detection) {
  if (detection == detection_) return;
  detection_ = detection;
  detector_.reset();
}

FaceReader::Search FaceReader::look_at(const Image& image) const {
  Search best;
  double best_score = 0;
  for (int quarters = 0; quarters < (turns_ ? 4 : 1); ++quarters) {
    Search found{quarters, {}};
    double score = 0;
    for (const DetectedFace& face :
         detector_->detect(quarters == 0 ? image : turn_clockwise(image, quarters))) {
      found.boxes.push_back(face.box);
      score += face.score;
    }
    if (found.boxes.empty() || (!best.boxes.empty() && score <= best_score)) continue;
    best = std::move(found);
    best_score = score;
  }
  return best;
}

std::vector<FaceReading> FaceReader::read(const Image& image) {
  return read(std::vector<Image>{image})[0];
}

std::vector<std::vector<FaceReading>> FaceReader::read(const std::vector<Image>& images) {
  const bool for_faces = classifier_.expects.face_share > 0;
  const auto whole = [&](const Image& image) {
    return !for_faces || mode_ == CropMode::none || (mode_ == CropMode::automatic && is_face_crop(image));
  };
  const auto readable = [&](const Image& image) {
    return !for_faces || std::min(image.width, image.height) >= least_face;
  };
  const bool search = std::any_of(images.begin(), images.end(),
                                  [&](const Image& image) { return readable(image) && !whole(image); });
  if (search && !detector_) detector_ = make_face_detector(detection_);

  std::vector<Search> found(images.size());
  std::exception_ptr failure;
#pragma omp parallel for schedule(dynamic)
  for (std::size_t i = 0; i < images.size(); ++i) {
    try {
      if (readable(images[i]) && !whole(images[i])) found[i] = look_at(images[i]);
    } catch (...) {
#pragma omp critical(fer_face_reader)
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);

  const double share = classifier_.expects.face_share;
  std::vector<std::vector<FaceReading>> readings(images.size());
  std::vector<Image> crops;
  std::vector<Box> parts;
  for (std::size_t i = 0; i < images.size(); ++i) {
    const Image turned = found[i].quarters == 0 ? Image() : turn_clockwise(images[i], found[i].quarters);
    const Image& image = found[i].quarters == 0 ? images[i] : turned;
    const Box all{0, 0, image.width, image.height};
    if (readable(image) && whole(image)) {
      readings[i].push_back({all, {}, {}});
      parts.push_back(all);
    }
    for (const Box& box : found[i].boxes) {
      readings[i].push_back({clipped(box, image), {}, {}});
      parts.push_back(face_crop(box, share));
    }
    for (std::size_t k = crops.size(); k < parts.size(); ++k) crops.push_back(crop(image, parts[k]));
  }
  std::vector<Landmarks> landmarks;
  std::vector<SamplePrediction> predictions = classifier_.predict(crops, &landmarks);
  for (std::size_t i = 0, k = 0; i < images.size(); ++i) {
    int width = images[i].width, height = images[i].height;
    if (found[i].quarters % 2 == 1) std::swap(width, height);
    for (FaceReading& face : readings[i]) {
      face.prediction = std::move(predictions[k]);
      if (!landmarks.empty()) face.landmarks = moved(landmarks[k], parts[k], width, height);
      turn_back(face, found[i].quarters, images[i].width, images[i].height);
      ++k;
    }
  }
  return readings;
}

}  // namespace fer
