// Writes predictions as text for people, as JSON (an array, one line per picture) and as CSV (one line per
// face).
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "app/console.h"
#include "app/predict.h"
#include "formats/json_document.h"

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

/// Seconds to a millionth, without zeros at the end.
std::string seconds_text(double seconds) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.6f", seconds);
  std::string shown = text;
  shown.erase(shown.find_last_not_of('0') + 1);
  if (shown.ends_with('.')) shown.pop_back();
  return shown;
}

float likeliest(const SamplePrediction& p) {
  return p.probabilities[static_cast<std::size_t>(p.predicted)];
}

class TextWriter : public PredictionWriter {
 public:
  TextWriter(std::vector<std::string> names, const PredictionDetails& details)
      : names_(std::move(names)), details_(details) {}

  void write(const PictureReading& reading) override {
    const std::string source =
        reading.frame ? concat(reading.source, " ", time_text(reading.seconds)) : reading.source;
    for (std::size_t i = 0; i < reading.faces.size(); ++i) {
      const FaceReading& face = reading.faces[i];
      std::cout << source;
      if (!is_whole(reading, face)) {
        std::cout << ", face at " << face.box.x << "," << face.box.y << " (" << face.box.width << " x "
                  << face.box.height << ")";
      }
      if (details_.turns && face.turn != 0) std::cout << ", turned by " << face.turn << " degrees";
      write_expression(face.prediction);
      if (!reading.tracked.empty()) write_smoothed(reading.tracked[i]);
      std::cout << "\n";
    }
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
    if (order.size() > 1) std::cout << ")";
  }

  void write_smoothed(const TrackedFace& face) const {
    std::cout << "; face " << face.track
              << " smoothed: " << names_[static_cast<std::size_t>(face.smoothed.predicted)] << " "
              << percent_text(likeliest(face.smoothed));
  }

  std::vector<std::string> names_;
  PredictionDetails details_;
};

class JsonWriter : public PredictionWriter {
 public:
  JsonWriter(std::vector<std::string> names, const PredictionDetails& details)
      : names_(std::move(names)), details_(details) {}

  void write(const PictureReading& reading) override {
    Json json = json_document("prediction", 1, {{"file", reading.source}});
    if (reading.frame) {
      json["frame"] = *reading.frame;
      json["seconds"] = reading.seconds;
    }
    json["width"] = reading.width;
    json["height"] = reading.height;
    json["faces"] = Json::array();
    for (std::size_t i = 0; i < reading.faces.size(); ++i) {
      Json face = face_json(reading, reading.faces[i]);
      if (!reading.tracked.empty()) {
        face["track"] = reading.tracked[i].track;
        face["smoothed"] = expression_json(reading.tracked[i].smoothed);
      }
      json["faces"].push_back(std::move(face));
    }
    append(json);
  }

  void failed(const std::string& source, const std::string& message) override {
    append(json_document("prediction", 1, {{"file", source}, {"error", message}}));
  }

  void finish() override { std::cout << (count_ > 0 ? "\n]" : "[]") << std::endl; }

 private:
  void append(const Json& json) {
    // a file name that is not UTF-8 must not lose the results of the others
    std::cout << (count_++ > 0 ? ",\n" : "[\n") << json.dump(-1, ' ', false, Json::error_handler_t::replace)
              << std::flush;
  }

  Json expression_json(const SamplePrediction& p) const {
    Json probabilities;
    for (std::size_t c = 0; c < names_.size(); ++c) probabilities[names_[c]] = p.probabilities[c];
    return {{"expression", names_[static_cast<std::size_t>(p.predicted)]},
            {"probability", likeliest(p)},
            {"probabilities", std::move(probabilities)}};
  }

  Json face_json(const PictureReading& reading, const FaceReading& face) const {
    const Box& box = face.box;
    Json json{{"box", {{"x", box.x}, {"y", box.y}, {"width", box.width}, {"height", box.height}}}};
    if (details_.turns) json["turn"] = face.turn;
    json.update(expression_json(face.prediction));
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
  PredictionDetails details_;
  std::int64_t count_ = 0;
};

/// RFC 4180: a field with commas, quotes or line ends is quoted, and quotes within it are doubled.
std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

/// One line per face. A picture or frame without a face has a line with empty face fields, so that every
/// frame appears and a time series has no gaps.
class CsvWriter : public PredictionWriter {
 public:
  CsvWriter(std::vector<std::string> names, const PredictionDetails& details)
      : names_(std::move(names)), details_(details) {
    std::cout << "file,frame,seconds,face,x,y,width,height" << (details_.turns ? ",turn" : "")
              << ",expression,probability"
              << (details_.smoothed ? ",track,smoothed_expression,smoothed_probability" : "");
    for (const std::string& name : names_) std::cout << "," << csv_field(name);
    std::cout << std::endl;
  }

  void write(const PictureReading& reading) override {
    for (std::size_t i = 0; i < reading.faces.size(); ++i) {
      const FaceReading& face = reading.faces[i];
      write_source(reading);
      std::cout << "," << i << "," << face.box.x << "," << face.box.y << "," << face.box.width << ","
                << face.box.height;
      if (details_.turns) std::cout << "," << face.turn;
      write_expression(face.prediction);
      if (details_.smoothed && !reading.tracked.empty()) {
        std::cout << "," << reading.tracked[i].track;
        write_expression(reading.tracked[i].smoothed);
      } else if (details_.smoothed) {
        std::cout << ",,,";
      }
      for (const float p : face.prediction.probabilities) std::cout << "," << p;
      std::cout << "\n";
    }
    if (reading.faces.empty()) {
      write_source(reading);
      const std::size_t empty = 7 + (details_.turns ? 1 : 0) + (details_.smoothed ? 3 : 0) + names_.size();
      std::cout << std::string(empty, ',') << "\n";
    }
    std::cout << std::flush;
  }

  void failed(const std::string&, const std::string&) override {}

 private:
  static void write_source(const PictureReading& reading) {
    std::cout << csv_field(reading.source) << ",";
    if (reading.frame) std::cout << *reading.frame;
    std::cout << ",";
    if (reading.frame) std::cout << seconds_text(reading.seconds);
  }

  void write_expression(const SamplePrediction& p) const {
    std::cout << "," << csv_field(names_[static_cast<std::size_t>(p.predicted)]) << "," << likeliest(p);
  }

  std::vector<std::string> names_;
  PredictionDetails details_;
};

}  // namespace

std::unique_ptr<PredictionWriter> make_prediction_writer(PredictionFormat format,
                                                         std::vector<std::string> class_names,
                                                         const PredictionDetails& details) {
  if (format == PredictionFormat::json) return std::make_unique<JsonWriter>(std::move(class_names), details);
  if (format == PredictionFormat::csv) return std::make_unique<CsvWriter>(std::move(class_names), details);
  return std::make_unique<TextWriter>(std::move(class_names), details);
}

}  // namespace fer::app
