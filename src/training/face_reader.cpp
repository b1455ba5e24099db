#include "fer/training/face_reader.h"

#include <algorithm>
#include <exception>

#include "fer/error.h"
#include "fer/nearest.h"

namespace fer {
namespace {

constexpr int largest_crop = 256;  // pixels a side of the data sets' cropped faces, at most
constexpr int least_face = 16;     // pixels a side; below, no expression can be told

bool is_face_crop(const Image& image) {
  return image.width == image.height && image.width <= largest_crop;
}

Box clipped(const Box& box, const Image& image) {
  const int left = std::max(box.x, 0), top = std::max(box.y, 0);
  return {left, top, std::min(box.x + box.width, image.width) - left,
          std::min(box.y + box.height, image.height) - top};
}

/// From fractions of `part` to fractions of the picture.
Landmarks moved(Landmarks landmarks, const Box& part, const Image& image) {
  for (Point2& p : landmarks) {
    p.x =
        (static_cast<float>(part.x) + p.x * static_cast<float>(part.width)) / static_cast<float>(image.width);
    p.y = (static_cast<float>(part.y) + p.y * static_cast<float>(part.height)) /
          static_cast<float>(image.height);
  }
  return landmarks;
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

std::vector<Box> FaceReader::faces_of(const Image& image) const {
  std::vector<Box> boxes;
  for (const DetectedFace& face : detector_->detect(image)) boxes.push_back(face.box);
  return boxes;
}

std::vector<FaceReading> FaceReader::read(const Image& image) {
  return read(std::vector<Image>{image})[0];
}

std::vector<std::vector<FaceReading>> FaceReader::read(const std::vector<Image>& images) {
  const auto whole = [&](const Image& image) {
    return mode_ == CropMode::none || (mode_ == CropMode::automatic && is_face_crop(image));
  };
  const auto readable = [](const Image& image) { return std::min(image.width, image.height) >= least_face; };
  const bool search = std::any_of(images.begin(), images.end(),
                                  [&](const Image& image) { return readable(image) && !whole(image); });
  if (search && !detector_) detector_ = make_face_detector(detection_);

  std::vector<std::vector<Box>> boxes(images.size());
  std::exception_ptr failure;
#pragma omp parallel for schedule(dynamic)
  for (std::size_t i = 0; i < images.size(); ++i) {
    try {
      if (readable(images[i]) && !whole(images[i])) boxes[i] = faces_of(images[i]);
    } catch (...) {
#pragma omp critical(fer_face_reader)
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);

  const double share = face_share(classifier_.config.data.dataset);
  std::vector<std::vector<FaceReading>> readings(images.size());
  std::vector<Image> crops;
  std::vector<Box> parts;
  for (std::size_t i = 0; i < images.size(); ++i) {
    const Image& image = images[i];
    const Box all{0, 0, image.width, image.height};
    if (readable(image) && whole(image)) {
      readings[i].push_back({all, {}, {}});
      parts.push_back(all);
    }
    for (const Box& box : boxes[i]) {
      readings[i].push_back({clipped(box, image), {}, {}});
      parts.push_back(face_crop(box, share));
    }
    for (std::size_t k = crops.size(); k < parts.size(); ++k) crops.push_back(crop(image, parts[k]));
  }
  std::vector<Landmarks> landmarks;
  std::vector<SamplePrediction> predictions = classifier_.predict(crops, &landmarks);
  for (std::size_t i = 0, k = 0; i < images.size(); ++i) {
    for (FaceReading& face : readings[i]) {
      face.prediction = std::move(predictions[k]);
      if (!landmarks.empty()) face.landmarks = moved(landmarks[k], parts[k], images[i]);
      ++k;
    }
  }
  return readings;
}

}  // namespace fer
