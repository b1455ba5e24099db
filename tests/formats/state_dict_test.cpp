// State dictionaries of any format: layouts, halves, nested dictionaries, prefixes, and what is said of the
// rest.
#include "fer/formats/state_dict.h"

#include "fer/formats/half.h"
#include "fer/formats/safetensors.h"
#include "tests/formats/format_test.h"

namespace fer::test {
namespace {

StateDict one_of(const std::string& name, const Tensor& tensor) {
  StateDict state;
  state.insert(name, tensor);
  return state;
}

std::filesystem::path checkpoint(const TemporaryFolder& folder, const std::string& value,
                                 const Records& storages = {{"0", elements({1.f, 2.f})}}) {
  return folder.file("x.pth", zip_checkpoint(value, storages));
}

TEST_CASE("state: names are unique and in the order of insertion") {
  StateDict state;
  state.insert("b", Tensor::zeros({1}));
  state.insert("a", Tensor::zeros({2}));
  CHECK(state.begin()->first == "b");
  CHECK(state.at("a").numel() == 2);
  CHECK(state.find("c") == nullptr);
  CHECK_MESSAGE_OF(state.insert("a", Tensor::zeros({1})), ConfigError, "[state] 'a' is there already");
  CHECK_MESSAGE_OF(state.insert("d", Tensor()), ConfigError, "[state] 'd' is an undefined tensor");
  CHECK_MESSAGE_OF(state.at("c"), ConfigError, "[state] there is no tensor 'c'");
}

TEST_CASE("state: convolution weights are O x I x kh x kw in files and O x kh x kw x I in memory") {
  const TemporaryFolder folder;
  // 1 x 2 x 1 x 3 in memory: kh 2, kw 1, I 3. In a file: 1 x 3 x 2 x 1.
  const Tensor weight = Tensor::from<float>({1, 2, 1, 3}, {1, 2, 3, 4, 5, 6});
  for (const char* name : {"a.safetensors", "a.pth", "a.pt", "a.tar"}) {
    save_state_dict(folder / name, one_of("w", weight));
    CHECK(identical(load_state_dict(folder / name).at("w"), weight));
    LoadOptions as_it_is;
    as_it_is.from_pytorch_layout = false;
    const Tensor stored = load_state_dict(folder / name, as_it_is).at("w");
    CHECK(identical(stored, Tensor::from<float>({1, 3, 2, 1}, {1, 4, 2, 5, 3, 6})));
  }
  CHECK_MESSAGE_OF(save_state_dict(folder / "a.bin", one_of("w", weight)), ConfigError,
                   concat("cannot tell the format of '", (folder / "a.bin").string(),
                          "' by its name: end it in .safetensors, .pth, .pt or .tar"));
  write_safetensors(folder / "b.safetensors", one_of("w", weight), {{"layout", "NHWC"}});
  CHECK_MESSAGE_OF(
      load_state_dict(folder / "b.safetensors"), FormatError,
      concat((folder / "b.safetensors").string(), ": its layout is 'NHWC', only 'O x I x kh x kw' is read"));
}

TEST_CASE("state: halves are widened unless asked not to") {
  const TemporaryFolder folder;
  const Tensor floats = Tensor::from<float>({2}, {0.5f, -3});
  write_pytorch(folder / "a.pth", one_of("w", convert_floating(floats, DType::bfloat16)));
  CHECK(identical(load_state_dict(folder / "a.pth").at("w"), floats));
  LoadOptions kept;
  kept.widen_halves = false;
  CHECK(load_state_dict(folder / "a.pth", kept).at("w").dtype() == DType::bfloat16);
}

TEST_CASE("state: the format is told by content") {
  const TemporaryFolder folder;
  save_state_dict(folder / "a.safetensors", one_of("w", Tensor::zeros({1})));
  std::filesystem::rename(folder / "a.safetensors", folder / "a.pth");
  CHECK(detect_format(folder / "a.pth") == FileFormat::safetensors);
  CHECK_MESSAGE_OF(detect_format(folder.file("b", "hello")), FormatError,
                   concat((folder / "b").string(), ": is neither safetensors nor a PyTorch checkpoint"));
  CHECK_MESSAGE_OF(detect_format(folder / "none"), IoError,
                   concat("cannot read '", (folder / "none").string(), "': No such file or directory"));
  CHECK_MESSAGE_OF(detect_format(folder.path()), IoError,
                   concat("cannot read '", folder.path().string(), "': Is a directory"));
}

TEST_CASE("state: tensors are found where training programs keep them") {
  const TemporaryFolder folder;
  const std::string w = py_dict({{"w", py_floats("0", 2)}});
  CHECK(read_state_file(checkpoint(folder, w)).found_under.empty());
  for (const std::string key : {"state_dict", "model_state_dict", "model"}) {
    const StateFile file = read_state_file(
        checkpoint(folder, py_dict({{"epoch", py_int(3)}, {key, w}, {"arch", py_text("ir50")}})));
    CHECK(file.found_under == key);
    CHECK(file.tensors.at("w").numel() == 2);
    CHECK(file.metadata == Metadata{{"epoch", "3"}, {"arch", "ir50"}});
  }
  LoadOptions deep;
  deep.key = "ema.net";
  const std::string nested = py_dict({{"ema", py_dict({{"net", w}})}});
  CHECK(read_state_file(checkpoint(folder, nested), deep).found_under == "ema.net");
  const std::string path = (folder / "x.pth").string();
  CHECK_MESSAGE_OF(read_state_file(checkpoint(folder, nested)), FormatError,
                   path +
                       ": holds no tensors at its top or under state_dict, model_state_dict or model; its "
                       "keys are ema (a dict of 1)");
  deep.key = "ema.nets";
  CHECK_MESSAGE_OF(read_state_file(path, deep), FormatError,
                   path + ": has no 'nets' of 'ema.nets'; the keys are net (a dict of 1)");
  deep.key = "ema";
  CHECK_MESSAGE_OF(read_state_file(path, deep), FormatError,
                   path + ": 'ema' is a dict of 1 and holds no tensors");
  CHECK_MESSAGE_OF(read_state_file(checkpoint(folder, "]")), FormatError,
                   path + ": holds a list of 0, not a dictionary of tensors");
}

TEST_CASE("state: prefixes that wrappers put before every name are taken off, others are not") {
  const TemporaryFolder folder;
  const auto names = [&](const std::string& a, const std::string& b) {
    return read_state_file(checkpoint(folder, py_dict({{a, py_floats("0", 2)}, {b, py_floats("0", 2)}})));
  };
  const StateFile wrapped = names("module.a", "module.b");
  CHECK(wrapped.stripped_prefix == "module.");
  CHECK(wrapped.tensors.contains("a"));
  CHECK(names("module._orig_mod.a", "module._orig_mod.b").tensors.contains("b"));
  const StateFile plain = names("module.a", "b");
  CHECK(plain.stripped_prefix.empty());
  CHECK(plain.tensors.contains("module.a"));
}

TEST_CASE("state: entries that are no tensors are listed") {
  const TemporaryFolder folder;
  const StateFile file =
      read_state_file(checkpoint(folder, py_dict({{"w", py_floats("0", 2)}, {"n", py_int(1)}})));
  CHECK(file.skipped == std::vector<std::string>{"n (an int)"});
  CHECK(file.tensors.size() == 1);
}

}  // namespace
}  // namespace fer::test
