// Figure 2: landmarks, and their heat map over the face.
#include "fer/report/explain.h"
#include "report/figure_parts.h"

namespace fer {

Drawing landmark_figure(const Classifier& net, const std::vector<Sample>& faces) {
  require<ConfigError>(!faces.empty(), "a figure needs one face or more");
  std::string source;
  const std::vector<Landmarks> landmarks = detail::landmarks_of(net, faces, source);
  FERNet& fernet = detail::fernet_of(net);
  const bool product = fernet.config().attention.product;
  std::vector<Panel> panels;
  SheetOptions options;
  options.columns = static_cast<int>(faces.size());
  options.colour_scale = product;
  const auto add_row = [&](const std::string& title, auto&& picture_of) {
    options.row_titles.push_back(title);
    for (std::size_t i = 0; i < faces.size(); ++i) panels.push_back({picture_of(i), {}, false});
  };
  add_row("face", [&](std::size_t i) { return detail::canvas(faces[i].image); });
  for (std::size_t i = 0; i < faces.size(); ++i) {
    const std::string label = detail::label_of(net, faces[i]);
    if (!label.empty()) panels[i].caption = {label};
  }
  if (!landmarks.empty()) {
    add_row("landmarks", [&](std::size_t i) {
      Image picture = detail::canvas(faces[i].image);
      draw_landmarks(picture, landmarks[i], 1.1 * picture.width / detail::canvas_side);
      return picture;
    });
  }
  if (product) {
    const auto maps = landmark_heat(fernet, net.input(detail::pictures_of(faces)));
    add_row("heat map",
            [&](std::size_t i) { return overlay_heat(detail::canvas(faces[i].image), normalised(maps[i])); });
  }
  options.title = source == "network"    ? "Landmarks and heat map"
                  : source == "data set" ? "Landmarks (of the data set) and heat map"
                                         : "Heat map (the network has no landmark head)";
  if (!product) options.title = "Landmarks (the product attention is off: no heat map)";
  return contact_sheet(panels, options);
}

}  // namespace fer
