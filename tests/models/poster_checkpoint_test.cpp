// POSTER's checkpoints: as its authors publish them, made byte by byte, and as fer writes them.
#include <map>

#include "fer/formats/matching.h"
#include "fer/models/known_networks.h"
#include "fer/models/poster.h"
#include "tests/formats/format_test.h"
#include "tests/models/reference_fill.h"

namespace fer {
namespace {

using test::fill_as_reference;
using test::filled;

/// The pickle operations of a float tensor with the record that holds its values.
struct StoredTensor {
  std::string operations, bytes;
};
StoredTensor stored(const Tensor& tensor, const std::string& key) {
  std::string size = "(", stride = "(";
  std::int64_t step = tensor.numel();
  for (int i = 0; i < tensor.rank(); ++i) {
    step /= tensor.dim(i);
    size += test::py_int(tensor.dim(i));
    stride += test::py_int(step);
  }
  const std::string storage = test::py_storage("FloatStorage", key, tensor.numel());
  const std::string operations = test::py_global("torch._utils", "_rebuild_tensor_v2") +
                                 test::py_tuple({storage, test::py_int(0), size + "t", stride + "t", "\x89",
                                                 test::py_global("collections", "OrderedDict") + ")R"}) +
                                 "R";
  return {operations, std::string(static_cast<const char*>(tensor.raw()), tensor.bytes())};
}

/// What the authors' training saves: {iter, model_state_dict, optimizer_state_dict}, from a network in
/// DataParallel, whose batch norms count their batches; and in some files a meter of their own class.
std::string published(const StateDict& state) {
  std::string items;
  test::Records storages;
  const auto put = [&](const std::string& name, const std::string& value) {
    items += test::py_text("module." + name) + value;
  };
  for (const auto& [name, tensor] : state) {
    const std::string key = std::to_string(storages.size());
    const StoredTensor made = stored(to_pytorch_layout(tensor), key);
    storages.emplace_back(key, made.bytes);
    put(name, made.operations);
    if (name.ends_with("running_var")) {
      const std::string counter = std::to_string(storages.size());
      storages.emplace_back(counter, test::little(std::int64_t{12}));
      put(name.substr(0, name.size() - 11) + "num_batches_tracked",
          test::py_tensor(test::py_storage("LongStorage", counter, 1), 0, {}, {}));
    }
  }
  const std::string meter = test::py_global("__main__", "RecorderMeter") + ")\x81" +
                            test::py_dict({{"total_epoch", test::py_int(300)}}) + "b";
  return test::zip_checkpoint(
      test::py_dict(
          {{"iter", test::py_int(41)},
           {"model_state_dict", test::py_global("collections", "OrderedDict") + ")R(" + items + "u"},
           {"optimizer_state_dict", test::py_dict({{"state", "}"}, {"param_groups", "]"}})},
           {"recorder", meter}}),
      storages);
}

TEST_CASE("poster: a checkpoint as its authors publish them loads whole, and with the unused left aside") {
  const test::TemporaryFolder folder;
  Poster authors(tiny_poster());
  fill_as_reference(authors, "published/");
  const auto path = folder.file("rafdb_best.pth", published(authors.state_dict()));
  KnownNetworks known;
  const StateFile file = read_known_state(path, {}, &known);
  REQUIRE(known.shares.size() == 1);
  CHECK(known.shares[0].title == "POSTER");
  CHECK(known.unknown.empty());
  const Variable x(filled("image", {1, 64, 64, 3}).to(DType::float32));
  authors.eval();
  for (const bool unused : {true, false}) {
    PosterConfig config = tiny_poster();
    config.unused = unused;
    Poster model = uninitialised<Poster>(config);
    const MatchReport report = match(shapes_of(model.state_dict()), shapes_of(file.tensors), poster_names());
    CHECK(report.complete());
    std::map<std::string, int> reasons;
    for (const MatchReport::Aside& aside : report.left_aside) ++reasons[aside.reason];
    CHECK(reasons["a counter that no result depends on"] > 10);
    CHECK(reasons["the embedding layer of IR50"] == (unused ? 0 : 10));
    CHECK(reasons["a class token that no result depends on"] == (unused ? 0 : 1));
    CHECK(reasons.size() == 3);
    model.load_state_dict(matched_tensors(report, file.tensors));
    model.eval();
    CHECK(test::identical(model(x).scores.value(), authors(x).scores.value()));
  }
}

TEST_CASE("poster: a file that fer writes reads back, in PyTorch's names and shapes") {
  const test::TemporaryFolder folder;
  Poster model(tiny_poster());
  fill_as_reference(model, "written/");
  for (const char* name : {"poster.safetensors", "poster.pth"}) {
    const auto path = folder / name;
    save_state_dict(path, model.state_dict());
    LoadOptions as_in_the_file;
    as_in_the_file.from_pytorch_layout = false;
    const StateFile as_it_is = read_state_file(path, as_in_the_file);
    CHECK(as_it_is.tensors.find("pyramid_fuse.downsample_s.weight")->shape() == Shape{10, 10, 4});
    CHECK(as_it_is.tensors.find("ir_back.body.1.res_layer.1.weight")->shape() == Shape{12, 8, 3, 3});
    Poster copy = uninitialised<Poster>(tiny_poster());
    copy.load_state_dict(load_state_dict(path));
    const StateDict a = model.state_dict(), b = copy.state_dict();
    for (const auto& [tensor_name, tensor] : a) {
      CHECK_MESSAGE(test::identical(tensor, *b.find(tensor_name)), tensor_name);
    }
  }
}

}  // namespace
}  // namespace fer
