// fer convert on files as people publish them: its notes on prefixes, on names that no network has, and on
// other weights in the file.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "app/program.h"
#include "fer/formats/pytorch.h"

namespace {

using namespace app_test;

std::string weights(const Folder& folder, const std::vector<std::string>& names) {
  fer::StateDict state;
  for (const std::string& name : names) state.insert(name, fer::Tensor::zeros({2}));
  fer::write_pytorch(folder / "in.pth", state);
  return folder / "in.pth";
}

TEST_CASE("convert: removes prefixes if that gives the names of a known network, and says so") {
  const Folder folder("prefixes");
  const std::string in = weights(folder, {"module.conv1.conv.weight", "conv1.bn.weight"});
  const Result half = run({"convert", in, folder / "out.safetensors"});
  CHECK(half.code == 0);
  CHECK(half.err.empty());
  CHECK(half.out == in +
                        ": PyTorch (zip), 2 tensors\n"
                        "  2 names of: landmark backbone (MobileFaceNet)\n"
                        "  removed: 'module.' from 1 name\n"
                        "wrote " +
                        (folder / "out.safetensors") + "\n");
  CHECK(fer::load_state_dict(folder / "out.safetensors").contains("conv1.conv.weight"));
  weights(folder, {"model.net.conv1.conv.weight", "model.net.extra"});
  const Result all = run({"convert", in, "--list"});
  CHECK(all.out == in + ": PyTorch (zip), 2 tensors\n"
                        "  1 name of: landmark backbone (MobileFaceNet)\n"
                        "  removed: 'model.net.' from 2 names\n"
                        "conv1.conv.weight  float32 (2)\n"
                        "extra  float32 (2)\n");
  weights(folder, {"conv1.conv.weight", "module.conv1.conv.weight"});
  const Result collision = run({"convert", in, "--list"});
  CHECK(collision.code == 1);
  CHECK(collision.err == "fer: " + in +
                             ": 'module.conv1.conv.weight' and 'conv1.conv.weight' both become "
                             "'conv1.conv.weight' without their prefixes\n");
}

TEST_CASE("convert: lists unknown names on stderr, at most ten and a count") {
  const Folder folder("unknown");
  std::vector<std::string> names;
  for (int i = 0; i < 12; ++i) names.push_back("student.x" + std::to_string(i));
  const std::string in = weights(folder, names);
  const Result result = run({"convert", in, folder / "out.pth", "--strip", "student"});
  CHECK(result.code == 0);
  CHECK(result.out == in +
                          ": PyTorch (zip), 12 tensors\n"
                          "  removed: 'student.' from 12 names\n"
                          "wrote " +
                          (folder / "out.pth") + "\n");
  CHECK(result.err ==
        "note: " + in +
            ": 12 of 12 names belong to no network that fer knows: x0, x1, x2, x3, x4, x5, x6, x7, x8, x9 "
            "and 2 more; --names, --strip and --key may help\n");
  const auto json = nlohmann::json::parse(run({"convert", in, folder / "out.pth", "--json"}).out);
  CHECK(json["unknown"].size() == 12);
  CHECK(json["tensors"] == 12);
  CHECK(json["networks"].empty());
}

TEST_CASE("convert: the published forms of one network become the same file") {
  const Folder folder("forms");
  const std::vector<std::string> names{"input_layer.0.weight", "body.0.res_layer.1.weight"};
  std::string plain;
  for (const std::string prefix : {"", "module.", "model.", "_orig_mod.", "module.model.net."}) {
    std::vector<std::string> prefixed;
    for (const std::string& name : names) prefixed.push_back(prefix + name);
    CAPTURE(prefix);
    const Result result = run({"convert", weights(folder, prefixed), folder / "out.safetensors"});
    CHECK(result.code == 0);
    CHECK(result.err.empty());
    const std::string bytes = read_all(folder / "out.safetensors");
    if (plain.empty()) plain = bytes;
    CHECK(bytes == plain);
  }
}

}  // namespace
