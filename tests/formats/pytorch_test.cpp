// PyTorch checkpoints that can be read: every kind of value, tensors by storage, offset and stride, both
// containers, and files that PyTorch itself wrote.
#include "fer/formats/pytorch.h"

#include <limits>

#include "fer/formats/half.h"
#include "tests/formats/format_test.h"
#include "tests/golden/golden.h"

namespace fer::test {
namespace {

using Kind = PyValue::Kind;

Tensor read_tensor(const std::string& ops, const Records& storages) {
  return read_value(py_dict({{"w", ops}}), storages).find("w")->as_tensor();
}

TEST_CASE("pytorch: numbers, texts and bytes") {
  CHECK(read_value("N").is(Kind::none));
  CHECK(read_value("\x88").as_boolean());
  CHECK(!read_value("\x89").as_boolean());
  CHECK(read_value("J" + little(std::int32_t{-70000})).as_integer() == -70000);
  CHECK(read_value("K\xff").as_integer() == 255);
  CHECK(read_value("M\x01\x02").as_integer() == 0x0201);
  CHECK(read_value(std::string("\x8a\x00", 2)).as_integer() == 0);
  CHECK(read_value("\x8a\x01\xfe").as_integer() == -2);
  CHECK(read_value("\x8a\x02\xff\x7f").as_integer() == 32767);
  CHECK(read_value(py_int(std::numeric_limits<std::int64_t>::min())).as_integer() ==
        std::numeric_limits<std::int64_t>::min());
  CHECK(read_value(std::string("G\xbf\xf8\0\0\0\0\0\0", 9)).as_real() == -1.5);
  CHECK(read_value("K\x07").as_real() == 7);
  CHECK(read_value(py_text("\xC3\xA9")).as_text() == "\xC3\xA9");
  CHECK(read_value("\x8c\x02hi").as_text() == "hi");
  CHECK(read_value("\x8d" + little(std::uint64_t{2}) + "hi").as_text() == "hi");
  CHECK(read_value("U\x02hi").as_text() == "hi");
  CHECK(read_value("T" + little(std::uint32_t{2}) + "hi").as_text() == "hi");
  CHECK(read_value("C\x02\xff\x01").is(Kind::bytes));
  CHECK(read_value("B" + little(std::uint32_t{1}) + "\xff").as_text() == "\xff");
  const PyValue big = read_value("\x8a\x09" + std::string(8, '\xff') + "\x01");
  CHECK(big.is(Kind::big_integer));
  CHECK(big.as_text() == std::string(8, '\xff') + "\x01");
}

TEST_CASE("pytorch: containers, however they are built") {
  for (const std::string ops : {"](K\1K\2e", "]K\1aK\2a", "(K\1K\2l", "(K\1K\2t", "K\1K\2\x86"}) {
    const PyValue value = read_value(ops);
    REQUIRE(value.elements().size() == 2);
    CHECK(value.elements()[0].as_integer() == 1);
    CHECK(value.elements()[1].as_integer() == 2);
  }
  CHECK(read_value(")").elements().empty());
  CHECK(read_value("K\1\x85").elements().size() == 1);
  CHECK(read_value("K\1K\2K\3\x87").elements()[2].as_integer() == 3);
  for (const std::string& ops :
       {"}(" + py_text("a") + "K\1u", "}" + py_text("a") + "K\1s", "(" + py_text("a") + "K\1d",
        py_global("collections", "OrderedDict") + ")R(" + py_text("a") + "K\1u",
        py_global("collections", "OrderedDict") + "](" + py_text("a") + "K\1\x86" + "e\x85R",
        py_global("collections", "defaultdict") + py_global("builtins", "int") + "\x85R(" + py_text("a") +
            "K\1u"}) {
    const PyValue value = read_value(ops);
    REQUIRE(value.items().size() == 1);
    CHECK(value.find("a")->as_integer() == 1);
    CHECK(value.find("b") == nullptr);
  }
  CHECK(read_value("K\1").find("a") == nullptr);
}

TEST_CASE("pytorch: the stack and the memo") {
  CHECK(read_value("K\1K\2"
                   "0")
            .as_integer() == 1);  // POP
  CHECK(read_value("K\1(K\2K\3"
                   "1")
            .as_integer() == 1);                 // POP_MARK
  CHECK(read_value("K\1(0").as_integer() == 1);  // POP takes a mark, too
  CHECK(read_value("K\1q\5K\2"
                   "0h\5\x86")
            .elements()
            .size() == 2);
  CHECK(read_value("K\1r" + little(std::uint32_t{99999}) + "j" + little(std::uint32_t{99999}) + "\x86")
            .elements()[1]
            .as_integer() == 1);
  CHECK(read_value(std::string("K\7\x94K\x08\x94h\0\x87", 9)).elements()[2].as_integer() == 7);  // MEMOIZE
  CHECK(read_value("]q\1K\1ah\1K\2a\x86").elements()[0].elements().size() == 2);  // one list, two references
}

TEST_CASE("pytorch: protocol 4, with frames and globals from the stack") {
  const std::string ops = "\x80\x04\x95" + little(std::uint64_t{3}) +
                          "\x8c\x0b"
                          "collections\x8c\x0b"
                          "OrderedDict\x93)R";
  CHECK(read_value(ops).is(Kind::dict));
}

TEST_CASE("pytorch: PyTorch's wrappers around values are looked through") {
  const std::string size = py_global("torch", "Size") + "(" + py_ints({2, 3}) + "tR";
  CHECK(read_value(size).elements()[1].as_integer() == 3);
  CHECK(read_value(py_global("torch", "float32")).as_text() == "torch.float32");
  // The attributes of a state_dict, its _metadata, are ignored.
  const std::string with_attributes =
      py_global("collections", "OrderedDict") + ")R}(" + py_text("_metadata") + "}ub";
  CHECK(read_value(with_attributes).items().empty());
  const Records one{{"0", elements({1.5f})}};
  const std::string parameter = py_global("torch._utils", "_rebuild_parameter") + "(" + py_floats("0", 1) +
                                "\x88" + py_global("collections", "OrderedDict") + ")RtR";
  CHECK(read_tensor(parameter, one).to_vector<float>() == std::vector<float>{1.5f});
}

TEST_CASE("pytorch: descriptions, and values asked for as another kind") {
  const PyValue value = read_value(py_dict({{"w", py_floats("0", 2)}, {"l", "]"}, {"t", ")"}, {"n", "N"}}),
                                   {{"0", elements({1.f, 2.f})}});
  CHECK(value.describe() == "a dict of 4");
  CHECK(value.find("w")->describe() == "a tensor (2) of float32");
  CHECK(value.find("l")->describe() == "a list of 0");
  CHECK(value.find("t")->describe() == "a tuple of 0");
  CHECK(value.find("n")->describe() == "None");
  CHECK_MESSAGE_OF(value.as_boolean(), TypeError, "a bool was expected, got a dict of 4");
  CHECK_MESSAGE_OF(value.as_integer(), TypeError, "an int of at most 64 bits was expected, got a dict of 4");
  CHECK_MESSAGE_OF(value.as_real(), TypeError, "a float was expected, got a dict of 4");
  CHECK_MESSAGE_OF(value.as_text(), TypeError, "a str was expected, got a dict of 4");
  CHECK_MESSAGE_OF(value.as_tensor(), TypeError, "a tensor was expected, got a dict of 4");
  CHECK_MESSAGE_OF(value.elements(), TypeError, "a list or tuple was expected, got a dict of 4");
  CHECK_MESSAGE_OF(value.find("l")->items(), TypeError, "a dict was expected, got a list of 0");
}

TEST_CASE("pytorch: storages of every type") {
  const auto read = [](const char* type, std::int64_t count, const std::string& data) {
    return read_tensor(py_tensor(py_storage(type, "0", count), 0, {count}, {1}), {{"0", data}});
  };
  CHECK(read("FloatStorage", 2, elements({1.5f, -2.f})).to_vector<float>() == std::vector<float>{1.5f, -2});
  CHECK(read("DoubleStorage", 1, elements({1e300})).to_vector<double>() == std::vector<double>{1e300});
  CHECK(read("LongStorage", 1, elements({std::int64_t{-9}})).to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{-9});
  CHECK(read("IntStorage", 1, elements({-9})).to_vector<std::int32_t>() == std::vector<std::int32_t>{-9});
  CHECK(read("ByteStorage", 2, "\x01\xff").to_vector<std::uint8_t>() == std::vector<std::uint8_t>{1, 255});
  const Tensor half = read("HalfStorage", 2, std::string("\x00\x3c\x00\xc0", 4));
  CHECK(half.dtype() == DType::float16);
  CHECK(convert_floating(half, DType::float32).to_vector<float>() == std::vector<float>{1, -2});
  const Tensor brain = read("BFloat16Storage", 1, std::string("\x40\xc0", 2));
  CHECK(brain.dtype() == DType::bfloat16);
  CHECK(convert_floating(brain, DType::float32).to_vector<float>() == std::vector<float>{-3});
}

TEST_CASE("pytorch: an untyped storage has the type of its tensor") {
  const std::string storage = py_tuple({py_text("storage"), py_global("torch.storage", "UntypedStorage"),
                                        py_text("0"), py_text("cpu"), py_int(8)}) +
                              "Q";
  const std::string ops =
      py_global("torch._utils", "_rebuild_tensor_v3") +
      py_tuple({storage, py_int(0), py_ints({2}), py_ints({1}), "\x89",
                py_global("collections", "OrderedDict") + ")R", py_global("torch", "int32")}) +
      "R";
  CHECK(read_tensor(ops, {{"0", elements({-1, 5})}}).to_vector<std::int32_t>() ==
        std::vector<std::int32_t>{-1, 5});
}

TEST_CASE("pytorch: strides: transposed, broadcast, with gaps, channels last, one element, none") {
  const std::string storage = py_storage("FloatStorage", "0", 6);
  const Records six{{"0", elements({0.f, 1.f, 2.f, 3.f, 4.f, 5.f})}};
  const auto read = [&](std::int64_t offset, auto size, auto stride) {
    return read_tensor(py_tensor(storage, offset, size, stride), six);
  };
  using Extents = std::initializer_list<std::int64_t>;
  using Values = std::vector<float>;
  const Tensor transposed = read(0, Extents{3, 2}, Extents{1, 3});
  CHECK(transposed.shape() == Shape{3, 2});
  CHECK(transposed.to_vector<float>() == Values{0, 3, 1, 4, 2, 5});
  CHECK(read(4, Extents{2, 3}, Extents{0, 0}).to_vector<float>() == Values{4, 4, 4, 4, 4, 4});
  CHECK(read(1, Extents{3}, Extents{2}).to_vector<float>() == Values{1, 3, 5});
  CHECK(read(0, Extents{1, 3, 1, 2}, Extents{6, 1, 6, 3}).to_vector<float>() == Values{0, 3, 1, 4, 2, 5});
  CHECK(read(5, Extents{}, Extents{}).to_vector<float>() == Values{5});
  // Strides do not matter for extents of one, nor in a tensor without elements.
  CHECK(read(4, Extents{1, 2}, Extents{77, 1}).to_vector<float>() == Values{4, 5});
  CHECK(read(999, Extents{0, 3}, Extents{3, 1}).shape() == Shape{0, 3});
}

TEST_CASE("pytorch: tensors of one storage share its memory, copies of strided ones do not") {
  const std::string storage = py_storage("FloatStorage", "0", 4);
  const PyValue value = read_value(py_dict({{"all", py_tensor(storage, 0, {2, 2}, {2, 1})},
                                            {"second", py_tensor(storage, 2, {2}, {1})},
                                            {"again", py_tensor(storage, 0, {2, 2}, {2, 1})},
                                            {"column", py_tensor(storage, 1, {2}, {2})},
                                            {"own", py_floats("1", 1)}}),
                                   {{"0", elements({1.f, 2.f, 3.f, 4.f})}, {"1", elements({9.f})}});
  const auto tensor = [&](const char* name) { return value.find(name)->as_tensor(); };
  CHECK(tensor("all").shares_memory_with(tensor("second")));
  CHECK(tensor("all").shares_memory_with(tensor("again")));
  CHECK(!tensor("all").shares_memory_with(tensor("column")));
  CHECK(!tensor("all").shares_memory_with(tensor("own")));
  tensor("second").fill(7);
  CHECK(tensor("all").to_vector<float>() == std::vector<float>{1, 2, 7, 7});
  CHECK(tensor("column").to_vector<float>() == std::vector<float>{2, 4});
}

TEST_CASE("pytorch: the legacy container, with views of storages") {
  const std::string view =
      py_tuple({py_text("storage"), py_global("torch", "FloatStorage"), py_text("a"), py_text("cpu"),
                py_int(4), py_tuple({py_text("view"), py_int(1), py_int(3)})}) +
      "Q";
  const std::string value = py_dict({{"whole", py_floats("a", 4)},
                                     {"view", py_tensor(view, 1, {2}, {1})},
                                     {"b", py_tensor(py_storage("LongStorage", "b", 1), 0, {}, {})},
                                     {"epoch", py_int(4)}});
  const std::string bytes = legacy_checkpoint(
      value, {{"b", 1, elements({std::int64_t{5}})}, {"a", 4, elements({1.f, 2.f, 3.f, 4.f})}});
  const PytorchFile file = read_pytorch(bytes_of(bytes), "x.pth");
  CHECK(file.format == FileFormat::pytorch_legacy);
  CHECK(file.root.find("whole")->as_tensor().to_vector<float>() == std::vector<float>{1, 2, 3, 4});
  CHECK(file.root.find("view")->as_tensor().to_vector<float>() == std::vector<float>{3, 4});
  CHECK(file.root.find("view")->as_tensor().shares_memory_with(file.root.find("whole")->as_tensor()));
  CHECK(file.root.find("b")->as_tensor().to_vector<std::int64_t>() == std::vector<std::int64_t>{5});
  CHECK(file.root.find("epoch")->as_integer() == 4);
}

/// The tensors of a golden checkpoint, whose names may be under state_dict and begin with "module.".
std::vector<std::pair<std::string, Tensor>> tensors_of(const PyValue& root) {
  const PyValue* nested = root.find("state_dict");
  std::vector<std::pair<std::string, Tensor>> found;
  for (const PyItem& item : (nested ? *nested : root).items()) {
    const std::string& key = item.key.as_text();
    found.emplace_back(key.starts_with("module.") ? key.substr(7) : key, item.value.as_tensor());
  }
  return found;
}

void check_golden_checkpoints(const std::vector<std::filesystem::path>& paths) {
  REQUIRE(!paths.empty());
  bool zip = false, legacy = false, nested = false;
  const auto first = tensors_of(read_pytorch(paths.front()).root);
  CHECK(first.size() > 100);
  for (const auto& path : paths) {
    CAPTURE(path.string());
    const PytorchFile file = read_pytorch(path);
    zip |= file.format == FileFormat::pytorch_zip;
    legacy |= file.format == FileFormat::pytorch_legacy;
    const auto tensors = tensors_of(file.root);
    REQUIRE(tensors.size() == first.size());
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      CHECK(tensors[i].first == first[i].first);
      CHECK_MESSAGE(identical(tensors[i].second, first[i].second), tensors[i].first);
    }
    if (const PyValue* optimizer = file.root.find("optimizer")) {
      nested = true;
      CHECK(file.root.find("epoch")->as_integer() == 3);
      CHECK(file.root.find("best_acc")->as_real() == 0.5);
      const PyValue& group = optimizer->find("param_groups")->elements().at(0);
      CHECK(group.find("lr")->as_real() == 0.1);
      CHECK(group.find("betas")->elements().at(1).as_real() == 0.999);
    }
  }
  CHECK(zip);
  CHECK(legacy);
  CHECK(nested);
}

TEST_CASE("pytorch: golden checkpoints hold the same tensors in every format") {
  for (const auto& folder : golden_folders()) {
    check_golden_checkpoints(files_of(GoldenFile::checkpoint, folder));
  }
}

TEST_CASE("pytorch: the bytes of a file by hand, as they are written") {
  const TemporaryFolder folder;
  StateDict state;
  const Tensor w = Tensor::from<float>({2, 1}, {1, -2});
  state.insert("w", w);
  state.insert("tied", w);
  state.insert("n", Tensor::from<std::int64_t>({}, {300}));
  write_pytorch(folder / "a.pth", state, {{"epoch", "3"}});
  const auto tensor = [](const char* type, const char* key, int count, const char* size, const char* stride) {
    return py_global("torch._utils", "_rebuild_tensor_v2") + "((" + py_text("storage") +
           py_global("torch", type) + py_text(key) + py_text("cpu") + "K" + static_cast<char>(count) + "tQK" +
           '\0' + "(" + size + "t(" + stride + "t\x89" + py_global("collections", "OrderedDict") + ")RtR";
  };
  const std::string floats = tensor("FloatStorage", "0", 2, "K\2K\1", "K\1K\1");
  const std::string value = "}(" + py_text("state_dict") + py_global("collections", "OrderedDict") + ")R(" +
                            py_text("w") + floats + py_text("tied") + floats + py_text("n") +
                            tensor("LongStorage", "1", 1, "", "") + "u" + py_text("metadata") + "}(" +
                            py_text("epoch") + py_text("3") + "uu";
  const std::string expected = zip_of({{"archive/data.pkl", pickle(value)},
                                       {"archive/byteorder", "little"},
                                       {"archive/data/0", elements({1.f, -2.f})},
                                       {"archive/data/1", elements({std::int64_t{300}})},
                                       {"archive/version", "3\n"}});
  CHECK(contents(folder / "a.pth") == expected);
}

TEST_CASE("pytorch: what is written is read back, aligned, and the same bytes each time") {
  const TemporaryFolder folder;
  StateDict state;
  state.insert("float", Tensor::from<float>({3}, {1, 2, 3}));
  state.insert("none", Tensor::empty({0, 4}));
  state.insert("also none", Tensor::empty({0}));
  state.insert("double", Tensor::from<double>({1, 2}, {0.1, -1e300}));
  state.insert("long", Tensor::from<std::int64_t>({}, {-5}));
  state.insert("int", Tensor::from<std::int32_t>({2, 1}, {7, -8}));
  state.insert("bytes", Tensor::from<std::uint8_t>({3}, {1, 2, 255}));
  state.insert("half", convert_floating(state.at("float"), DType::float16));
  state.insert("brain", convert_floating(state.at("float"), DType::bfloat16));
  write_pytorch(folder / "a.pth", state);
  write_pytorch(folder / "b.pth", state);
  const std::string bytes = contents(folder / "a.pth");
  CHECK(bytes == contents(folder / "b.pth"));
  CHECK(bytes.find(elements({1.f, 2.f, 3.f})) % 64 == 0);
  CHECK(bytes.find(elements({0.1, -1e300})) % 64 == 0);
  const PyValue root = read_pytorch(folder / "a.pth").root;
  REQUIRE(root.items().size() == state.size());
  std::size_t i = 0;
  for (const auto& [name, tensor] : state) {
    CHECK(root.items()[i].key.as_text() == name);
    CHECK_MESSAGE(identical(root.items()[i].value.as_tensor(), tensor), name);
    ++i;
  }
}

TEST_CASE("pytorch: a dictionary of no tensors") {
  const TemporaryFolder folder;
  write_pytorch(folder / "a.pth", {});
  CHECK(read_pytorch(folder / "a.pth").root.items().empty());
}

}  // namespace
}  // namespace fer::test
