// PyTorch checkpoints that are refused, each with its exact message: malformed pickles, tensors outside of
// their storages, damaged containers, and files cut at any byte.
#include <limits>

#include "fer/formats/state_dict.h"
#include "tests/formats/format_test.h"

namespace fer::test {
namespace {

/// Checks the message for a zip checkpoint, called x.pth, whose pickle consists of these operations.
void check_refused(const std::string& ops, const std::string& message, const Records& storages = {}) {
  CHECK_MESSAGE_OF(read_value(ops, storages), FormatError, "x.pth: " + message);
}

void check_bytes_refused(const std::string& bytes, const std::string& message) {
  CHECK_MESSAGE_OF(read_pytorch(bytes_of(bytes), "x.pth"), FormatError, "x.pth: " + message);
}

TEST_CASE("pytorch: unknown operations") {
  check_refused("\x99", "the pickle has the unknown operation 153 at byte 2");
  check_refused("\x80\x09N", "the pickle has protocol 9, not 0 to 5, at byte 2");
  check_refused("I1x\n", "the pickle has no integer of at most 300 digits at byte 2");
  check_refused("I" + std::string(301, '1') + "\n",
                "the pickle has no integer of at most 300 digits at byte 2");
  check_refused("Fx\n", "the pickle has no number at byte 2");
  check_refused("Sabc\n", "the pickle has a text without its quotes at byte 2");
  check_refused("gx\n", "the pickle has no number of a memo at byte 2");
}

TEST_CASE("pytorch: a stack that does not hold what an operation takes") {
  const std::string empty = "the pickle takes a value from an empty stack at byte ";
  check_refused("", "the pickle ends with 0 values instead of one at byte 2");
  check_refused("NN", "the pickle ends with 2 values instead of one at byte 4");
  check_refused("(N", "the pickle ends with 1 values instead of one at byte 4");
  check_refused("0", empty + "2");
  check_refused("N\x86", empty + "3");
  check_refused("N(R", empty + "4");
  check_refused("Nt", "the pickle gathers values without a mark at byte 3");
  check_refused("h\1", "the pickle recalls value 1, which it never stored, at byte 2");
  check_refused("q\1", empty + "2");
  check_refused("}(K\1u", "the pickle has a dictionary key without a value at byte 6");
  check_refused("(K\1d", "the pickle has a dictionary key without a value at byte 5");
  check_refused("]K\1K\1s", "the pickle adds items to something that is not a dictionary at byte 7");
  check_refused("}K\1a", "the pickle adds items to something that is not a list at byte 5");
}

TEST_CASE("pytorch: calls that cannot be made") {
  check_refused("N)R", "the pickle calls something that is not a function at byte 4");
  const std::string dict = py_global("collections", "OrderedDict");
  const auto after = [](const std::string& ops) { return " at byte " + std::to_string(2 + ops.size()); };
  check_refused(dict + "NR",
                "the pickle calls collections.OrderedDict without a tuple of arguments" + after(dict + "N"));
  check_refused(dict + "K\1\x85R",
                "the pickle calls OrderedDict without a list of pairs" + after(dict + "K\1\x85"));
  const std::string type = py_global("torch", "float32");
  check_refused(type + ")R", "the pickle calls torch.float32, which is not a function," + after(type + ")"));
  const std::string rebuild = py_global("torch._utils", "_rebuild_tensor_v2");
  check_refused(rebuild + ")R",
                "the pickle calls torch._utils._rebuild_tensor_v2 with 0 arguments" + after(rebuild + ")"));
  check_refused("N}b", "the pickle sets attributes of something that has none at byte 4");
  check_refused("N)\x81", "the pickle makes an object of something that is not a class at byte 4");
  check_refused(dict + "N\x81",
                "the pickle makes an object without a tuple of arguments" + after(dict + "N"));
  check_refused("(No", "the pickle makes an object of something that is not a class at byte 4");
}

TEST_CASE("pytorch: a tensor that reaches beyond its storage") {
  const Records storages{{"0", elements({1.f, 2.f, 3.f, 4.f})}};
  const auto refused = [&](std::int64_t offset, std::initializer_list<std::int64_t> size,
                           std::initializer_list<std::int64_t> stride, const std::string& message) {
    check_refused(py_dict({{"w", py_tensor(py_storage("FloatStorage", "0", 4), offset, size, stride)}}),
                  "tensor 'w'" + message, storages);
  };
  refused(1, {2, 2}, {2, 1}, " of shape (2, 2) at element 1 reaches beyond the 4 elements of its storage");
  refused(-1, {2}, {1}, " of shape (2) at element -1 reaches beyond the 4 elements of its storage");
  refused(0, {2}, {4}, " of shape (2) at element 0 reaches beyond the 4 elements of its storage");
  refused(std::numeric_limits<std::int64_t>::max(), {2}, {1},
          " of shape (2) at element 9223372036854775807 reaches beyond the 4 elements of its storage");
  refused(0, {3, 3}, {std::numeric_limits<std::int64_t>::max(), 1}, " reaches beyond any memory");
  refused(0, {-2}, {1}, " has the negative extent -2");
  refused(0, {2}, {-1}, " has the negative stride -1");
  refused(0, {1 << 30, 1 << 30}, {0, 0}, " is larger than any memory");
  refused(0, {1 << 20, 1 << 20}, {0, 0},
          " of shape (1048576, 1048576) would expand to far more memory than the file has");
  refused(0, {1, 1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1, 1},
          concat(" has 9 dimensions; at most ", Shape::max_rank, " are supported"));
  check_refused(py_dict({{"w", py_floats("0", 5)}}),
                "tensor 'w' needs the 5 elements of the storage '0', which has 16 bytes", storages);
  check_refused(py_dict({{"w", py_floats("1", 4)}}), "has no record 'model/data/1'", storages);
  check_refused(py_dict({{"w", py_tensor(py_storage("FloatStorage", "0", 4), 0, {4}, {1})},
                         {"v", py_tensor(py_storage("IntStorage", "0", 4), 0, {4}, {1})}}),
                "tensor 'v' takes the storage '0' as int32, another tensor took it as float32", storages);
}

TEST_CASE("pytorch: short programs that ask for endless work or memory") {
  // Lists of ten references each to the level below: 10^9 values in 60 bytes.
  std::string bomb = "K\1";
  for (int level = 0; level < 9; ++level)
    bomb = "(" + bomb + "q\1" + std::string("h\1h\1h\1h\1h\1h\1h\1h\1h\1", 18) + "l";
  CHECK_THROWS_AS(read_value(bomb), FormatError);
  std::string deep(300, ']');
  check_refused(deep + std::string(299, 'a'), "values nest deeper than 256 levels");
  // A name of a megabyte, called a thousand times, is copied nowhere.
  std::string calls = py_global("m", std::string(1 << 20, 'n')) + "q\1](";
  for (int i = 0; i < 1000; ++i) calls += "h\1)R";
  CHECK(read_value(calls + "e\x86").elements()[1].elements().size() == 1000);
  check_refused("]" + std::string("(h\1", 0) + "}(" + py_text("a") + "N" + py_text("a") + "Nua",
                "the key '0.a' occurs twice");
}

TEST_CASE("pytorch: zip archives that are not checkpoints") {
  const Records good{{"m/data.pkl", pickle("}")}, {"m/byteorder", "little"}, {"m/version", "3\n"}};
  CHECK(read_pytorch(bytes_of(zip_of(good)), "x.pth").root.items().empty());
  check_bytes_refused(zip_of({{"m/other", "x"}}),
                      "is a zip archive without data.pkl, not a PyTorch checkpoint");
  check_bytes_refused(zip_of({{"a.npy", "x"}}), "is a NumPy archive (.npz), not a PyTorch checkpoint");
  check_bytes_refused(zip_of({{"best/model.pth", "x"}}),
                      "is a zip archive with a checkpoint in it; unpack it first");
  check_bytes_refused(zip_of({{"m/archive_format", "pt2"}}),
                      "is a program of torch.export; save the state_dict() of the module instead");
  check_bytes_refused(zip_of({{"a/data.pkl", pickle("}")}, {"b/data.pkl", pickle("}")}}),
                      "holds two checkpoints, 'a/' and 'b/data.pkl'");
  check_bytes_refused(zip_of({{"m/data.pkl", pickle("}")}, {"m/constants.pkl", "x"}}),
                      "is a TorchScript program; save the state_dict() of the module instead");
  check_bytes_refused(zip_of({{"m/data.pkl", pickle("}")}, {"m/byteorder", "big"}}),
                      "was written in big-endian byte order; only little-endian is read");
  check_bytes_refused(zip_of({{"m/data.pkl", pickle("}") + "more"}}), "the pickle is followed by 4 bytes");
  check_bytes_refused(zip_of({{"m/data.pkl", pickle("}")}, {"m/data.pkl", pickle("}")}}),
                      "the record 'm/data.pkl' occurs twice");
}

TEST_CASE("pytorch: a damaged byte of a storage is found by its checksum") {
  std::string bytes = zip_checkpoint(py_dict({{"w", py_floats("0", 2)}}), {{"0", elements({1.f, 2.f})}});
  const std::size_t at = bytes.find(elements({1.f, 2.f}));
  REQUIRE(at != std::string::npos);
  bytes[at + 3] = static_cast<char>(bytes[at + 3] ^ 1);
  check_bytes_refused(bytes, "the record 'model/data/0' is damaged: CRC error");
}

TEST_CASE("pytorch: legacy files that are not what torch.save writes") {
  const std::string value = py_dict({{"w", py_floats("0", 1)}});
  const std::vector<LegacyStorage> storages{{"0", 1, elements({1.f})}};
  check_bytes_refused(pickle("K\1") + "more",
                      "is a pickle, but not one that torch.save wrote: 4 bytes follow it");
  check_bytes_refused(pickle(value), "is a pickle without the storages of its tensors ('0')");
  check_bytes_refused(legacy_checkpoint(value, storages, false),
                      "was written in big-endian byte order; only little-endian is read");
  check_bytes_refused(legacy_checkpoint(value, storages) + "xyz", "has 3 bytes after its last storage");
  CHECK_MESSAGE_OF(read_pytorch(bytes_of("no checkpoint at all"), "x.pth"), FormatError,
                   "x.pth: is neither safetensors nor a PyTorch checkpoint");
  check_bytes_refused("", "is empty");
  check_bytes_refused("version https://git-lfs.github.com/spec/v1\n",
                      "is a pointer of Git LFS, not the file itself; 'git lfs pull' fetches it");
  check_bytes_refused("<!DOCTYPE html><html>", "is a page of HTML or XML, as a failed download leaves it");
  check_bytes_refused("\x1f\x8b\x08", "is compressed with gzip; unpack it first");
  check_bytes_refused("\x89HDF\r\n", "is an HDF5 file, as Keras writes it, not a PyTorch checkpoint");
  check_bytes_refused("\x93NUMPY\1", "is a NumPy array (.npy), not a PyTorch checkpoint");
}

/// Checks that every proper prefix of `whole` is refused, with a message that names the file.
void check_every_cut(const std::string& whole) {
  for (std::size_t length = 0; length < whole.size(); ++length) {
    try {
      read_pytorch(bytes_of(whole).first(length), "x.pth");
      FAIL_CHECK("accepted when cut to ", length, " of ", whole.size(), " bytes");
    } catch (const FormatError& error) {
      CHECK(std::string(error.what()).starts_with("x.pth: "));
    }
  }
}

TEST_CASE("pytorch: a checkpoint cut at any byte is refused") {
  const std::string value =
      py_dict({{"w", py_tensor(py_storage("FloatStorage", "0", 6), 0, {3, 2}, {1, 3})}, {"n", py_int(5)}});
  const std::string data = elements({1.f, 2.f, 3.f, 4.f, 5.f, 6.f});
  check_every_cut(zip_checkpoint(value, {{"0", data}}));
  check_every_cut(legacy_checkpoint(value, {{"0", 6, data}}));
}

TEST_CASE("pytorch: a file cut at any byte is refused by the reader of state dictionaries") {
  const TemporaryFolder folder;
  StateDict state;
  state.insert("w", Tensor::from<float>({2, 2}, {1, 2, 3, 4}));
  for (const char* name : {"a.pth", "a.safetensors"}) {
    save_state_dict(folder / name, state);
    const std::string whole = contents(folder / name);
    for (std::size_t length = 0; length < whole.size(); ++length) {
      const auto path = folder.file(concat("cut-", name), whole.substr(0, length));
      CHECK_THROWS_AS(load_state_dict(path), FormatError);
    }
  }
}

}  // namespace
}  // namespace fer::test
