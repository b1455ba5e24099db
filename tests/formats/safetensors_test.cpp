#include "fer/formats/safetensors.h"

#include <thread>

#include "tests/formats/format_test.h"

namespace fer::test {
namespace {

std::string safetensors_of(const std::string& header, const std::string& data) {
  return little(static_cast<std::uint64_t>(header.size())) + header + data;
}

/// Checks the message about a file of this header and data, with its path in front.
void check_refused(const std::string& header, const std::string& data, const std::string& message) {
  const TemporaryFolder folder;
  const auto path = folder.file("x.safetensors", safetensors_of(header, data));
  CHECK_MESSAGE_OF(SafetensorsFile(path), FormatError, path.string() + ": " + message);
}

StateDict one_of_each_type() {
  StateDict state;
  state.insert("bytes", Tensor::from<std::uint8_t>({3}, {1, 2, 255}));
  state.insert("float", Tensor::from<float>({2, 2}, {1.5f, -2, 3, 4}));
  state.insert("double", Tensor::from<double>({1, 2}, {0.1, -1e300}));
  state.insert("int", Tensor::from<std::int32_t>({2}, {-7, 8}));
  state.insert("long", Tensor::from<std::int64_t>({}, {-1234567890123}));
  state.insert("none", Tensor::empty({0, 4}));
  Tensor half = Tensor::empty({2}, DType::float16), brain = Tensor::empty({1}, DType::bfloat16);
  std::memcpy(half.mutable_raw(), "\x00\x3c\x00\xc0", 4);
  std::memcpy(brain.mutable_raw(), "\x80\x3f", 2);
  state.insert("half", half);
  state.insert("brain", brain);
  return state;
}

TEST_CASE("safetensors: all types, in order, with metadata, aligned") {
  const TemporaryFolder folder;
  const StateDict state = one_of_each_type();
  const Metadata metadata{{"epoch", "3"}, {"note", "\"quoted\"\n\xC3\xA9"}};
  const auto path = folder / "a.safetensors";
  write_safetensors(path, state, metadata);
  const SafetensorsFile file(path);
  CHECK(file.metadata() == metadata);
  REQUIRE(file.entries().size() == state.size());
  std::size_t i = 0;
  for (const auto& [name, tensor] : state) {
    const SafetensorsEntry& entry = file.entries()[i++];
    CHECK(entry.name == name);
    CHECK(entry.begin % size_of(entry.dtype.value()) == 0);
    CHECK(identical(file.read(name), tensor));
  }
  const StateDict all = file.read_all();
  CHECK(all.size() == state.size());
  CHECK(identical(all.at("double"), state.at("double")));
  CHECK(file.contains("long"));
  CHECK(!file.contains("lon"));
  CHECK(file.entry("float").shape == Shape{2, 2});
  CHECK_MESSAGE_OF(file.read("lon"), FormatError, path.string() + ": has no tensor 'lon'");
}

TEST_CASE("safetensors: the bytes of a file by hand, read and written") {
  const TemporaryFolder folder;
  const std::string header =
      R"({"__metadata__":{"a":"b","crc32":"f515465fad689cb5"},"w":{"data_offsets":[0,8],"dtype":"F32","shape":[2]}})";
  const std::string padded = header + std::string((8 - header.size() % 8) % 8, ' ');
  const std::string expected = safetensors_of(padded, elements({1.0f, -2.0f}));
  StateDict state;
  state.insert("w", Tensor::from<float>({2}, {1, -2}));
  write_safetensors(folder / "a.safetensors", state, {{"a", "b"}});
  CHECK(contents(folder / "a.safetensors") == expected);
}

TEST_CASE("safetensors: no flipped bit goes unnoticed") {
  const TemporaryFolder folder;
  const StateDict state = one_of_each_type();
  const Metadata metadata{{"epoch", "3"}, {"note", "\"quoted\"\n\xC3\xA9"}};
  const auto path = folder / "a.safetensors";
  write_safetensors(path, state, metadata);
  CHECK(SafetensorsFile(path).has_checksums());
  const std::string whole = contents(path);
  int unnoticed = 0;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 1 << at % 8);
    try {
      const SafetensorsFile file(folder.file("b.safetensors", damaged));
      const StateDict read = file.read_all();
      // In the name of the checksums' entry, or from small to capital hexadecimal digits: the tensors are
      // whole.
      for (const auto& [name, tensor] : state) CHECK(identical(tensor, read.at(name)));
      ++unnoticed;
    } catch (const FormatError& error) {
      CHECK(std::string_view(error.what()).starts_with((folder / "b.safetensors").string() + ": "));
    }
  }
  CHECK(unnoticed <= 12);
}

TEST_CASE("safetensors: errors name what is damaged") {
  const TemporaryFolder folder;
  StateDict state;
  state.insert("w", Tensor::from<float>({2}, {1, -2}));
  state.insert("v", Tensor::from<float>({1}, {3}));
  const auto path = folder / "a.safetensors";
  write_safetensors(path, state, {{"a", "b"}});
  const std::string whole = contents(path);
  const auto changed = [&](const std::string& before, const std::string& after) {
    std::string text = whole.substr(8);
    REQUIRE(text.find(before) != std::string::npos);
    std::uint64_t length = 0;
    std::memcpy(&length, whole.data(), sizeof length);
    length += after.size() - before.size();
    return folder.file("a.safetensors",
                       little(length) + text.replace(text.find(before), before.size(), after));
  };
  const SafetensorsFile file(changed(little(-2.0f), little(2.0f)));
  CHECK(identical(file.read("v"), state.at("v")));
  const std::string name = path.string();
  CHECK_MESSAGE_OF(file.read("w"), FormatError,
                   name + ": tensor 'w' is damaged: its checksum does not match ('crc32' in the metadata)");
  CHECK_MESSAGE_OF(SafetensorsFile(changed(R"("w":{)", R"("x":{)")).read("x"), FormatError,
                   name + ": tensor 'x' is damaged: its checksum does not match ('crc32' in the metadata)");
  CHECK_MESSAGE_OF(SafetensorsFile(changed(R"("a":"b")", R"("a":"c")")), FormatError,
                   name + ": is damaged: the checksum of its metadata does not match");
  CHECK_MESSAGE_OF(SafetensorsFile(changed(R"("crc32":")", R"("crc32":"z)")), FormatError,
                   name + ": is damaged: its checksums are not hexadecimal");
  CHECK_MESSAGE_OF(SafetensorsFile(changed(R"("crc32":")", R"("crc32":"01234567)")), FormatError,
                   name +
                       ": is damaged, or was changed by a program that kept its checksums ('crc32' in its "
                       "metadata): they are of 3 tensors, and it holds 2");
}

TEST_CASE("safetensors: checksums hold wherever a tensor lies, and files without them are read") {
  const std::string data = elements({1.0f, -2.0f, 3.0f});
  const auto header = [](const std::string& checksums) {
    return R"({"v":{"data_offsets":[8,12],"dtype":"F32","shape":[1]},"w":{"data_offsets":[0,8],"dtype":"F32","shape":[2]},)"
           R"("__metadata__":{"a":"b")" +
           checksums + "}}";
  };
  const TemporaryFolder folder;
  StateDict state;
  state.insert("w", Tensor::from<float>({2}, {1, -2}));
  state.insert("v", Tensor::from<float>({1}, {3}));
  write_safetensors(folder / "a.safetensors", state, {{"a", "b"}});
  const std::string written = contents(folder / "a.safetensors");
  const std::string checksums = written.substr(written.find(",\"crc32\":\""), 10 + 24 + 1);
  const SafetensorsFile moved(folder.file("b.safetensors", safetensors_of(header(checksums), data)));
  CHECK(moved.has_checksums());
  CHECK(identical(moved.read("w"), state.at("w")));
  const SafetensorsFile older(folder.file("c.safetensors", safetensors_of(header(""), data)));
  CHECK(!older.has_checksums());
  CHECK(identical(older.read("v"), state.at("v")));
}

TEST_CASE("safetensors: an empty file of no tensors") {
  const TemporaryFolder folder;
  write_safetensors(folder / "a.safetensors", {});
  CHECK(SafetensorsFile(folder / "a.safetensors").entries().empty());
}

TEST_CASE("safetensors: several threads read at once") {
  const TemporaryFolder folder;
  StateDict state;
  for (int i = 0; i < 8; ++i) {
    state.insert(concat("t", i), Tensor::from<std::int32_t>({1000}, std::vector<std::int32_t>(1000, i)));
  }
  write_safetensors(folder / "a.safetensors", state);
  const SafetensorsFile file(folder / "a.safetensors");
  std::vector<std::thread> threads;
  std::vector<int> wrong(8, -1);
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      int count = 0;
      for (const std::int32_t v : file.read(concat("t", i)).to_vector<std::int32_t>()) count += v != i;
      wrong[static_cast<std::size_t>(i)] = count;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(8, 0));
}

TEST_CASE("safetensors: impossible lengths") {
  const TemporaryFolder folder;
  const auto check = [&](const std::string& bytes, const std::string& message) {
    const auto path = folder.file("x.safetensors", bytes);
    CHECK_MESSAGE_OF(SafetensorsFile(path), FormatError, path.string() + ": " + message);
  };
  check("", "has 0 bytes, too few for the length of a safetensors header");
  check("abc", "has 3 bytes, too few for the length of a safetensors header");
  check(little(std::uint64_t{1} << 60) + "{}",
        "is truncated: a header of 1152921504606846976 bytes, but 2 are left");
  check(little(~std::uint64_t{0}) + "{}",
        "is truncated: a header of 18446744073709551615 bytes, but 2 are left");
  check(little(std::uint64_t{3}) + "{}", "is truncated: a header of 3 bytes, but 2 are left");
}

TEST_CASE("safetensors: a header beyond the format's limit") {
  const TemporaryFolder folder;
  const auto path = folder.file("x.safetensors", little(std::uint64_t{100'000'001}));
  std::filesystem::resize_file(path, 100'000'009);  // sparse
  CHECK_MESSAGE_OF(SafetensorsFile(path), FormatError,
                   path.string() + ": a header of 100000001 bytes, the limit is 100000000");
}

TEST_CASE("safetensors: invalid headers") {
  check_refused("", "", "the header is not valid JSON at byte 1");
  check_refused("{\"a\":", "", "the header is not valid JSON at byte 6");
  check_refused("{} {}", "", "the header is not valid JSON at byte 4");
  check_refused("{\"\xff\":1}", "", "the header is not valid JSON at byte 3");
  check_refused("[]", "", "the header is a list, not an object");
  check_refused("3", "", "the header is 3, not an object");
  check_refused("\"a\"", "", "the header is a string, not an object");
  check_refused(R"({"a":3})", "", "the header has 3 as 'a'");
  check_refused(R"({"a":[]})", "", "the header has a list as 'a'");
  check_refused(R"({"a":null})", "", "the header has null as 'a'");
  check_refused(std::string(100000, '['), "", "the header is a list, not an object");
  check_refused(R"({"__metadata__":{"a":3}})", "", "__metadata__ has 3 as 'a'");
  check_refused(R"({"__metadata__":{"a":{}}})", "", "__metadata__ has an object as 'a'");
  check_refused(R"({"__metadata__":{"a":"b","a":"c"}})", "", "__metadata__ names 'a' twice");
}

TEST_CASE("safetensors: entries that do not describe a tensor") {
  const std::string data(8, '\0');
  check_refused(R"({"a":{}})", data, "tensor 'a' has no 'dtype'");
  check_refused(R"({"a":{"dtype":"F32","data_offsets":[0,8]}})", data, "tensor 'a' has no 'shape'");
  check_refused(R"({"a":{"dtype":"F32","shape":[2]}})", data, "tensor 'a' has no 'data_offsets'");
  check_refused(
      R"({"a":{"dtype":"F4","shape":[8],"data_offsets":[0,8]}})", data,
      "tensor 'a' has the unknown element type 'F4'; known are F64, F32, F16, BF16, I64, I32, U8, BOOL, I8, "
      "I16, U16, U32, F8_E4M3, F8_E5M2, F8_E8M0, U64, C64");
  check_refused(R"({"a":{"dtype":"C64","shape":[2],"data_offsets":[0,8]}})", data,
                "tensor 'a' of shape (2) and type complex64 needs 16 bytes, its offsets give it 8");
  check_refused(R"({"a":{"dtype":3,"shape":[2],"data_offsets":[0,8]}})", data, "tensor 'a' has 3 as 'dtype'");
  check_refused(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", data,
                "tensor 'a' has -2 as 'shape'");
  check_refused(R"({"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", data,
                "tensor 'a' has 2.0 as 'shape'");
  check_refused(R"({"a":{"dtype":"F32","shape":"2","data_offsets":[0,8]}})", data,
                "tensor 'a' has a string as 'shape'");
  check_refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,9]}})", data,
                "tensor 'a' has 3 data_offsets, not two");
  check_refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"more":1}})", data,
                "tensor 'a' has the unknown entry 'more'");
  check_refused(R"({"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})", data,
                "tensor 'a' names 'dtype' twice");
  check_refused(R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,2],"data_offsets":[0,8]}})", data,
                "tensor 'a' has 7 dimensions; at most 6 are supported");
  check_refused(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}})", data,
                "tensor 'a' is larger than any memory");
  check_refused(R"({"a":{"dtype":"F32","shape":[0,18446744073709551615],"data_offsets":[0,0]}})", "",
                "tensor 'a' is larger than any memory");
  check_refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
                    "a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
                data, "the header names 'a' twice");
}

TEST_CASE("safetensors: element types that fer does not have are widened, or left aside by name") {
  const TemporaryFolder folder;
  const auto path =
      folder.file("x.safetensors",
                  safetensors_of(R"({"flags":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]},)"
                                 R"("more":{"dtype":"BOOL","shape":[1],"data_offsets":[3,4]},)"
                                 R"("small":{"dtype":"I8","shape":[2],"data_offsets":[4,6]},)"
                                 R"("short":{"dtype":"I16","shape":[1],"data_offsets":[6,8]},)"
                                 R"("word":{"dtype":"U16","shape":[1],"data_offsets":[8,10]},)"
                                 R"("e4m3":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[10,14]},)"
                                 R"("e5m2":{"dtype":"F8_E5M2","shape":[2],"data_offsets":[14,16]},)"
                                 R"("long":{"dtype":"U32","shape":[1],"data_offsets":[16,20]},)"
                                 R"("none":{"dtype":"I8","shape":[0],"data_offsets":[20,20]},)"
                                 R"("complex":{"dtype":"C64","shape":[],"data_offsets":[20,28]},)"
                                 R"("w":{"dtype":"F32","shape":[1],"data_offsets":[28,32]}})",
                                 std::string("\1\0\7\1\x7f\x80", 6) + elements({std::int16_t{-300}}) +
                                     std::string("\xff\xff\x38\xb8\x01\x7e\x3c\xc0\xff\xff\xff\xff", 12) +
                                     elements({1.0f, 2.0f, 3.0f})));
  const StateFile file = read_state_file(path);
  using Bytes = std::vector<std::uint8_t>;
  using Ints = std::vector<std::int32_t>;
  CHECK(file.tensors.size() == 10);
  CHECK(file.tensors.at("flags").to_vector<std::uint8_t>() == Bytes{1, 0, 1});
  CHECK(file.tensors.at("small").to_vector<std::int32_t>() == Ints{127, -128});
  CHECK(file.tensors.at("short").to_vector<std::int32_t>() == Ints{-300});
  CHECK(file.tensors.at("word").to_vector<std::int32_t>() == Ints{65535});
  CHECK(file.tensors.at("long").to_vector<std::int64_t>() == std::vector<std::int64_t>{4294967295});
  CHECK(file.tensors.at("e4m3").to_vector<float>() == std::vector<float>{1, -1, 0x1p-9f, 448});
  CHECK(file.tensors.at("e5m2").to_vector<float>() == std::vector<float>{1, -2});
  CHECK(file.tensors.at("none").numel() == 0);
  CHECK(file.tensors.at("w").to_vector<float>() == std::vector<float>{3});
  CHECK(file.skipped == std::vector<std::string>{"complex (a tensor of complex64)"});
  CHECK(file.widened == std::vector<std::string>{
                            "2 tensors of bool read as uint8", "2 tensors of int8 read as int32",
                            "1 tensor of int16 read as int32", "1 tensor of uint16 read as int32",
                            "1 tensor of uint32 read as int64", "1 tensor of float8_e4m3fn read as float32",
                            "1 tensor of float8_e5m2 read as float32"});
  CHECK_MESSAGE_OF(SafetensorsFile(path).read("complex"), FormatError,
                   path.string() + ": tensor 'complex' is of complex64, which is not read");
}

TEST_CASE("safetensors: offsets that do not tile the data") {
  const auto entry = [](const char* name, int begin, int end) {
    return concat("\"", name, R"(":{"dtype":"U8","shape":[)", end - begin, R"(],"data_offsets":[)", begin,
                  ",", end, "]}");
  };
  const std::string data(16, '\0');
  check_refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", data,
                "tensor 'a' ends at byte 0, before it begins at 8");
  check_refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,12]}})", data,
                "tensor 'a' of shape (2) and type float32 needs 8 bytes, its offsets give it 12");
  check_refused("{" + entry("a", 0, 10) + "," + entry("b", 8, 16) + "}", data,
                "tensor 'b' begins at byte 8 and overlaps 'a', which ends at 10");
  check_refused("{" + entry("a", 0, 16) + "," + entry("b", 0, 16) + "}", data,
                "tensor 'b' begins at byte 0 and overlaps 'a', which ends at 16");
  check_refused("{" + entry("b", 10, 17) + "," + entry("a", 0, 10) + "}", data,
                "tensor 'b' ends at byte 17 of the data, which has 16");
  check_refused(
      R"({"a":{"dtype":"U8","shape":[16],"data_offsets":[1152921504606846976,1152921504606846992]}})", data,
      "tensor 'a' ends at byte 1152921504606846992 of the data, which has 16");
  check_refused("{" + entry("a", 0, 8) + "," + entry("b", 12, 16) + "}", data,
                "bytes 8 to 12 of the data belong to no tensor");
  check_refused("{" + entry("a", 4, 16) + "}", data, "bytes 0 to 4 of the data belong to no tensor");
  check_refused("{" + entry("a", 0, 12) + "}", data, "bytes 12 to 16 of the data belong to no tensor");
  check_refused("{}", data, "bytes 0 to 16 of the data belong to no tensor");
}

TEST_CASE("safetensors: files that cannot be opened or written") {
  const TemporaryFolder folder;
  CHECK_MESSAGE_OF(SafetensorsFile(folder / "none"), IoError,
                   concat("cannot read '", (folder / "none").string(), "': No such file or directory"));
  CHECK_MESSAGE_OF(SafetensorsFile(folder.path()), IoError,
                   concat("cannot read '", folder.path().string(), "': Is a directory"));
  StateDict reserved;
  reserved.insert("__metadata__", Tensor::scalar(1));
  const auto path = folder / "a.safetensors";
  CHECK_MESSAGE_OF(write_safetensors(path, reserved), FormatError,
                   path.string() + ": a tensor cannot be called '__metadata__'");
  CHECK_MESSAGE_OF(write_safetensors(path, {}, {{"a", "\xff"}}), FormatError,
                   path.string() + ": the name of a tensor or the metadata is not UTF-8");
  CHECK(folder.names().empty());
}

}  // namespace
}  // namespace fer::test
