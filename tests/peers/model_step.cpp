// One step of a network for the checks against PyTorch: scores and gradients, in evaluation and in training.
//
//   model_step MODEL WEIGHTS INPUT OUTPUT [KEY=VALUE...]     a name in the registry, and its settings
//
// INPUT holds `image`, N x 3 x S x S, and `cotangent`, N x K, the gradient of the scores. OUTPUT receives
// scores, token and gradients in float64, as eval.scores, train.grad.head.linear.weight, ...
#include <iostream>
#include <sstream>

#include "fer/autograd/ops.h"
#include "fer/formats/matching.h"
#include "fer/models/known_networks.h"
#include "fer/models/registry.h"

namespace {

using namespace fer;

void parse(const std::string& text, std::int64_t& field) {
  field = std::stoll(text);
}
void parse(const std::string& text, double& field) {
  field = std::stod(text);
}
void parse(const std::string& text, bool& field) {
  field = text == "true";
}
void parse(const std::string& text, Heatmap&) {
  throw ConfigError("no setting for a heat map: " + text);
}
void parse(const std::string& text, std::vector<std::int64_t>& field) {
  field.clear();
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, ',');) field.push_back(std::stoll(part));
}

ModelConfig config_of(const std::string& name, int count, char** settings) {
  ModelConfig config = model_config(name);
  for (int i = 0; i < count; ++i) {
    const std::string setting = settings[i];
    const std::size_t equals = setting.find('=');
    bool known = false;
    visit_fields(config, [&](const char* key, auto& field, const char*) {
      if (setting.substr(0, equals) != key) return;
      parse(setting.substr(equals + 1), field);
      known = true;
    });
    require<ConfigError>(known, "no setting '", setting, "'");
  }
  return config;
}

void run(int count, char** arguments) {
  require<ConfigError>(count >= 5, "use: model_step MODEL WEIGHTS INPUT OUTPUT [KEY=VALUE...]");
  const std::unique_ptr<Network> network = make_network(config_of(arguments[1], count - 5, arguments + 5));
  Network& model = *network;
  const StateFile file = read_known_state(arguments[2]);
  const MatchReport report =
      match(shapes_of(model.state_dict()), shapes_of(file.tensors), model.public_names());
  std::cout << report.text();
  model.load_state_dict(matched_tensors(report, file.tensors));
  model.to(DType::float64);
  model.freeze_landmarks();
  const StateDict input = load_state_dict(arguments[3]);
  const Variable image(input.at("image").to(DType::float64));
  StateDict output;
  for (const bool training : {false, true}) {
    const std::string mode = training ? "train." : "eval.";
    model.train(training);
    model.zero_grad();
    const NetworkOutput out = model(image);
    out.scores.backward(input.at("cotangent").to(DType::float64));
    output.insert(mode + "scores", out.scores.value());
    output.insert(mode + "token", out.token.value());
    for (const NamedVariable& p : model.named_parameters()) {
      if (p.variable.grad().defined()) output.insert(mode + "grad." + p.name, p.variable.grad().clone());
    }
  }
  save_state_dict(arguments[4], output);
}

}  // namespace

int main(int count, char** arguments) {
  try {
    run(count, arguments);
    return 0;
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
