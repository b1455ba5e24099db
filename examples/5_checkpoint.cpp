// 5. A small version of the paper's network: save a checkpoint, load it, and predict a face.
//
// In a few steps, the network learns the seven faces of one drawn person by heart. Its weights are written
// with everything that is needed to use them, and read back as `fer predict` would.
#include <algorithm>
#include <cmath>
#include <exception>
#include <filesystem>
#include <iostream>
#include <numeric>

#include "fer/fer.h"

int main() try {
  // The configuration that fer train writes into config.json, here with the preset for tests.
  fer::RunConfig config;
  config.preset = "tiny";
  config.model = fer::preset("tiny");
  fer::manual_seed(1);
  fer::FERNet net(config.model.fernet());
  net.freeze_landmarks();  // as in training; here its backbone is not trained at all

  // Seven consecutive pictures of a person show the seven expressions.
  fer::LoaderOptions options{.batch_size = 7};
  options.follow(fer::input_spec(config));  // size, colour and normalisation, written beside the weights
  fer::DataLoader loader(
      fer::open_dataset(
          {.name = "faces", .validation_fraction = 0, .train_identities = 1, .faces_per_identity = 7}),
      options);
  const auto info = loader.dataset().info();

  const fer::FERLoss loss_of({.neutral = info.neutral});
  fer::Adam adam(net.parameters(), {.lr = 3e-4});
  const fer::Batch batch = *loader.epoch(0).begin();
  for (int step = 0; step < 12; ++step) {
    const fer::NetworkOutput out = net(batch.x);
    const fer::FERLossParts loss = loss_of(out.scores, out.token, batch.labels);
    adam.zero_grad();
    loss.total.backward();
    adam.step();
    std::cout << "step " << step << "  loss " << loss.total.item() << std::endl;
  }

  // Weights alone do not describe their network, nor the input that it expects; the metadata does.
  const auto file = std::filesystem::temp_directory_path() / "fer_example_5.safetensors";
  fer::save_weights(file, net, fer::to_metadata({config, info.class_names, fer::input_spec(config), ""}));
  const fer::Classifier classifier = fer::load_classifier(file, fer::Device::cpu);
  std::filesystem::remove(file);

  // The loaded network gives the same scores as the saved one, bit for bit.
  const fer::NoGrad no_grad;
  net.eval();
  const auto scores = [&](fer::Network& of) { return of(batch.x).scores.value().to_vector<float>(); };
  if (scores(net) != scores(*classifier.model)) {
    std::cerr << "the loaded network differs from the saved one\n";
    return 1;
  }

  const fer::Sample happy = loader.dataset().sample(3);
  const fer::SamplePrediction p = classifier.predict(happy.image);
  std::cout << happy.name << " shows " << info.class_names[static_cast<std::size_t>(happy.label)]
            << ", predicted " << classifier.class_names[static_cast<std::size_t>(p.predicted)] << "\n";
  for (std::size_t c = 0; c < p.probabilities.size(); ++c) {
    std::cout << "  " << classifier.class_names[c] << "  " << p.probabilities[c] << "\n";
  }
  const float total = std::accumulate(p.probabilities.begin(), p.probabilities.end(), 0.0f);
  return std::abs(total - 1) < 1e-4f ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
