// Networks and data sets with different classes, or with another order of classes: evaluation, comparison,
// resuming, and starting from weights.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "fer/inference/classifier.h"
#include "fer/study/comparison.h"
#include "fer/training/experiment.h"

namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

struct Folder {
  fs::path path;
  explicit Folder(const std::string& name)
      : path(fs::temp_directory_path() / fer::concat("fer_classes_", ::getpid(), "_", name)) {
    fs::remove_all(path);
  }
  ~Folder() { fs::remove_all(path); }
};

fer::RunConfig short_run() {
  fer::RunConfig config;
  config.preset = "tiny";
  config.model = fer::preset("tiny");
  config.data.train_identities = 4;
  config.data.test_identities = 2;
  config.data.faces_per_identity = 7;
  config.data.validation_fraction = 0;
  config.training.epochs = 1;
  config.training.batch_size = 7;
  config.training.max_steps = 2;
  config.landmarks.epochs = 1;
  config.landmarks.batch_size = 14;
  config.landmarks.identities = 4;
  return config;
}

/// A run of two steps on drawn faces, made once.
const fs::path& drawn_run() {
  static const Folder folder("run");
  static const bool done = [] {
    fer::TrainingObserver silent;
    fer::run_experiment(short_run(), folder.path, false, fer::Device::cpu, silent);
    return true;
  }();
  REQUIRE(done);
  return folder.path;
}

/// The drawn faces as a data set of folders: the class names of surprise, fear, disgust, happiness, sadness,
/// anger and neutral; "": left out.
void write_folder(const fs::path& folder, const Names& names) {
  for (const fer::Split split : {fer::Split::train, fer::Split::test}) {
    const auto faces = fer::open_dataset(fer::evaluation_data(short_run().data, split));
    for (std::int64_t i = 0; i < faces->size(); ++i) {
      const fer::Sample face = faces->sample(i);
      const std::string& name = names[static_cast<std::size_t>(face.label)];
      if (name.empty()) continue;
      const fs::path place = folder / name_of(split) / name;
      fs::create_directories(place);
      fer::write_image(place / fer::concat(i, ".png"), face.image);
    }
  }
}

fer::RunConfig on_folder(const fs::path& folder) {
  fer::RunConfig config = short_run();
  config.data.name = "folder";
  config.data.folder = folder.string();
  return config;
}

std::shared_ptr<const fer::Dataset> test_part(const fs::path& folder) {
  return fer::open_dataset(fer::evaluation_data(on_folder(folder).data, fer::Split::test));
}

template <typename E, typename Body>
std::string message_of(Body&& body) {
  try {
    body();
  } catch (const E& error) {
    return error.what();
  }
  return "no such error";
}

const Names all_names{"Surprised", "3_afraid", "disgusted", "happy", "sad", "angry", "normal"};

}  // namespace

TEST_CASE("the same faces under other names and in another order give the same figures") {
  const Folder folder("renamed");
  write_folder(folder.path, all_names);
  const fer::Classifier net = fer::load_classifier(drawn_run(), fer::Device::cpu);
  const fer::EvaluationResult renamed = fer::evaluate(net, test_part(folder.path));
  const auto faces = fer::open_dataset(fer::evaluation_data(short_run().data, fer::Split::test));
  const fer::EvaluationResult drawn = fer::evaluate(net, faces);
  CHECK(renamed.confusion.class_names() ==
        Names{"3_afraid", "Surprised", "angry", "disgusted", "happy", "normal", "sad"});
  CHECK(renamed.confusion.accuracy() == drawn.confusion.accuracy());
  CHECK(renamed.cross_entropy == doctest::Approx(drawn.cross_entropy).epsilon(1e-6));
  CHECK(renamed.confusion.count(2, 5) == drawn.confusion.count(5, 6));  // anger called neutral
  CHECK(renamed.subject.left_out == 0);
  CHECK(fer::subject_text(renamed).find("classes in common") == std::string::npos);
  CHECK(drawn.subject.labels == "as drawn");
  CHECK(drawn.subject.weights == "best.safetensors");
  CHECK(drawn.subject.network_classes == net.class_names);
}

TEST_CASE("with some classes in common, only these are measured, and the text says so") {
  const Folder folder("part");
  write_folder(folder.path, {"surprise", "bored", "", "happy", "tired", "angry", ""});
  const fer::Classifier net = fer::load_classifier(drawn_run(), fer::Device::cpu);
  const auto data = test_part(folder.path);
  const fer::EvaluationResult result = fer::evaluate(net, data);
  CHECK(result.confusion.class_names() == Names{"angry", "happy", "surprise"});
  CHECK(result.confusion.total() == 6);
  CHECK(result.subject.left_out == 4);
  CHECK(
      fer::subject_text(result) ==
      "6 samples of folder (test), labels: class folders\n"
      "weights: best.safetensors, SHA-256 " +
          result.subject.sha256 +
          "\nclasses in common: angry, happy, surprise; of the data set alone: bored, tired; of the network "
          "alone: fear, disgust, sadness, neutral\n"
          "predictions are the most probable of the classes in common; 4 samples of other classes are left "
          "out\n");
  for (const fer::SamplePrediction& p : result.samples) {
    const auto whole = net.predict(data->sample(p.index).image).probabilities;
    const std::vector<float> part{whole[5], whole[3], whole[0]};  // anger, happiness, surprise of the seven
    const float sum = part[0] + part[1] + part[2];
    REQUIRE(p.probabilities.size() == 3);
    for (std::size_t c = 0; c < 3; ++c)
      CHECK(p.probabilities[c] == doctest::Approx(part[c] / sum).epsilon(1e-4));
    CHECK(data->info().class_names[static_cast<std::size_t>(data->label(p.index))] ==
          result.confusion.class_names()[static_cast<std::size_t>(p.label)]);
  }

  // When compared with an evaluation of all seven classes, both are reduced to the three.
  fer::EvaluationResult first = result, second = result;
  second.subject.weights = "other.safetensors";
  fer::restrict_to_common_classes(first, second);
  CHECK(first.confusion.total() == 6);  // nothing to do
}

TEST_CASE("fewer than two classes in common are an error that names both lists") {
  const Folder folder("strange");
  write_folder(folder.path, {"x", "y", "", "z", "", "", "neutral"});
  const fer::Classifier net = fer::load_classifier(drawn_run(), fer::Device::cpu);
  CHECK(message_of<fer::DataError>([&] { fer::evaluate(net, test_part(folder.path)); }) ==
        "the data set 'folder' has the classes neutral, x, y, z; the network, trained on 'faces', has "
        "surprise, fear, disgust, happiness, sadness, anger, neutral; an evaluation needs two classes in "
        "common");
}

TEST_CASE("two evaluations with different classes are compared over their common classes") {
  const auto evaluation = [](const Names& names, const std::vector<std::vector<float>>& probabilities,
                             const std::vector<int>& labels) {
    fer::EvaluationResult result{fer::ConfusionMatrix(names), 0, {}};
    result.subject.dataset_classes = {"glad", "sad", "calm"};
    for (std::size_t i = 0; i < labels.size(); ++i) {
      const auto& p = probabilities[i];
      const std::int64_t predicted = std::max_element(p.begin(), p.end()) - p.begin();
      result.samples.push_back({static_cast<std::int64_t>(i), labels[i], predicted, p});
      result.confusion.add(labels[i], predicted);
    }
    return result;
  };
  // Samples: 0 glad, 1 sad, 2 calm. The second network does not know calm, and has the other two in reverse
  // order.
  fer::EvaluationResult first = evaluation({"glad", "sad", "calm"},
                                           {{0.3f, 0.1f, 0.6f}, {0.2f, 0.5f, 0.3f}, {0, 0, 1}}, {0, 1, 2}),
                        second = evaluation({"sadness", "glad"}, {{0.9f, 0.1f}, {0.8f, 0.2f}}, {1, 0});
  second.subject.left_out = 1;
  fer::restrict_to_common_classes(first, second);
  for (const fer::EvaluationResult* result : {&first, &second}) {
    CHECK(result->confusion.total() == 2);
    CHECK(result->subject.left_out == 1);
    CHECK(result->samples[0].label == 0);
    CHECK(result->samples[1].label == 1);
  }
  CHECK(first.samples[0].predicted == 0);  // calm was more probable, but is not in common
  CHECK(first.samples[0].probabilities == std::vector<float>{0.3f / 0.4f, 0.1f / 0.4f});
  CHECK(first.cross_entropy == doctest::Approx(-(std::log(0.75) + std::log(5.0 / 7)) / 2));
  CHECK(second.confusion.class_names() == Names{"glad", "sadness"});
  CHECK(second.samples[0].predicted == 1);

  fer::EvaluationResult other = evaluation({"a", "glad"}, {{1, 0}}, {0});
  CHECK(
      message_of<fer::DataError>([&] { fer::restrict_to_common_classes(first, other); }) ==
      "the first evaluation has the classes glad, sad, the second a, glad; a comparison needs two in common");
}

TEST_CASE("cross-entropy against soft labels") {
  CHECK(fer::sample_loss({0, 1, 0, {0.8f, 0.2f}}) == doctest::Approx(-std::log(0.2)));
  CHECK(fer::sample_loss({0, 1, 0, {0.8f, 0.2f}, {0.25f, 0.75f}}) ==
        doctest::Approx(-0.25 * std::log(0.8) - 0.75 * std::log(0.2)));
}

TEST_CASE("tests of what soft votes taught count the majority, but not in parts of the training data") {
  using enum fer::LabelMode;
  fer::DatasetOptions options;
  options.label_mode = soft;
  CHECK(fer::evaluation_data(options, fer::Split::test).split == fer::Split::test);
  CHECK(fer::evaluation_data(options, fer::Split::test).label_mode == majority);
  CHECK(fer::evaluation_data(options, fer::Split::public_test).label_mode == majority);
  CHECK(fer::evaluation_data(options, fer::Split::validation).label_mode == soft);
  CHECK(fer::evaluation_data(options, fer::Split::train).label_mode == soft);
  options.label_mode = argmax;
  CHECK(fer::evaluation_data(options, fer::Split::test).label_mode == argmax);
}

TEST_CASE("a resumed run whose data has other classes is refused, and its folder kept as it was") {
  const Folder folder("grown"), run("resumed");
  write_folder(folder.path, {"", "", "", "happy", "sad", "angry", "neutral"});
  fer::TrainingObserver silent;
  fer::RunConfig config = on_folder(folder.path);
  config.training.epochs = 2;
  fer::run_experiment(config, run.path, false, fer::Device::cpu, silent);
  const auto before = fs::last_write_time(run.path / "config.json");
  config.training.max_steps = 3;
  const auto refused = [&](const std::string& now) {
    CHECK(message_of<fer::DataError>(
              [&] { fer::run_experiment(config, run.path, true, fer::Device::cpu, silent); }) ==
          (run.path / "last.safetensors").string() +
              ": the run learns the classes angry, happy, neutral, sad; the data set 'folder' now has " +
              now + "; resume with the data that it was started with, or start another run with --init " +
              run.path.string());
    CHECK(fs::last_write_time(run.path / "config.json") == before);
  };
  for (const char* part : {"train", "test"})
    fs::rename(folder.path / part / "sad", folder.path / part / "a_sad");
  refused("a_sad, angry, happy, neutral");  // as many classes as before, in another order
  for (const char* part : {"train", "test"})
    fs::rename(folder.path / part / "a_sad", folder.path / part / "sad");
  fs::create_directories(folder.path / "train/bored");
  fs::copy(folder.path / "train/sad", folder.path / "train/bored");
  refused("angry, bored, happy, neutral, sad");
  fs::remove_all(folder.path / "train/bored");
  CHECK(fer::run_experiment(config, run.path, true, fer::Device::cpu, silent).training.steps == 3);
}

TEST_CASE("a run from weights: the whole network, head rows by class name, nothing trained on points") {
  const Folder folder("init_data"), run("init_run");
  write_folder(folder.path, {"", "bored", "", "happy", "sad", "angry", "neutral"});
  struct Notes : fer::TrainingObserver {
    std::string text;
    void on_note(const std::string& note) override { text += note + "\n"; }
  } notes;
  fer::RunConfig config = fer::fine_tuning(drawn_run());
  CHECK(config.preset == "tiny");
  CHECK(config.model == fer::load_classifier(drawn_run(), fer::Device::cpu).config.model);
  config.data = on_folder(folder.path).data;
  config.training.batch_size = 7;
  config.training.max_steps = 1;
  config.training.lr = 1e-12;
  config.training.ema_decay = 0;
  const fer::ExperimentResult result = fer::run_experiment(config, run.path, false, fer::Device::cpu, notes);
  CHECK_FALSE(result.landmarks.has_value());
  CHECK_MESSAGE(notes.text.find("network: " + (drawn_run() / "best.safetensors").string() +
                                "\nhead: 4 of 5 classes keep their trained weights: angry (anger), happy "
                                "(happiness), neutral, sad (sadness); new: bored; dropped: surprise, fear, "
                                "disgust\n") != std::string::npos,
                notes.text);
  const fer::StateDict before = fer::load_state_dict(drawn_run() / "best.safetensors"),
                       after = fer::load_state_dict(run.path / "best.safetensors");
  const auto row = [](const fer::StateDict& weights, std::size_t r) {
    const auto values = weights.at("head.weight").to_vector<float>();
    const std::size_t width = values.size() / static_cast<std::size_t>(weights.at("head.weight").dim(0));
    return std::vector<float>(values.begin() + static_cast<std::ptrdiff_t>(r * width),
                              values.begin() + static_cast<std::ptrdiff_t>((r + 1) * width));
  };
  CHECK(row(after, 0) == row(before, 5));  // angry, anger
  CHECK(row(after, 2) == row(before, 3));  // happy
  CHECK(row(after, 3) == row(before, 6));  // neutral
  CHECK(row(after, 4) == row(before, 4));  // sad
  CHECK(row(after, 1) != row(before, 1));  // bored is no fear
  for (const auto& [name, tensor] : before) {
    if (name.starts_with("landmark_backbone."))
      CHECK_MESSAGE(after.at(name).to_vector<float>() == tensor.to_vector<float>(), name);
    if (name.ends_with("conv.weight"))
      CHECK_MESSAGE(after.at(name).to_vector<float>() == tensor.to_vector<float>(), name);
  }
  // It continues from its own checkpoint, without the file that it started from.
  config.training.init = "/nowhere/gone.safetensors";
  config.training.max_steps = 2;
  CHECK(fer::run_experiment(config, run.path, true, fer::Device::cpu, notes).training.steps == 2);
}

TEST_CASE("a run from weights: settings that contradict them are refused before the folder is created") {
  const Folder run("refused");
  fer::TrainingObserver silent;
  const auto refused = [&](const fer::RunConfig& config) {
    const std::string message = message_of<fer::ConfigError>(
        [&] { fer::run_experiment(config, run.path, false, fer::Device::cpu, silent); });
    CHECK_FALSE(fs::exists(run.path));
    return message;
  };
  fer::RunConfig config = short_run();
  config.training.init = drawn_run().string();
  config.model.fernet().landmarks.head = true;
  fer::RunConfig wider = config;
  wider.model.fernet().attention.dim = 96;
  CHECK(refused(wider) ==
        "'dim' is 96, but the network of '" + (drawn_run() / "best.safetensors").string() +
            "' that the run starts from has 48; with 'init', leave out 'preset' and the network's "
            "settings");
  fer::RunConfig twice = config;
  twice.landmarks.file = "landmarks.pth";
  CHECK(refused(twice) == "'init' sets the weights of the whole network; leave out 'landmarks'");
  twice = config;
  twice.landmarks.image_epochs = 2;
  CHECK(refused(twice) == "'init' sets the weights of the whole network; leave out 'image_epochs'");
  config.model.fernet().attention.drop_mlp = 0.4;  // holds no weights
  config.training.max_steps = 1;
  const Folder fine("fine");
  CHECK(fer::run_experiment(config, fine.path, false, fer::Device::cpu, silent).training.steps == 1);
}
