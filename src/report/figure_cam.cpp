// Figure 6: which pixels contributed to a class, at layers before and after the attention.
#include <algorithm>

#include "fer/nearest.h"
#include "fer/report/explain.h"
#include "report/figure_parts.h"

namespace fer {
namespace {

/// For each face, the class whose score is explained.
std::vector<std::int64_t> targets(const Classifier& net, const std::vector<Sample>& faces,
                                  const std::vector<SamplePrediction>& predictions,
                                  const std::string& target) {
  std::vector<std::int64_t> classes;
  for (std::size_t i = 0; i < faces.size(); ++i) {
    if (target == "predicted") {
      classes.push_back(predictions[i].predicted);
    } else if (target == "true") {
      require<ConfigError>(faces[i].label >= 0, "'", faces[i].name,
                           "' has no label; ask for the class 'predicted' or for a named one");
      classes.push_back(faces[i].label);
    } else {
      const auto found = std::find(net.class_names.begin(), net.class_names.end(), target);
      std::vector<std::string> known{"predicted", "true"};
      known.insert(known.end(), net.class_names.begin(), net.class_names.end());
      require<ConfigError>(found != net.class_names.end(), unknown_name("class", target, known));
      classes.push_back(found - net.class_names.begin());
    }
  }
  return classes;
}

/// The layers asked for, or the last two before the network becomes a vector.
std::vector<std::string> layers_of(const Classifier& net, const CamOptions& options) {
  if (!options.layers.empty()) return options.layers;
  const std::vector<std::string> all = net.model->layers();
  require<ConfigError>(!all.empty(), "Grad-CAM needs a network with maps; ", net.model->describe(),
                       " has none");
  return {all.end() - static_cast<std::ptrdiff_t>(std::min<std::size_t>(2, all.size())), all.end()};
}

/// The display name of a layer.
std::string layer_title(const std::string& layer) {
  if (layer == "f_img") return "before";
  if (layer == "f_fusion") return "after";
  return layer;
}

}  // namespace

Drawing cam_figure(const Classifier& net, const std::vector<Sample>& faces, const CamOptions& options) {
  require<ConfigError>(!faces.empty(), "a figure needs one face or more");
  std::vector<Panel> panels;
  SheetOptions sheet;
  sheet.columns = static_cast<int>(faces.size());
  sheet.colour_scale = true;
  sheet.title = "Grad-CAM before and after the attention";
  sheet.row_titles.push_back("face");
  for (const Sample& face : faces) {
    const std::string label = detail::label_of(net, face);
    panels.push_back({detail::canvas(face.image), {}, false});
    if (!label.empty()) panels.back().caption = {"true: " + label};
  }
  const auto add_rows = [&](const Classifier& network, const std::vector<std::string>& layers,
                            const std::string& name) {
    const std::vector<Image> pictures = detail::pictures_of(faces);
    const auto predictions = network.predict(pictures);
    const auto classes = targets(network, faces, predictions, options.target);
    for (const std::string& layer : layers) {
      const auto maps = grad_cam(*network.model, network.input(pictures), layer, classes);
      sheet.row_titles.push_back(name.empty() ? layer_title(layer) : name + ", " + layer_title(layer));
      for (std::size_t i = 0; i < faces.size(); ++i) {
        const auto c = static_cast<std::size_t>(classes[i]);
        panels.push_back(
            {overlay_heat(detail::canvas(faces[i].image), normalised(maps[i])),
             {network.class_names[c] + " " + detail::percent(predictions[i].probabilities[c], 0)},
             false});
      }
    }
  };
  add_rows(net, layers_of(net, options), options.other ? options.name : "");
  if (options.other)
    add_rows(*options.other, {layers_of(*options.other, options).back()}, options.other_name);
  return contact_sheet(panels, sheet);
}

}  // namespace fer
