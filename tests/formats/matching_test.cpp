// Matching the names of other projects with fer's: IR50, whole and split, MobileFaceNet under all its
// prefixes, and the report of what matched, what was left aside and what is missing.
#include "fer/formats/matching.h"

#include "tests/formats/format_test.h"

namespace fer::test {
namespace {

std::vector<NamedShape> named(std::initializer_list<const char*> names, const Shape& shape = {2}) {
  std::vector<NamedShape> made;
  for (const char* name : names) made.push_back({name, shape});
  return made;
}

std::vector<std::string> held_names(const MatchReport& report) {
  std::vector<std::string> names;
  for (const auto& pair : report.matched) names.push_back(pair.held);
  return names;
}

TEST_CASE("matching: IR50 as published, with its fourth stage and embedding left aside") {
  const auto wanted = named({"input_layer.0.weight", "body.20.res_layer.4.bias"});
  const auto held = named({"input_layer.0.weight", "body.20.res_layer.4.bias", "body.21.res_layer.0.weight",
                           "output_layer.3.weight", "input_layer.1.num_batches_tracked"});
  const MatchReport report = match(wanted, held, ir50_names());
  CHECK(report.complete());
  CHECK(report.text() ==
        "image backbone (IR50): 2 tensors matched, 3 left aside\n"
        "  left aside (the fourth stage of IR50, which FERNet cuts off): body.21.res_layer.0.weight\n"
        "  left aside (the embedding layer of IR50): output_layer.3.weight\n"
        "  left aside (a counter that no result depends on): input_layer.1.num_batches_tracked\n");
}

TEST_CASE("matching: POSTER V2 splits the body into three") {
  const auto wanted = named({"body.0.a", "body.2.a", "body.3.a", "body.6.a", "body.7.a", "body.20.a"});
  const auto held = named({"ir_back.body1.0.a", "ir_back.body1.2.a", "ir_back.body2.0.a", "ir_back.body2.3.a",
                           "ir_back.body3.0.a", "ir_back.body3.13.a"});
  const MatchReport report = match(wanted, held, ir50_names());
  CHECK(report.complete());
  CHECK(held_names(report) == std::vector<std::string>{"ir_back.body1.0.a", "ir_back.body1.2.a",
                                                       "ir_back.body2.0.a", "ir_back.body2.3.a",
                                                       "ir_back.body3.0.a", "ir_back.body3.13.a"});
}

TEST_CASE("matching: IR-SE computes something else and is refused") {
  CHECK_MESSAGE_OF(
      match({}, named({"body.0.res_layer.5.fc1.weight"}), ir50_names()), FormatError,
      "the file: 'body.0.res_layer.5.fc1.weight': this is IR-SE, whose units have a gate that IR50 lacks");
}

TEST_CASE("matching: MobileFaceNet under the prefixes of POSTER and of FERNet") {
  for (const char* prefix : {"", "face_landback.", "landmark_backbone."}) {
    std::vector<NamedShape> held =
        named({"conv1.conv.weight", "conv_45.conv.bn.bias", "output_layer.bn.bias"});
    for (NamedShape& h : held) h.name = prefix + h.name;
    const MatchReport report = match(named({"conv1.conv.weight"}), held, mobilefacenet_names());
    CHECK(report.complete());
    CHECK(report.left_aside.size() == 2);
    CHECK(report.left_aside[0].reason == "the landmark head, behind the 14 x 14 map");
  }
}

TEST_CASE("matching: reports missing tensors, other shapes and unknown names") {
  std::vector<NamedShape> held = named({"a", "extra"});
  held.push_back({"b", {3}});
  const MatchReport report = match(named({"a", "b", "c"}), held);
  CHECK(!report.complete());
  CHECK(report.text() ==
        "weights: 1 tensors matched, 1 missing, 1 of another shape, 1 left aside\n"
        "  left aside (not known to this model): extra\n"
        "  missing: c\n"
        "  b has shape (3), the model needs (2)\n");
  CHECK_MESSAGE_OF(report.require_complete("x.pth"), ShapeError,
                   "x.pth: 1 tensor has another shape:\n  'b' has shape (3), 'b' needs (2)");
  CHECK_MESSAGE_OF(match(named({"a", "c"}), named({"a"})).require_complete("x.pth"), FormatError,
                   "x.pth: 1 tensor is missing:\n  'c'");
  CHECK_MESSAGE_OF(
      match(named({"a", "c", "d"}), held).require_complete("x.pth"), FormatError,
      "x.pth: 2 tensors are missing:\n  'c', 'd'\n  the file has, unknown to the model: 'extra', 'b'");
}

TEST_CASE("matching: messages show ten names and a count") {
  std::vector<NamedShape> wanted, narrow;
  for (int i = 0; i < 395; ++i) {
    wanted.push_back({concat("w", i), {2}});
    narrow.push_back({concat("w", i), {1}});
  }
  CHECK_MESSAGE_OF(
      match(wanted, {}).require_complete("x.pth"), FormatError,
      "x.pth: 395 tensors are missing:\n  'w0', 'w1', 'w2', 'w3', 'w4', 'w5', 'w6', 'w7', 'w8', 'w9' and "
      "385 more");
  std::string lines = "x.pth: 395 tensors have another shape:";
  for (int i = 0; i < 10; ++i) lines += concat("\n  'w", i, "' has shape (1), 'w", i, "' needs (2)");
  CHECK_MESSAGE_OF(match(wanted, narrow).require_complete("x.pth"), ShapeError, lines + "\n  and 385 more");
  CHECK(match({}, wanted).text() ==
        "weights: 0 tensors matched, 395 left aside\n"
        "  left aside (not known to this model): w0, w1, w2, w3, w4, w5, w6, w7, w8, w9 and 385 more\n");
}

TEST_CASE("matching: wrappers' prefixes are taken off where a name fits without them") {
  const auto wanted = named({"conv.weight", "stage.model.0.weight", "bn.running_mean"});
  const auto held = named({"module.model.conv.weight", "net.stage.module.model.0._orig_mod.weight",
                           "module.bn.running_mean", "module.bn.num_batches_tracked", "model.extra"});
  const MatchReport report = match(wanted, held);
  CHECK(report.complete());
  CHECK(report.text() ==
        "weights: 3 tensors matched, 2 left aside\n"
        "  removed: 'module.model.' from 1 name, 'net.module._orig_mod.' from 1 name, 'module.' from 2 "
        "names\n"
        "  left aside (a counter that no result depends on): module.bn.num_batches_tracked\n"
        "  left aside (not known to this model): model.extra\n");
  CHECK_MESSAGE_OF(match(wanted, named({"conv.weight", "module.conv.weight"})), FormatError,
                   "the file: 'module.conv.weight' and 'conv.weight' both mean 'conv.weight'");
  // A tensor that is refused is also refused under a wrapper's prefix.
  CHECK_MESSAGE_OF(match({}, named({"module.body.0.res_layer.5.fc1.weight"}), ir50_names(), "x.pth"),
                   FormatError,
                   "x.pth: 'module.body.0.res_layer.5.fc1.weight': this is IR-SE, whose units have a gate "
                   "that IR50 lacks");
  std::string hostile;
  for (int i = 0; i < 100; ++i) hostile += "module.";
  CHECK(match(wanted, std::vector<NamedShape>{{hostile + "conv.weight", {2}}}).matched.empty());
}

TEST_CASE("matching: prefixes are removed from a file's names if the network is known") {
  const KnownName known = [](const std::string& name) { return name == "a" || name == "b" || name == "c"; };
  const auto freed = [&known](std::initializer_list<const char*> names) {
    StateFile file;
    for (const char* name : names) file.tensors.insert(name, Tensor::zeros({1}));
    free_names(file, known, "x.pth");
    std::vector<std::string> after;
    for (const auto& [name, tensor] : file.tensors) after.push_back(name);
    return std::pair(after, file.taken_off);
  };
  using Names = std::vector<std::string>;
  using Off = std::vector<TakenOff>;
  CHECK(freed({"model.a", "model.x"}) == std::pair(Names{"a", "x"}, Off{{"model.", 2}}));
  CHECK(freed({"module.a", "b", "model.net.c"}) ==
        std::pair(Names{"a", "b", "c"}, Off{{"module.", 1}, {"model.net.", 1}}));
  CHECK(freed({"model.a", "model.x", "model.y", "model.z"}).second.empty());
  CHECK(freed({"a", "model.x"}).second.empty());
  StateFile file;
  for (const char* name : {"a", "b", "module.a"}) file.tensors.insert(name, Tensor::zeros({1}));
  CHECK_MESSAGE_OF(free_names(file, known, "x.pth"), FormatError,
                   "x.pth: 'module.a' and 'a' both become 'a' without their prefixes");
}

TEST_CASE("matching: two names that become one are refused") {
  CHECK_MESSAGE_OF(match(named({"a"}), named({"a", "backbone.a"}), ir50_names(), "x.pth"), FormatError,
                   "x.pth: 'backbone.a' and 'a' both mean 'a'");
}

TEST_CASE("matching: a hostile name is a name that nobody knows") {
  const std::string long_name = "body." + std::string(1 << 20, '9') + ".res_layer";
  const std::vector<NamedShape> held{{long_name, {1}}};
  CHECK(match({}, held, ir50_names()).left_aside.size() == 1);
}

TEST_CASE("matching: rules") {
  CHECK(*rename_prefix("a.", "b.")("a.c") == "b.c");
  CHECK(!rename_prefix("a.", "b.")("b.a.c"));
  CHECK(*rename_regex("net\\.(.*)", "body.$1")("net.0") == "body.0");
  CHECK(!rename_regex("net", "body")("net.0"));
  CHECK(*renumber("body2", "body", 3)("body2.1.w") == "body.4.w");
  CHECK(!renumber("body2", "body", 3)("body2.x.w"));
  CHECK(!renumber("body2", "body", 3)("body20.1.w"));
}

}  // namespace
}  // namespace fer::test
