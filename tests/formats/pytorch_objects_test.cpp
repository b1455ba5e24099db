// Contents of checkpoints other than plain tensors: objects of any class, which become inert; pickled
// modules; NumPy; tensors that are widened or left aside; and operations in pickles of other programs.
#include <limits>

#include "fer/formats/state_dict.h"
#include "tests/formats/format_test.h"

namespace fer::test {
namespace {

using Names = std::vector<std::string>;

const Records one_float{{"0", elements({1.5f})}};

PytorchFile read_file_of(const std::string& ops, const Records& storages = one_float) {
  return read_pytorch(bytes_of(zip_checkpoint(ops, storages)), "x.pth");
}

/// {"w": a tensor, "x": the value of `ops`}, read from both containers, in every protocol that has the
/// operations.
PytorchFile beside_a_tensor(const std::string& ops) {
  const std::string value = py_dict({{"w", py_floats("0", 1)}, {"x", ops}});
  const PytorchFile file = read_file_of(value);
  CHECK(file.root.find("w")->as_tensor().to_vector<float>() == std::vector<float>{1.5f});
  const PytorchFile legacy =
      read_pytorch(bytes_of(legacy_checkpoint(value, {{"0", 1, elements({1.5f})}})), "x.pth");
  CHECK(legacy.root.find("w")->as_tensor().to_vector<float>() == std::vector<float>{1.5f});
  CHECK(legacy.inert == file.inert);
  return file;
}

/// Checks that the object that `ops` make has this class, the only one in the list of inert names, and this
/// many items.
void check_inert(const std::string& ops, const std::string& type, std::size_t items) {
  CAPTURE(type);
  const PytorchFile file = beside_a_tensor(ops);
  CHECK(file.inert == Names{type});
  const PyObject& object = file.root.find("x")->as_object();
  CHECK(object.type == type);
  CHECK(object.description == "an inert " + type);
  CHECK(object.items.size() == items);
}

TEST_CASE("pytorch: an unknown class or function becomes an inert object, however it is made") {
  const std::string meter = py_global("__main__", "RecorderMeter");
  const std::string state = py_dict({{"total_epoch", py_int(3)}});
  check_inert(meter + ")\x81" + state + "b", "__main__.RecorderMeter", 1);                   // NEWOBJ, BUILD
  check_inert(meter + ")}\x92" + state + "b", "__main__.RecorderMeter", 2);                  // NEWOBJ_EX
  check_inert(meter + py_ints({1, 2}) + "R", "__main__.RecorderMeter", 2);                   // REDUCE
  check_inert("(" + py_int(1) + "i__main__\nRecorderMeter\n", "__main__.RecorderMeter", 1);  // INST
  check_inert("(" + meter + py_int(1) + "o", "__main__.RecorderMeter", 1);                   // OBJ
  check_inert("\x8c\x01m\x8c\x01n\x93)R", "m.n", 0);                                         // STACK_GLOBAL
  check_inert(meter, "__main__.RecorderMeter", 0);  // the class itself
  check_inert(py_global("collections", "deque") + "](" + py_int(1) + "e\x85R" + py_int(2) + "a",
              "collections.deque", 2);
  check_inert(meter + ")\x81" + py_text("key") + py_int(1) + "s", "__main__.RecorderMeter",
              1);  // a dict's class
  check_inert(meter + ")\x81(" + py_text("key") + py_int(1) + "u", "__main__.RecorderMeter", 1);
  check_inert(meter + ")\x81(" + py_int(1) + py_int(2) + "\x90", "__main__.RecorderMeter", 2);  // a set's
  check_inert(meter + ")\x81(N" + py_dict({{"slot", py_int(1)}}) + "tb", "__main__.RecorderMeter",
              1);                                            // slots
  check_inert(meter + ")R)R", "__main__.RecorderMeter", 0);  // what is called is itself inert
  check_inert("\x82\x05", "extension 5", 0);
  check_inert("\x97", "a buffer outside of the pickle", 0);
  check_inert("Pthing\n", "persistent id thing", 0);
  check_inert(py_text("thing") + "Q", "a persistent id", 0);
  // Protocol 0 and 1 make objects by a function.
  for (const char* module : {"copy_reg", "copyreg"}) {
    const std::string base =
        py_global(module == std::string("copyreg") ? "builtins" : "__builtin__", "object");
    const PytorchFile file = beside_a_tensor(py_global(module, "_reconstructor") +
                                             py_tuple({meter, base, "N"}) + "R" + state + "b");
    CHECK(file.root.find("x")->find("total_epoch")->as_integer() == 3);
    CHECK(file.root.find("x")->as_object().type == "__main__.RecorderMeter");
  }
}

TEST_CASE("pytorch: a pickle that would execute something executes nothing, and names it") {
  const TemporaryFolder folder;
  const std::string proof = (folder / "ran").string();
  const std::string command = py_text("touch " + proof);
  for (const char* module : {"os", "posix"}) {
    const std::string name = std::string(module) + ".system";
    const std::string system = py_global(module, "system");
    check_inert(system + command + "\x85R", name, 1);
    check_inert("(" + command + "i" + module + "\nsystem\n", name, 1);
    check_inert("(" + system + command + "o", name, 1);
    check_inert(system + command + "\x85\x81", name, 1);
    check_inert("\x8c" + little(static_cast<std::uint8_t>(std::string(module).size())) + module +
                    "\x8c\x06system\x93" + command + "\x85R",
                name, 1);
  }
  check_inert(py_global("builtins", "exec") + command + "\x85R", "builtins.exec", 1);
  check_inert(py_global("__builtin__", "eval") + command + "\x85R", "__builtin__.eval", 1);
  // Within the state of an inert object, as a key, behind a rebuilt tensor, and as what rebuilds one.
  const std::string call = py_global("posix", "system") + command + "\x85R";
  const std::string meter = py_global("m", "Meter") + ")\x81";
  CHECK(beside_a_tensor(meter + py_dict({{"__setstate__", call}}) + "b").inert ==
        Names{"m.Meter", "posix.system"});
  CHECK(beside_a_tensor(meter + call + "b").inert == Names{"m.Meter", "posix.system"});
  CHECK(beside_a_tensor("}" + call + "Ns").inert == Names{"posix.system"});
  CHECK(beside_a_tensor(py_global("torch._tensor", "_rebuild_from_type_v2") +
                        py_tuple({py_global("posix", "system"), py_global("m", "T"), command + "\x85", "}"}) +
                        "R")
            .inert == Names{"posix.system", "m.T"});
  CHECK(beside_a_tensor(py_global("functools", "partial") + py_global("posix", "system") + "\x85R").inert ==
        Names{"functools.partial", "posix.system"});
  CHECK(beside_a_tensor(py_global("collections", "defaultdict") + py_global("posix", "system") + "\x85R")
            .inert == Names{"posix.system"});
  CHECK(!std::filesystem::exists(proof));
}

TEST_CASE("pytorch: objects that contain themselves or one another are cut off where they would repeat") {
  const std::string meter = py_global("m", "Meter") + ")\x81q\1";
  const PyValue value = read_value(meter + "}" + py_text("me") + "h\1sb");
  CHECK(value.find("me")->describe() == "an inert m.Meter");
  CHECK(value.find("me")->items().empty());
  const PyValue list = read_value("]q\1h\1a");
  CHECK(list.elements()[0].describe() == "a value that contains itself");
  // A chain far deeper than any checkpoint, within an object.
  std::string chain = py_global("m", "Node") + "q\2";
  for (int i = 0; i < 5000; ++i) chain += "h\2)\x81}" + py_text("next");
  chain += "N";
  for (int i = 0; i < 5000; ++i) chain += "sb";
  CHECK(read_file_of("(" + chain + "t").inert == Names{"m.Node"});
}

TEST_CASE("pytorch: names of inert objects are printable") {
  const PytorchFile file = read_file_of(py_global("m\x1b[2J", "\xff" + std::string(300, 'n')) + ")R");
  CHECK(file.inert == Names{"m?[2J.?" + std::string(193, 'n') + "..."});
}

TEST_CASE("pytorch: containers and numbers of Python are values") {
  CHECK(read_value("\x8f(K\1K\2\x90").elements().size() == 2);
  CHECK(read_value("(K\1K\2\x91").is(PyValue::Kind::tuple));
  CHECK(read_value(py_global("__builtin__", "set") + "](K\1K\2e\x85R").elements().size() == 2);
  CHECK(read_value(py_global("builtins", "frozenset") + "](K\1e\x85R").is(PyValue::Kind::tuple));
  CHECK(read_value(py_global("_codecs", "encode") + py_text("\x01\xc3\xbf") + py_text("latin1") + "\x86R")
            .as_text() == "\x01\xff");
  CHECK(read_value(py_global("__builtin__", "bytes") + ")R").is(PyValue::Kind::bytes));
  CHECK(read_value(py_global("builtins", "bytearray") + "C\x01x\x85R").as_text() == "x");
  CHECK(read_value(py_global("__builtin__", "bytearray") + py_text("x") + py_text("latin-1") + "\x86R")
            .as_text() == "x");
  CHECK(read_value("\x96" + little(std::uint64_t{2}) + "ab").as_text() == "ab");
  CHECK(read_value("\x8e" + little(std::uint64_t{2}) + "ab\x98").as_text() == "ab");
  CHECK(read_value("K\1"
                   "2\x86")
            .elements()[1]
            .as_integer() == 1);  // DUP
  CHECK(read_value("\x8b" + little(std::uint32_t{2}) + "\xff\x7f").as_integer() == 32767);
}

TEST_CASE("pytorch: protocol 0, all of it lines of text") {
  CHECK(read_value("I01\n").as_boolean());
  CHECK(read_value("I-12\n").as_integer() == -12);
  CHECK(read_value("L-9223372036854775808L\n").as_integer() == std::numeric_limits<std::int64_t>::min());
  CHECK(read_value("L255L\n").as_integer() == 255);
  CHECK(read_value("L18446744073709551616L\n").is(PyValue::Kind::big_integer));
  CHECK(read_value("F-1.5e3\n").as_real() == -1500);
  CHECK(read_value("S'a\\n\\x41\\\\\\'\\q'\n").as_text() == "a\nA\\'\\q");
  CHECK(read_value("Va\\u20ac\xe9\\U0001f600\n").as_text() == "a\xe2\x82\xac\xc3\xa9\xf0\x9f\x98\x80");
  const PyValue value = read_value("(dp0\nVa\np1\n(lp2\nI1\naI2\nasVb\n(I3\nI4\ntp3\nsVc\ng2\ns");
  CHECK(value.find("a")->elements().size() == 2);
  CHECK(value.find("b")->is(PyValue::Kind::tuple));
  CHECK(value.find("c")->elements()[1].as_integer() == 2);
  // The magic number of the legacy format, as protocol 0 writes it.
  const std::string legacy = "L119547037146038801333356L\n.I1001\n.(dVlittle_endian\nI01\ns.(dVa\nI5\ns.(l.";
  const PytorchFile file = read_pytorch(bytes_of(legacy), "x.pth");
  CHECK(file.format == FileFormat::pytorch_legacy);
  CHECK(file.root.find("a")->as_integer() == 5);
}

TEST_CASE("pytorch: element types that fer does not have are widened, or left aside by name") {
  const auto read = [](const char* storage, std::int64_t count, const std::string& bytes) {
    return read_file_of(py_dict({{"w", py_tensor(py_storage(storage, "0", count), 0, {count}, {1})}}),
                        {{"0", bytes}});
  };
  const PytorchFile flags = read("BoolStorage", 3, std::string("\1\0\7", 3));
  CHECK(flags.root.find("w")->as_tensor().to_vector<std::uint8_t>() == std::vector<std::uint8_t>{1, 0, 1});
  CHECK(flags.widened == Names{"1 tensor of bool read as uint8"});
  CHECK(read("CharStorage", 2, "\x7f\x80").root.find("w")->as_tensor().to_vector<std::int32_t>() ==
        std::vector<std::int32_t>{127, -128});
  CHECK(read("ShortStorage", 1, elements({std::int16_t{-300}}))
            .root.find("w")
            ->as_tensor()
            .to_vector<std::int32_t>() == std::vector<std::int32_t>{-300});
  const auto untyped = [](const char* dtype, std::int64_t count, const std::string& bytes) {
    const std::string storage =
        py_tuple({py_text("storage"), py_global("torch.storage", "UntypedStorage"), py_text("0"),
                  py_text("cpu"), py_int(static_cast<std::int64_t>(bytes.size()))}) +
        "Q";
    const std::string tensor = py_global("torch._utils", "_rebuild_tensor_v3") +
                               py_tuple({storage, py_int(0), py_ints({count}), py_ints({1}), "\x89", "}",
                                         py_global("torch", dtype)}) +
                               "R";
    return read_file_of(py_dict({{"w", tensor}}), {{"0", bytes}}).root;
  };
  CHECK(untyped("uint16", 1, "\xff\xff").find("w")->as_tensor().to_vector<std::int32_t>() ==
        std::vector<std::int32_t>{65535});
  CHECK(untyped("uint32", 1, "\xff\xff\xff\xff").find("w")->as_tensor().to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{4294967295});
  CHECK(untyped("float8_e4m3fn", 4, std::string("\x38\xb8\x01\x7e", 4))
            .find("w")
            ->as_tensor()
            .to_vector<float>() == std::vector<float>{1, -1, 0x1p-9f, 448});
  CHECK(untyped("float8_e5m2", 3, std::string("\x3c\xc0\x01", 3)).find("w")->as_tensor().to_vector<float>() ==
        std::vector<float>{1, -2, 0x1p-16f});
  CHECK(untyped("float8_e8m0fnu", 1, "x").find("w")->describe() == "a tensor of float8_e8m0fnu");
  CHECK(untyped("float3", 1, "x").find("w")->describe() == "a tensor of torch.float3");
  CHECK(read("ComplexFloatStorage", 1, elements({1.f, 2.f})).root.find("w")->describe() ==
        "a tensor of complex64");
  CHECK(read("QInt8Storage", 1, "x").root.find("w")->describe() == "a tensor of qint8");
  CHECK(read("FuzzyStorage", 1, "x").root.find("w")->describe() ==
        "a tensor in a storage of torch.FuzzyStorage");
  CHECK(read_file_of(py_dict({{"s", py_storage("FloatStorage", "0", 1)}})).root.find("s")->describe() ==
        "a storage without a tensor");
  // A tensor may be the negative of its storage, which its metadata say.
  const auto negative = [](const char* says) {
    return read_file_of(
               py_dict({{"w", py_global("torch._utils", "_rebuild_tensor_v2") +
                                  py_tuple({py_storage("FloatStorage", "0", 1), py_int(0), py_ints({1}),
                                            py_ints({1}), "\x89", "}", py_dict({{"neg", says}})}) +
                                  "R"}}))
        .root.find("w")
        ->describe();
  };
  CHECK(negative("\x88") == "a tensor that is the negative of its storage");
  CHECK(negative("\x89") == "a tensor (1) of float32");
  const std::string sparse =
      py_global("torch._utils", "_rebuild_sparse_tensor") +
      py_tuple(
          {py_global("torch.serialization", "_get_layout") + py_text("torch.sparse_coo") + "\x85R", ")"}) +
      "R";
  const TemporaryFolder folder;
  const auto path = folder.file(
      "x.pth",
      zip_checkpoint(py_dict({{"w", py_floats("0", 1)},
                              {"s", sparse},
                              {"c", py_tensor(py_storage("ComplexFloatStorage", "1", 1), 0, {1}, {1})}}),
                     {{"0", elements({1.f})}, {"1", elements({1.f, 2.f})}}));
  CHECK(read_state_file(path).skipped == Names{"s (a sparse tensor)", "c (a tensor of complex64)"});
  // The legacy container has the bytes of such a storage before those of others.
  const std::string value = py_dict(
      {{"c", py_tensor(py_storage("ComplexDoubleStorage", "a", 1), 0, {1}, {1})}, {"w", py_floats("b", 1)}});
  const PytorchFile legacy = read_pytorch(
      bytes_of(legacy_checkpoint(value, {{"a", 1, elements({1., 2.})}, {"b", 1, elements({7.f})}})), "x.pth");
  CHECK(legacy.root.find("w")->as_tensor().to_vector<float>() == std::vector<float>{7});
}

TEST_CASE("pytorch: parameters and subclasses of tensors are the tensors they hold") {
  const std::string tensor = py_floats("0", 1);
  for (const std::string& ops :
       {py_global("torch.nn.parameter", "Parameter") + py_tuple({tensor, "\x88"}) + "R",
        py_global("torch._utils", "_rebuild_parameter_with_state") + py_tuple({tensor, "\x88", "}", "}"}) +
            "R",
        py_global("torch._tensor", "_rebuild_from_type_v2") +
            py_tuple({py_global("torch._utils", "_rebuild_tensor_v2"), py_global("m", "Own"),
                      py_tuple({py_storage("FloatStorage", "0", 1), py_int(0), py_ints({1}), py_ints({1}),
                                "\x89", "}"}),
                      "}"}) +
            "R"}) {
    CHECK(read_file_of(py_dict({{"w", ops}})).root.find("w")->as_tensor().to_vector<float>() ==
          std::vector<float>{1.5f});
  }
}

/// A module as torch.save pickles it whole.
std::string module_of(const std::string& parameters, const std::string& buffers, const std::string& modules,
                      const std::string& left_out = "]") {
  return py_global("models", "Net") + ")\x81" +
         py_dict({{"training", "\x88"},
                  {"_parameters", parameters},
                  {"_buffers", buffers},
                  {"_non_persistent_buffers_set", py_global("__builtin__", "set") + left_out + "\x85R"},
                  {"_forward_hooks", "}"},
                  {"_modules", modules}}) +
         "b";
}

TEST_CASE("pytorch: a module pickled whole gives its parameters and persistent buffers") {
  const TemporaryFolder folder;
  const std::string w = py_floats("0", 1);
  const std::string inner = module_of(py_dict({{"weight", w}, {"bias", "N"}}), "}", "}");
  const std::string net =
      module_of(py_dict({{"scale", w}}), py_dict({{"kept", w}, {"passing", w}}),
                py_dict({{"conv", inner}, {"none", "N"}, {"script", py_global("m", "Script") + ")R"}}),
                "](" + py_text("passing") + "e");
  const auto read = [&](const std::string& value) {
    return read_state_file(folder.file("x.pth", zip_checkpoint(value, one_float)));
  };
  const auto names = [](const StateFile& file) {
    Names list;
    for (const auto& [name, tensor] : file.tensors) list.push_back(name);
    return list;
  };
  const StateFile whole = read(net);
  CHECK(names(whole) == Names{"scale", "kept", "conv.weight"});
  CHECK(whole.module == "models.Net");
  CHECK(whole.skipped == Names{"script (an inert m.Script)"});
  CHECK(notes(whole) == Names{"the parameters and buffers of a pickled module of class models.Net",
                              "left aside, not tensors: script (an inert m.Script)",
                              "inert, neither imported nor called: models.Net, m.Script"});
  const StateFile parallel = read(module_of("}", "}", py_dict({{"module", net}})));
  CHECK(names(parallel) == Names{"scale", "kept", "conv.weight"});
  const StateFile value =
      read(py_dict({{"epoch", py_int(3)}, {"model", net}, {"ema", net}, {"optimizer", "N"}}));
  CHECK(names(value) == Names{"scale", "kept", "conv.weight"});
  CHECK(value.found_under == "model");
  CHECK(value.others == Names{"ema"});
  const StateFile average =
      read(py_dict({{"ema", py_global("m", "EMA") + ")\x81" + py_dict({{"module", net}}) + "b"}}));
  CHECK(average.found_under == "ema.module");
  // The class beside its source, as early versions of PyTorch kept it.
  const std::string with_source =
      py_tuple({py_text("module"), py_global("models", "Net"), py_text("net.py"), py_text("class Net")}) +
      "Q)\x81" + py_dict({{"_parameters", py_dict({{"w", w}})}, {"_buffers", "}"}, {"_modules", "}"}}) + "b";
  CHECK(names(read(with_source)) == Names{"w"});
  // A module that holds itself.
  const std::string round =
      py_global("m", "M") + ")\x81q\7" +
      py_dict(
          {{"_parameters", py_dict({{"w", w}})}, {"_buffers", "}"}, {"_modules", py_dict({{"m", "h\7"}})}}) +
      "b";
  CHECK(read(round).tensors.size() == 65);
}

/// numpy.dtype of this code, as NumPy pickles it.
std::string py_dtype(const std::string& code, const std::string& order = "<") {
  return py_global("numpy", "dtype") + py_tuple({py_text(code), "\x89", "\x88"}) + "R" +
         py_tuple({py_int(3), py_text(order), "N", "N", "N", py_int(-1), py_int(-1), py_int(0)}) + "b";
}
std::string py_bytes(const std::string& bytes) {
  return "B" + little(static_cast<std::uint32_t>(bytes.size())) + bytes;
}

TEST_CASE("pytorch: numbers and arrays of NumPy 1 and 2") {
  for (const std::string core : {"numpy.core", "numpy._core"}) {
    const auto scalar = [&](const std::string& code, const std::string& bytes) {
      return py_global(core + ".multiarray", "scalar") + py_tuple({py_dtype(code), py_bytes(bytes)}) + "R";
    };
    const PytorchFile best = beside_a_tensor(scalar("f8", elements({91.2})));
    CHECK(best.root.find("x")->as_real() == 91.2);
    CHECK(best.inert == Names{core + ".multiarray.scalar", "numpy.dtype"});
    CHECK(read_value(scalar("f4", elements({0.5f}))).as_real() == 0.5);
    CHECK(read_value(scalar("f2", std::string("\x00\x3c", 2))).as_real() == 1);
    CHECK(read_value(scalar("i8", elements({std::int64_t{-5}}))).as_integer() == -5);
    CHECK(read_value(scalar("i1", "\xff")).as_integer() == -1);
    CHECK(read_value(scalar("b1", "\x01")).as_boolean());
    CHECK(read_value(scalar("M8", elements({std::int64_t{5}}))).describe() ==
          "an inert " + core + ".multiarray.scalar");

    const auto array = [&](const std::string& dtype, const std::string& fortran, const std::string& bytes) {
      return py_global(core + ".multiarray", "_reconstruct") +
             py_tuple({py_global("numpy", "ndarray"), py_ints({0}), py_bytes("b")}) + "Rq\6" +
             py_tuple({py_int(1), py_ints({2, 3}), dtype, fortran, bytes}) + "b";
    };
    const std::string six = py_bytes(elements({0.f, 1.f, 2.f, 3.f, 4.f, 5.f}));
    const Tensor rows = beside_a_tensor(array(py_dtype("f4"), "\x89", six)).root.find("x")->as_tensor();
    CHECK(rows.shape() == Shape{2, 3});
    CHECK(rows.to_vector<float>() == std::vector<float>{0, 1, 2, 3, 4, 5});
    CHECK(read_value(py_dict({{"x", array(py_dtype("f4"), "\x88", six)}}))
              .find("x")
              ->as_tensor()
              .to_vector<float>() == std::vector<float>{0, 2, 4, 1, 3, 5});
    // Referred to before it has its values, like arrays inside objects.
    CHECK(read_value("(" + array(py_dtype("f4"), "\x89", six) + "h\6t")
              .elements()[1]
              .is(PyValue::Kind::tensor));
    CHECK(read_value(array(py_dtype("f4", ">"), "\x89", six)).is(PyValue::Kind::object));
    CHECK(read_value(array(py_dtype("O8", "|"), "\x89", "]")).is(PyValue::Kind::object));
    const std::string buffer = py_global(core + ".numeric", "_frombuffer") +
                               py_tuple({"\x96" + little(std::uint64_t{8}) + elements({1.f, 2.f}),
                                         py_dtype("f4"), py_ints({2}), py_text("C")}) +
                               "R";
    CHECK(read_value(buffer).as_tensor().to_vector<float>() == std::vector<float>{1, 2});
    CHECK_MESSAGE_OF(
        read_value(py_dict({{"x", array(py_dtype("f4"), "\x89", py_bytes("abcd"))}})), FormatError,
        "x.pth: tensor 'x' of shape (2, 3) at element 0 reaches beyond the 1 elements of its storage");
    // A plain pickle of arrays, which torch.save did not write.
    const TemporaryFolder folder;
    const StateFile file = read_state_file(
        folder.file("x.pkl", pickle(py_dict({{"model", py_dict({{"w", array(py_dtype("f4"), "\x89", six)}})},
                                             {"by", py_text("me")}}))));
    CHECK(file.format == FileFormat::pickle);
    CHECK(identical(file.tensors.at("w"), rows));
    CHECK(file.metadata == Metadata{{"by", "me"}});
  }
}

}  // namespace
}  // namespace fer::test
