#include "report/figure_parts.h"

#include <algorithm>
#include <cmath>

namespace fer {
namespace detail {

Image canvas(const Image& picture) {
  const int least = std::min(picture.width, picture.height);
  const int longest = std::max(picture.width, picture.height);
  const double factor = std::min(1.0 * canvas_side / least, 16.0 * canvas_side / longest);
  if (factor <= 1) return to_rgb(picture);
  return to_rgb(resize(picture, static_cast<int>(std::lround(factor * picture.height)),
                       static_cast<int>(std::lround(factor * picture.width))));
}

std::vector<Image> pictures_of(const std::vector<Sample>& faces) {
  std::vector<Image> pictures;
  pictures.reserve(faces.size());
  for (const Sample& face : faces) pictures.push_back(face.image);
  return pictures;
}

FERNet& fernet_of(const Classifier& net) {
  auto* fernet = dynamic_cast<FERNet*>(net.model.get());
  require<ConfigError>(fernet != nullptr, "this figure shows features of a FERNet; '", net.file.string(),
                       "' is of another network: ", net.model->describe());
  return *fernet;
}

std::string label_of(const Classifier& net, const Sample& face) {
  if (face.label < 0 || face.label >= static_cast<std::int64_t>(net.class_names.size())) return "";
  return net.class_names[static_cast<std::size_t>(face.label)];
}

std::vector<Landmarks> landmarks_of(const Classifier& net, const std::vector<Sample>& faces,
                                    std::string& source) {
  std::vector<Landmarks> all;
  if (net.model->has_points()) {
    const Tensor found = net.model->infer(net.input(pictures_of(faces)), /*with_points=*/true).points;
    const auto values = found.to_vector<float>();
    for (std::size_t n = 0; n < faces.size(); ++n) {
      Landmarks points;
      for (std::size_t i = 0; i < points.size(); ++i) {
        points[i] = {values[n * 136 + 2 * i], values[n * 136 + 2 * i + 1]};
      }
      all.push_back(points);
    }
    source = "network";
    return all;
  }
  const bool known =
      std::all_of(faces.begin(), faces.end(), [](const Sample& s) { return s.landmarks.has_value(); });
  source = known && !faces.empty() ? "data set" : "";
  if (source.empty()) return all;
  for (const Sample& face : faces) all.push_back(*face.landmarks);
  return all;
}

}  // namespace detail

std::vector<Sample> choose_faces(const Dataset& dataset, std::size_t count) {
  std::vector<std::vector<std::int64_t>> by_class(static_cast<std::size_t>(dataset.classes()));
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    by_class[static_cast<std::size_t>(dataset.label(i))].push_back(i);
  }
  std::vector<std::int64_t> numbers;
  for (std::size_t round = 0; numbers.size() < count; ++round) {
    const std::size_t before = numbers.size();
    for (std::size_t c = 0; c < by_class.size(); ++c) {
      const auto& members = by_class[c];
      if (round >= members.size() || numbers.size() == count) continue;
      // Neighbours in a data set often show the same person, so each class starts at another place in its
      // list.
      numbers.push_back(members[(round + c * members.size() / by_class.size()) % members.size()]);
    }
    if (numbers.size() == before) break;  // there are fewer samples than asked for
  }
  return choose_faces(dataset, numbers);
}

std::vector<Sample> choose_faces(const Dataset& dataset, const std::vector<std::int64_t>& numbers) {
  std::vector<Sample> faces;
  for (const std::int64_t i : numbers) {
    require<ConfigError>(i >= 0 && i < dataset.size(), "there is no sample ", i, " in ", dataset.info().name,
                         " (", name_of(dataset.info().split), "), which has ", dataset.size());
    faces.push_back(dataset.sample(i));
  }
  return faces;
}

std::vector<Sample> read_faces(const std::vector<std::filesystem::path>& files) {
  std::vector<Sample> faces;
  for (const std::filesystem::path& file : files) {
    Sample face;
    face.image = read_image(file);
    face.name = file.filename().string();
    faces.push_back(std::move(face));
  }
  return faces;
}

}  // namespace fer
