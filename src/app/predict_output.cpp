// Predictions as text for people, as JSON (an array, one line a picture) and as CSV (one line a face).
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "app/console.h"
#include "app/predict.h"

namespace fer::app {
namespace {

using Json = nlohmann::ordered_json;

bool is_whole(const PictureReading& reading, const FaceReading& face) {
  return face.box == Box{0, 0, reading.width, reading.height};
}

/// "1:05.20"
std::string time_text(double seconds) {
  const auto minutes = static_cast<long>(seconds / 60);
  char text[64];
  std::snprintf(text, sizeof(text), "%ld:%05.2f", minutes, seconds - 60.0 * static_cast<double>(minutes));
  return text;
}

class TextWriter : public PredictionWriter {
 public:
  explicit TextWriter(std::vector<std::string> names) : names_(std::move(names)) {}

  void write(const PictureReading& reading) override {
    const std::string source =
        reading.frame ? concat(reading.source, " ", time_text(reading.seconds)) : reading.source;
    for (const FaceReading& face : reading.faces) {
      std::cout << source;
      if (!is_whole(reading, face)) {
        std::cout << ", face at " << face.box.x << "," << face.box.y << " (" << face.box.width << " x "
                  << face.box.height << ")";
      }
      write_expression(face.prediction);
    }
    // what is missing from the result belongs to the messages, except in the middle of a video
    if (reading.faces.empty() && !reading.frame) std::cerr << source << ": no face found\n";
    std::cout << std::flush;
  }

  void failed(const std::string&, const std::string&) override {}

 private:
  void write_expression(const SamplePrediction& p) const {
    constexpr std::size_t shown = 3;
    std::vector<std::size_t> order(names_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(),
              [&](std::size_t a, std::size_t b) { return p.probabilities[a] > p.probabilities[b]; });
    std::cout << ": " << names_[order[0]] << " " << percent_text(p.probabilities[order[0]]);
    for (std::size_t i = 1; i < std::min(shown, order.size()); ++i) {
      std::cout << (i == 1 ? "  (" : ", ") << names_[order[i]] << " "
                << percent_text(p.probabilities[order[i]]);
    }
    std::cout << (order.size() > 1 ? ")\n" : "\n");
  }

  std::vector<std::string> names_;
};

class JsonWriter : public PredictionWriter {
 public:
  explicit JsonWriter(std::vector<std::string> names) : names_(std::move(names)) {}

  void write(const PictureReading& reading) override {
    Json json{{"file", reading.source}};
    if (reading.frame) {
      json["frame"] = *reading.frame;
      json["seconds"] = reading.seconds;
    }
    json["width"] = reading.width;
    json["height"] = reading.height;
    json["faces"] = Json::array();
    for (const FaceReading& face : reading.faces) json["faces"].push_back(face_json(reading, face));
    append(json);
  }

  void failed(const std::string& source, const std::string& message) override {
    append({{"file", source}, {"error", message}});
  }

  void finish() override { std::cout << (count_ > 0 ? "\n]" : "[]") << std::endl; }

 private:
  void append(const Json& json) {
    // a file name that is not UTF-8 must not cost the others their result
    std::cout << (count_++ > 0 ? ",\n" : "[\n") << json.dump(-1, ' ', false, Json::error_handler_t::replace)
              << std::flush;
  }

  Json face_json(const PictureReading& reading, const FaceReading& face) const {
    const auto predicted = static_cast<std::size_t>(face.prediction.predicted);
    Json probabilities;
    for (std::size_t c = 0; c < names_.size(); ++c)
      probabilities[names_[c]] = face.prediction.probabilities[c];
    const Box& box = face.box;
    Json json{{"box", {{"x", box.x}, {"y", box.y}, {"width", box.width}, {"height", box.height}}},
              {"expression", names_[predicted]},
              {"probability", face.prediction.probabilities[predicted]},
              {"probabilities", std::move(probabilities)}};
    if (face.landmarks) {
      Json points = Json::array();
      const auto pixels = [](float share, int side) { return std::round(10.0 * share * side) / 10; };
      for (const Point2& p : *face.landmarks)
        points.push_back({pixels(p.x, reading.width), pixels(p.y, reading.height)});
      json["landmarks"] = std::move(points);
    }
    return json;
  }

  std::vector<std::string> names_;
  std::int64_t count_ = 0;
};

/// RFC 4180: fields with commas, quotes or line ends stand in quotes, and quotes in them are doubled.
std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

class CsvWriter : public PredictionWriter {
 public:
  explicit CsvWriter(std::vector<std::string> names) : names_(std::move(names)) {
    std::cout << "file,frame,seconds,face,x,y,width,height,expression,probability";
    for (const std::string& name : names_) std::cout << "," << csv_field(name);
    std::cout << std::endl;
  }

  void write(const PictureReading& reading) override {
    for (std::size_t i = 0; i < reading.faces.size(); ++i) {
      const FaceReading& face = reading.faces[i];
      const auto predicted = static_cast<std::size_t>(face.prediction.predicted);
      std::cout << csv_field(reading.source) << ",";
      if (reading.frame) std::cout << *reading.frame;
      std::cout << ",";
      if (reading.frame) std::cout << reading.seconds;
      std::cout << "," << i << "," << face.box.x << "," << face.box.y << "," << face.box.width << ","
                << face.box.height << "," << csv_field(names_[predicted]) << ","
                << face.prediction.probabilities[predicted];
      for (const float p : face.prediction.probabilities) std::cout << "," << p;
      std::cout << "\n";
    }
    if (reading.faces.empty() && !reading.frame) std::cerr << reading.source << ": no face found\n";
    std::cout << std::flush;
  }

  void failed(const std::string&, const std::string&) override {}

 private:
  std::vector<std::string> names_;
};

}  // namespace

std::unique_ptr<PredictionWriter> make_prediction_writer(PredictionFormat format,
                                                         std::vector<std::string> class_names) {
  if (format == PredictionFormat::json) return std::make_unique<JsonWriter>(std::move(class_names));
  if (format == PredictionFormat::csv) return std::make_unique<CsvWriter>(std::move(class_names));
  return std::make_unique<TextWriter>(std::move(class_names));
}

}  // namespace fer::app
