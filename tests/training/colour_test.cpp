// Colour: the input of a network that was trained on grey pictures is always converted to grey. Training
// detects whether the pictures are grey, and stores that in the weight files.
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "fer/formats/safetensors.h"
#include "fer/inference/face_reader.h"
#include "fer/models/fernet.h"
#include "fer/training/checkpoint.h"
#include "fer/training/experiment.h"
#include "tests/data/helpers.h"

using namespace fer;
using namespace fer::test;

namespace {

Image drawn(std::uint64_t person, std::uint64_t picture, int side = 112) {
  return draw_face(sample_face(1, person, picture), side).image;
}

/// Each channel times its factor.
Image scaled(const Image& image, double red, double green, double blue) {
  Image out = to_rgb(image);
  const double factors[] = {red, green, blue};
  for (std::size_t i = 0; i < out.pixels.size(); ++i)
    out.pixels[i] = static_cast<std::uint8_t>(std::lround(std::min(255.0, factors[i % 3] * out.pixels[i])));
  return out;
}

/// The mean of the picture and its grey version.
Image half_saturated(const Image& image) {
  Image out = to_rgb(image);
  const Image grey = to_rgb(to_grey(image));
  for (std::size_t i = 0; i < out.pixels.size(); ++i)
    out.pixels[i] = static_cast<std::uint8_t>((out.pixels[i] + grey.pixels[i] + 1) / 2);
  return out;
}

struct Variant {
  const char* name;
  Image (*of)(const Image&);
};
// Factors with about the same luma, so that a grey picture's copies are as bright as the picture.
const Variant variants[] = {
    {"tinted", [](const Image& image) { return scaled(image, 1.30, 0.90, 0.72); }},
    {"warmed", [](const Image& image) { return scaled(image, 1.12, 0.99, 0.74); }},
    {"cooled", [](const Image& image) { return scaled(image, 0.85, 1.01, 1.33); }},
    {"half-saturated", [](const Image& image) { return half_saturated(scaled(image, 1.30, 0.90, 0.72)); }},
};

std::vector<std::int64_t> labels_of(const Classifier& classifier, const std::vector<Image>& images) {
  std::vector<std::int64_t> labels;
  for (const SamplePrediction& p : classifier.predict(images)) labels.push_back(p.predicted);
  return labels;
}

double share_of_differences(const std::vector<std::int64_t>& a, const std::vector<std::int64_t>& b) {
  REQUIRE(a.size() == b.size());
  double count = 0;
  for (std::size_t i = 0; i < a.size(); ++i) count += a[i] != b[i];
  return count / static_cast<double>(a.size());
}

std::vector<Image> each(const std::vector<Image>& images, Image (*change)(const Image&)) {
  std::vector<Image> changed;
  for (const Image& image : images) changed.push_back(change(image));
  return changed;
}

/// A tiny network with the metadata that `fer train` writes, except those that an older program did not
/// write.
fs::path write_weights(const TempFolder& folder, const std::string& dataset, const Metadata& changes = {},
                       bool with_input = true) {
  RunConfig config;
  config.preset = "tiny";
  config.model = preset("tiny", 7);
  config.data.name = dataset;
  FERNet model(config.model.fernet());
  model.initialise(5);
  Metadata metadata = to_metadata({config, expression_names(), input_spec(config), ""});
  if (!with_input) metadata.erase(input_key);
  for (const auto& [key, value] : changes) metadata[key] = value;
  const fs::path path = folder / "weights.safetensors";
  save_weights(path, model, metadata);
  return path;
}

/// A data set of kind `folder` with `count` pictures per class, each changed by `change`.
void write_folder(const fs::path& path, Image (*change)(const Image&), const char* extension = ".png") {
  for (const char* split : {"train", "test"}) {
    for (const char* name : {"anger", "neutral"}) {
      fs::create_directories(path / split / name);
      for (std::uint64_t i = 0; i < 4; ++i)
        write_image(path / split / name / concat(i, extension), change(drawn(*name == 'a' ? 1 : 2, i, 56)));
    }
  }
}

struct Notes : TrainingObserver {
  std::string text;
  void on_note(const std::string& note) override { text += note + "\n"; }
};

RunConfig short_run(const fs::path& data) {
  RunConfig config;
  config.preset = "tiny";
  config.model = preset("tiny");
  config.data.name = "folder";
  config.data.folder = data.string();
  config.data.validation_fraction = 0;
  config.training.epochs = 1;
  config.training.batch_size = 4;
  config.training.max_steps = 1;
  config.landmarks.epochs = 1;
  config.landmarks.identities = 2;
  return config;
}

std::string stated(const fs::path& file) {
  return read_state_file(file).metadata.at(input_key);
}

}  // namespace

TEST_CASE("a grey network sees the luma of a colour picture, an rgb network its colours") {
  const TempFolder folder;
  const Image face = drawn(3, 2);
  const Classifier grey = load_classifier(write_weights(folder, "ferplus"), Device::cpu);
  CHECK(grey.expects.colour == InputColour::grey);
  CHECK(grey.predict(face).probabilities == grey.predict(to_grey(face)).probabilities);
  CHECK(grey.predict(face).probabilities == grey.predict(to_rgb(to_grey(face))).probabilities);
  const Classifier rgb = load_classifier(write_weights(folder, "rafdb"), Device::cpu);
  CHECK(rgb.expects.colour == InputColour::rgb);
  CHECK(rgb.predict(face).probabilities != rgb.predict(to_grey(face)).probabilities);
  CHECK(rgb.predict(to_grey(face)).probabilities == grey.predict(face).probabilities);
  CHECK(rgb.note.empty());

  // The same in an evaluation, whose loader makes the pictures.
  DatasetOptions options;
  options.validation_fraction = 0;
  options.name = "faces";
  options.test_identities = 1;
  options.faces_per_identity = 7;
  options.split = Split::test;
  const auto dataset = open_dataset(options);
  const EvaluationResult result = evaluate(grey, dataset);
  for (const SamplePrediction& p : result.samples) {
    const SamplePrediction alone = grey.predict(to_grey(dataset->sample(p.index).image));
    for (std::size_t c = 0; c < 7; ++c)
      CHECK(p.probabilities[c] == doctest::Approx(alone.probabilities[c]).epsilon(1e-4));
  }
}

TEST_CASE("the normalisation that a file states is the one used") {
  const TempFolder folder;
  InputSpec spec;
  spec.normalisation = {{0.5, 0.25, 0.75}, {1, 0.5, 0.125}};
  const Classifier classifier =
      load_classifier(write_weights(folder, "faces", {{input_key, to_json(spec)}}), Device::cpu);
  const auto values = classifier.input({Image(112, 112, 3, 51)}).to_vector<float>();  // 0.2
  CHECK(values[0] == doctest::Approx(-0.3));
  CHECK(values[1] == doctest::Approx(-0.1));
  CHECK(values[2] == doctest::Approx(-4.4));
  CHECK(dynamic_cast<const FERNet&>(*classifier.model).normalisation() == spec.normalisation);
}

TEST_CASE("lm_unit_input undoes the stated normalisation") {
  FERNetConfig config = preset("tiny", 7);
  config.landmark_unit_input = true;
  FERNet model(config);
  model.initialise(5);
  model.freeze_landmarks();
  model.eval();
  NoGrad no_grad;
  std::vector<Tensor> maps;
  for (const Normalisation& normalisation :
       {Normalisation{}, Normalisation{{0.5, 0.25, 0.75}, {1, 0.5, 0.125}}}) {
    Batch batch;
    batch.images = Tensor::from<std::uint8_t>({1, 112, 112, 3}, drawn(1, 1).pixels);
    batch.transforms.resize(1);
    batch.normalisation = normalisation;
    model.set_normalisation(normalisation);
    maps.push_back(model.landmark_features(Variable(network_input(batch, Device::cpu))).value());
  }
  const auto a = maps[0].to_vector<float>(), b = maps[1].to_vector<float>();
  for (std::size_t i = 0; i < a.size(); i += 97) CHECK(a[i] == doctest::Approx(b[i]).epsilon(1e-3));
}

TEST_CASE(
    "older files: the input that their data set implies, with a note if that changes the network's input") {
  const TempFolder folder;
  for (const auto& [dataset, colour, share] : {std::tuple{"ferplus", "grey", 0.83},
                                               {"fer2013", "grey", 0.83},
                                               {"rafdb", "rgb", 0.83},
                                               {"faces", "rgb", 0.64}}) {
    CAPTURE(dataset);
    const fs::path file = write_weights(folder, dataset, {}, false);
    const Classifier classifier = load_classifier(file, Device::cpu);
    CHECK(name_of(classifier.expects.colour) == colour);
    CHECK(classifier.expects.face_share == share);
    CHECK(classifier.expects.size == 112);
    CHECK(classifier.expects.normalisation == Normalisation{});
    CHECK(classifier.note ==
          (colour == std::string("grey")
               ? concat(file.string(), " does not say what input its network expects; it was trained on '",
                        dataset,
                        "', which is grey, so pictures are converted to grey ('fer convert' can write that "
                        "into it)")
               : ""));
  }
  // Older still: a configuration without the key.
  RunConfig config;
  config.model = preset("tiny", 7);
  config.data.name = "ferplus";
  auto json = nlohmann::ordered_json::parse(to_json(config));
  json["training"].erase("colour");
  const fs::path file = write_weights(folder, "faces", {{"config", json.dump()}}, false);
  CHECK(load_classifier(file, Device::cpu).expects.colour == InputColour::grey);
}

TEST_CASE("a file whose statements contradict each other, or make no sense, is refused") {
  const TempFolder folder;
  InputSpec spec;
  spec.size = 56;
  const std::string path = (folder / "weights.safetensors").string();
  const auto error = [&](const std::string& key, const std::string& value) {
    const fs::path file = write_weights(folder, "faces", {{key, value}});
    return message_of<FormatError>([&] { load_classifier(file, Device::cpu); });
  };
  CHECK(error(input_key, to_json(spec)) ==
        path + ": 'input' in its metadata specifies pictures of 56 pixels a side, but the network takes 112");
  CHECK(error(input_key, "{\"version\": 1}") == path + ": 'input' in its metadata lacks 'colour'");
  CHECK(error("classes", "[\"a\"]") == path + ": names 1 classes, the network has 7");
  CHECK(error("classes", "grey").starts_with(path + ": 'classes' in its metadata: not JSON: "));
}

TEST_CASE("training on grey pictures detects that, says so, and writes it into every file") {
  const TempFolder folder;
  // RGB files, JPEG: the pixels decide whether they are grey, not the format.
  write_folder(
      folder / "data", [](const Image& image) { return to_rgb(to_grey(image)); }, ".jpg");
  Notes notes;
  run_experiment(short_run(folder / "data"), folder / "run", false, Device::cpu, notes);
  CHECK(notes.text.find("colour: every training picture is grey, so the network takes grey pictures; colour "
                        "ones are converted\n") != std::string::npos);
  const std::string grey = R"({"version":1,"colour":"grey","size":112,"face_share":)";
  for (const char* file : {"best", "last"}) {
    CAPTURE(file);
    CHECK(stated(folder / concat("run/", file, ".safetensors")).starts_with(grey + "0.83,"));
  }
  // The landmark and the image backbone are parts of the same network, so their drawn faces are grey, too.
  for (const char* file : {"landmarks-best", "landmarks-last", "image-best", "image-last"}) {
    CAPTURE(file);
    CHECK(stated(folder / concat("run/", file, ".safetensors")).starts_with(grey + "0.64,"));
  }
  const Classifier classifier = load_classifier(folder / "run", Device::cpu);
  CHECK(classifier.config.training.colour == ColourMode::grey);

  // A resumed run continues with it, and with nothing else.
  RunConfig config = short_run(folder / "data");
  config.training.colour = ColourMode::rgb;
  const std::string rest = " pictures of 112 x 112, in which a detected face box takes 0.83 of the side";
  CHECK(message_of<ConfigError>([&] { run_experiment(config, folder / "run", true, Device::cpu, notes); }) ==
        concat((folder / "run/last.safetensors").string(), ": the run expects grey", rest,
               "; the settings now say colour", rest, "; resume with those that it was started with"));
  CHECK(classifier.predict(drawn(7, 1)).probabilities ==
        classifier.predict(to_grey(drawn(7, 1))).probabilities);
}

TEST_CASE("training on colour pictures writes rgb; a setting overrides what the pictures say") {
  const TempFolder folder;
  write_folder(folder / "data", [](const Image& image) { return image; });
  RunConfig config = short_run(folder / "data");
  const auto colour_of = [&](const char* run) {
    Notes notes;
    run_experiment(config, folder / run, false, Device::cpu, notes);
    const bool said = notes.text.find("colour: the network takes grey pictures; colour ones are converted") !=
                      std::string::npos;
    const std::string colour = nlohmann::json::parse(stated(folder / run / "best.safetensors")).at("colour");
    CHECK(said == (colour == "grey"));
    return colour;
  };
  CHECK(colour_of("auto") == "rgb");
  config.training.colour = ColourMode::grey;
  CHECK(colour_of("grey") == "grey");
  fs::remove_all(folder / "data");
  write_folder(folder / "data", [](const Image& image) { return to_grey(image); });
  config.training.colour = ColourMode::rgb;
  CHECK(colour_of("rgb") == "rgb");
  config.training.face_share = 3;
  CHECK(message_of<ConfigError>([&] { check(config); }) ==
        "'face_share' must be 0.1 to 2, or 0 for the data set's; got 3");
  config.training.face_share = 0.5;
  CHECK(input_spec(config).face_share == 0.5);
  CHECK(message_of<ConfigError>([&] { apply_setting(config, "colour", "sepia", "command line"); }) ==
        "command line: 'colour' must be one of auto, grey, rgb; got 'sepia'");
}

TEST_CASE("the weights that come with fer read a colour picture as its grey copy") {
  Classifier classifier = load_classifier(default_weights(), Device::cpu);
  CHECK(classifier.expects.colour == InputColour::grey);
  CHECK(classifier.note.empty());  // the file states it
  CHECK(SafetensorsFile(default_weights()).has_checksums());
  // At the network's own size nothing is rounded. Larger pictures are resized before the conversion to grey,
  // their grey copies after it.
  for (const int side : {112, 160}) {
    CAPTURE(side);
    std::vector<Image> faces;
    for (std::uint64_t i = 0; i < 140; ++i) faces.push_back(drawn(500 + i / 7, i % 7, side));
    double as_grey = 0, as_rgb = 0;
    for (const Variant& variant : variants) {
      const std::vector<Image> copies = each(faces, variant.of);
      classifier.expects.colour = InputColour::grey;
      const auto grey = labels_of(classifier, each(copies, to_grey));
      as_grey += share_of_differences(labels_of(classifier, copies), grey) / 4;
      classifier.expects.colour = InputColour::rgb;
      as_rgb += share_of_differences(labels_of(classifier, copies), grey) / 4;
    }
    CHECK(as_grey <= (side == 112 ? 0 : 0.01));
    CHECK(as_rgb > 0.1);  // else the copies would prove nothing
  }
}

TEST_CASE("colour copies of FER+ PublicTest") {
  const char* data = std::getenv("FER_DATA_DIR");
  if (!data || !fs::exists(fs::path(data) / "fer2013.csv")) {
    MESSAGE("skipped: FER_DATA_DIR names no folder with fer2013.csv and fer2013new.csv");
    return;
  }
  DatasetOptions options;
  options.validation_fraction = 0;
  options.name = "ferplus";
  options.folder = data;
  options.split = Split::public_test;
  const auto dataset = open_dataset(options);
  std::vector<Image> faces;
  for (std::int64_t i = 0; i < dataset->size(); ++i) faces.push_back(dataset->sample(i).image);
  Classifier classifier = load_classifier(default_weights(), Device::cpu);
  const auto labels = labels_of(classifier, faces);
  for (const Variant& variant : variants) {
    const std::vector<Image> copies = each(faces, variant.of);
    const auto found = labels_of(classifier, copies);
    const double differ = share_of_differences(found, labels_of(classifier, each(copies, to_grey)));
    classifier.expects.colour = InputColour::rgb;
    const double as_rgb = share_of_differences(labels_of(classifier, copies), labels);
    classifier.expects.colour = InputColour::grey;
    MESSAGE(std::string(variant.name), ": of ", faces.size(), " labels ", 100 * differ,
            " % differ from those of the copy's grey copy, ", 100 * share_of_differences(found, labels),
            " % from those of the picture before, ", 100 * as_rgb, " % where colours are fed as they are");
    CHECK(differ <= 0.01);
  }
}
