// The input specification in weight files: fer train writes it, fer info prints it, fer convert changes it,
// and fer predict follows it.
#include <doctest/doctest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "app/program.h"
#include "fer/inference/face_reader.h"
#include "fer/models/fernet.h"
#include "fer/training/checkpoint.h"

using app_test::Folder;
using app_test::Result;
using app_test::run;
using nlohmann::json;

namespace {

/// Weights without an input specification, as earlier programs wrote them.
std::string old_weights(const Folder& folder, const std::string& dataset) {
  fer::RunConfig config;
  config.preset = "tiny";
  config.model = fer::preset("tiny", 7);
  config.data.name = dataset;
  fer::FERNet model(config.model.fernet());
  model.initialise(1);
  fer::Metadata metadata = fer::to_metadata({config, fer::expression_names(), {}, ""});
  metadata.erase(fer::input_key);
  const std::string path = folder / (dataset + ".safetensors");
  fer::save_weights(path, model, metadata);
  return path;
}

/// The tensors of a safetensors file, in the file's layout.
std::string tensor_bytes(const std::string& path) {
  const std::string file = app_test::read_all(path);
  std::uint64_t header = 0;
  std::memcpy(&header, file.data(), sizeof(header));
  return file.substr(8 + header);
}

json probabilities(const std::string& weights, const std::string& picture, std::string& said) {
  const Result result = run({"predict", "--weights", weights, "--crop", "none", "--json", picture});
  REQUIRE_MESSAGE(result.code == 0, result.err);
  said = result.err;
  return json::parse(result.out).at(0).at("faces").at(0).at("probabilities");
}

std::string note_of(const std::string& weights, const std::string& dataset) {
  return weights + " does not say what input its network expects; it was trained on '" + dataset +
         "', which is grey, so pictures are converted to grey ('fer convert' can write that into it)\n";
}

}  // namespace

TEST_CASE("older weights of a grey data set: noted once, followed, and stored by convert") {
  const Folder folder("old_grey");
  const std::string old = old_weights(folder, "ferplus"), fresh = folder / "new.safetensors";
  const fer::Image face = fer::draw_face(fer::sample_face(1, 3, 2), 112).image;
  fer::write_image(folder / "colour.png", face);
  fer::write_image(folder / "grey.png", fer::to_grey(face));
  std::string said;
  const json colour = probabilities(old, folder / "colour.png", said);
  CHECK(said == note_of(old, "ferplus"));
  CHECK(colour == probabilities(old, folder / "grey.png", said));

  const Result converted = run({"convert", old, fresh});
  CHECK(converted.code == 0);
  CHECK(converted.out.ends_with(
      "network tiny for 7 classes (surprise, fear, disgust, happiness, sadness, anger, neutral), trained on "
      "'ferplus'\nexpects grey pictures of 112 x 112, in which a detected face box takes 0.83 of "
      "the side\n" +
      note_of(old, "ferplus") + "wrote " + fresh + "\n"));
  CHECK(tensor_bytes(fresh) == tensor_bytes(old));
  CHECK(fer::read_state_file(fresh).metadata.at("input") ==
        R"({"version":1,"colour":"grey","size":112,"face_share":0.83,"mean":[0.485,0.456,0.406],)"
        R"("std":[0.229,0.224,0.225]})");
  CHECK(probabilities(fresh, folder / "colour.png", said) == colour);
  CHECK(said.empty());
}

TEST_CASE("every command that uses weights says how their names were changed") {
  const Folder folder("names");
  const std::string plain = old_weights(folder, "faces"), wrapped = folder / "wrapped.pth";
  const fer::StateFile file = fer::read_state_file(plain);
  fer::StateDict tensors;
  for (const auto& [name, tensor] : file.tensors)
    tensors.insert((tensors.size() < 3 ? "module." : "") + name, tensor);
  fer::StateDict more = tensors, twice = tensors;
  for (int i = 0; i < 12; ++i) more.insert("extra." + std::to_string(i), fer::Tensor::zeros({1}));
  fer::save_state_dict(wrapped, more, file.metadata);
  fer::write_image(folder / "face.png", fer::draw_face(fer::sample_face(1, 3, 2), 112).image);
  const std::string said =
      wrapped + ": removed: 'module.' from 3 names\n" + wrapped +
      ": left aside, not known to this model: extra.0, extra.1, extra.2, extra.3, extra.4, extra.5, extra.6, "
      "extra.7, extra.8, extra.9 and 2 more\n";
  std::string now;
  const json expected = probabilities(plain, folder / "face.png", now);
  CHECK(now.empty());
  CHECK(probabilities(wrapped, folder / "face.png", now) == expected);
  CHECK(now == said);
  const std::vector<std::string> few{"--test-identities", "1", "--faces-per-identity", "7"};
  std::vector<std::string> eval{"eval", "--weights", wrapped};
  eval.insert(eval.end(), few.begin(), few.end());
  CHECK(run(eval).err == said);

  const auto first = *tensors.begin();
  twice.insert(first.first.substr(std::string("module.").size()), first.second);
  fer::save_state_dict(wrapped, twice, file.metadata);
  const Result both = run(eval);
  CHECK(both.code == 1);
  const std::string name = first.first.substr(7);
  CHECK(both.err ==
        "fer: " + wrapped + ": '" + name + "' and 'module." + name + "' both mean '" + name + "'\n");
}

TEST_CASE(
    "convert --colour says what a file does not know of itself, also in place and into PyTorch's format") {
  const Folder folder("colour");
  const std::string weights = old_weights(folder, "folder"), bytes = tensor_bytes(weights);
  const auto info = [&](const std::string& file) {
    return json::parse(run({"info", "--weights", file, "--json"}).out);
  };
  CHECK(info(weights).at("input").at("colour") == "rgb");
  CHECK(run({"convert", weights, weights, "--colour", "grey", "--face-share", "0.5"}).code == 0);
  CHECK(info(weights).at("input").at("face_share") == 0.5);
  CHECK(info(weights).at("input").at("colour") == "grey");
  CHECK(info(weights).at("classes").at(3) == "happiness");
  CHECK(tensor_bytes(weights) == bytes);
  CHECK(run({"convert", weights, folder / "w.pth"}).code == 0);
  CHECK(info(folder / "w.pth").at("input").at("colour") == "grey");
  CHECK(run({"convert", folder / "w.pth", folder / "back.safetensors", "--colour", "rgb"}).code == 0);
  CHECK(info(folder / "back.safetensors").at("input").at("colour") == "rgb");
  CHECK(run({"info", "--weights", weights})
            .out.starts_with(
                weights + ": network tiny for 7 classes (surprise, fear, disgust, happiness, sadness, anger, "
                          "neutral), trained on 'folder'\nexpects grey pictures of 112 x 112, in which a "
                          "detected face box takes 0.5 of the side\n\nmodel tiny, one image of 112 x 112\n"));

  fer::StateDict tensors;
  tensors.insert("w", fer::Tensor::zeros({2}));
  fer::save_state_dict(folder / "bare.safetensors", tensors);
  const Result bare =
      run({"convert", folder / "bare.safetensors", folder / "out.safetensors", "--colour", "grey"});
  CHECK(bare.code == 2);
  CHECK(bare.err ==
        "fer: convert: --colour and --face-share apply to a network, but '" + (folder / "bare.safetensors") +
            "' does not say to which one its tensors belong; weights written by 'fer train' do\n");
  CHECK_FALSE(app_test::fs::exists(folder / "out.safetensors"));
  CHECK(run({"convert", weights, folder / "out.safetensors", "--colour", "sepia"}).code == 2);
}

TEST_CASE("weights with a nonsensical input are refused by every command, by file and key") {
  const Folder folder("nonsense");
  const std::string weights = old_weights(folder, "faces");
  fer::StateFile file = fer::read_state_file(weights);
  file.metadata["input"] = R"({"version":1,"colour":"sepia"})";
  fer::save_state_dict(weights, file.tensors, file.metadata);
  for (std::vector<std::string> command : {std::vector<std::string>{"predict", "--weights", weights, "x.png"},
                                           {"eval", "--weights", weights},
                                           {"figure", "cam", "--weights", weights, "--out", folder / "f.svg"},
                                           {"info", "--weights", weights},
                                           {"convert", weights, folder / "x.onnx"},
                                           {"convert", weights, folder / "x.safetensors"}}) {
    const Result result = run(command);
    CAPTURE(command[0]);
    CHECK(result.code == 1);
    CHECK(result.err == "fer: " + weights + ": 'input' in its metadata lacks 'size'\n");
  }
}
