// State dictionaries of any format: layouts, halves, nested dictionaries, prefixes, and notes on other
// contents.
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
  CHECK_MESSAGE_OF(state.insert("a", Tensor::zeros({1})), ConfigError, "[state] 'a' exists already");
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

TEST_CASE("state: the format is recognised by content") {
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
  // Under unusual keys, deeply nested, in a pair, and beside an optimizer's state.
  const std::string nested = py_dict({{"ema", py_dict({{"net", w}})}});
  CHECK(read_state_file(checkpoint(folder, nested)).found_under == "ema.net");
  CHECK(read_state_file(checkpoint(folder, py_tuple({w, py_dict({{"lr", py_int(1)}})}))).found_under == "0");
  CHECK(read_state_file(checkpoint(folder, py_dict({{"optimizer", w}, {"generator", w}}))).found_under ==
        "generator");
  LoadOptions deep;
  deep.key = "ema.net";
  CHECK(read_state_file(checkpoint(folder, nested), deep).found_under == "ema.net");
  const std::string path = (folder / "x.pth").string();
  CHECK_MESSAGE_OF(read_state_file(checkpoint(folder, py_dict({{"lr", py_int(1)}}))), FormatError,
                   path + ": holds no weights; its keys are lr (an int)");
  CHECK_MESSAGE_OF(
      read_state_file(checkpoint(folder, py_dict({{"a", w}, {"b", w}}))), FormatError,
      path + ": holds several sets of weights: 'a' (1 tensor), 'b' (1 tensor); choose one with --key");
  checkpoint(folder, nested);
  deep.key = "ema.nets";
  CHECK_MESSAGE_OF(read_state_file(path, deep), FormatError,
                   path + ": has no 'nets' of 'ema.nets'; the keys are net (a dict of 1)");
  deep.key = "ema";
  CHECK_MESSAGE_OF(read_state_file(path, deep), FormatError,
                   path + ": 'ema' is a dict of 1 and holds no tensors");
  CHECK_MESSAGE_OF(read_state_file(checkpoint(folder, "]")), FormatError,
                   path + ": holds a list of 0, not a dictionary of tensors");
}

TEST_CASE("state: other weights of the same network are mentioned, an optimizer's tensors are not") {
  const TemporaryFolder folder;
  const std::string w = py_dict({{"w", py_floats("0", 2)}}), m = py_dict({{"module.w", py_floats("0", 2)}});
  const StateFile file =
      read_state_file(checkpoint(folder, py_dict({{"state_dict", w},
                                                  {"ema_state_dict", m},
                                                  {"best", py_dict({{"model", w}})},
                                                  {"optimizer", py_dict({{"w", py_floats("0", 2)}})},
                                                  {"other", py_dict({{"x", py_floats("0", 2)}})}})));
  CHECK(file.others == std::vector<std::string>{"ema_state_dict", "best.model"});
  CHECK(notes(file) ==
        std::vector<std::string>{"it also holds other weights of this network; to choose them: "
                                 "--key ema_state_dict, --key best.model"});
}

TEST_CASE("state: prefixes of wrappers are taken off, those that a network may have are not") {
  const TemporaryFolder folder;
  LoadOptions options;
  const auto names = [&](const std::string& a, const std::string& b) {
    return read_state_file(checkpoint(folder, py_dict({{a, py_floats("0", 2)}, {b, py_floats("0", 2)}})),
                           options);
  };
  const StateFile wrapped = names("module.a", "module.b");
  CHECK(wrapped.taken_off == std::vector<TakenOff>{{"module.", 2}});
  CHECK(wrapped.tensors.contains("a"));
  CHECK(names("module._orig_mod.a", "module._orig_mod.b").tensors.contains("b"));
  CHECK(names("a._orig_mod.b", "c").tensors.contains("a.b"));
  CHECK(names("_fsdp_wrapped_module.a._checkpoint_wrapped_module.b", "c").tensors.contains("a.b"));
  CHECK(names("_orig_mod", "c").tensors.contains("_orig_mod"));  // a name of its own
  const StateFile plain = names("module.a", "b");
  CHECK(plain.taken_off.empty());
  CHECK(plain.tensors.contains("module.a"));
  const std::string path = (folder / "x.pth").string();
  CHECK_MESSAGE_OF(names("_orig_mod.a", "a"), FormatError,
                   path + ": 'a' and '_orig_mod.a' both become 'a' without their prefixes");
  options.strip = {"student", "net."};
  const StateFile stripped = names("student.net.a", "student.b");
  CHECK(stripped.tensors.contains("a"));
  CHECK(stripped.tensors.contains("b"));
  CHECK(notes(stripped) == std::vector<std::string>{"removed: 'student.' from 2 names, 'net.' from 1 name"});
  CHECK_MESSAGE_OF(names("a", "students.b"), FormatError,
                   path + ": no name begins with 'student.'; the names are a, students.b");
  options.strip = {"x"};
  CHECK_MESSAGE_OF(names("a", "x.a"), FormatError,
                   path + ": 'x.a' and 'a' both become 'a' without their prefixes");
}

TEST_CASE("state: entries that are no tensors are listed") {
  const TemporaryFolder folder;
  const StateFile file =
      read_state_file(checkpoint(folder, py_dict({{"w", py_floats("0", 2)}, {"n", py_int(1)}})));
  CHECK(file.skipped == std::vector<std::string>{"n (an int)"});
  CHECK(file.tensors.size() == 1);
  CHECK_MESSAGE_OF(read_state_file(checkpoint(folder, py_dict({{"a\xff\x1b", py_floats("0", 2)}}))),
                   FormatError,
                   (folder / "x.pth").string() +
                       ": the name of a tensor is not a string: 'a?"
                       "?'");
}

}  // namespace
}  // namespace fer::test
