// Wrong input to the program: the exact message, the exit code, and no partly written files.
#include <doctest/doctest.h>

#include <cstring>

#include "app/program.h"
#include "fer/formats/state_dict.h"

using app_test::Folder;
using app_test::Result;
using app_test::run;
namespace fs = app_test::fs;

namespace {

/// Checks that the program exits with `code`, prints exactly this message, and no result.
void check_error(const Result& result, const std::string& message, int code = 1) {
  CHECK(result.err == "fer: " + message + "\n");
  CHECK(result.code == code);
  CHECK(result.out.empty());
}

/// Checks that training on a data set in `folder` ends with this message and creates no run folder.
void check_no_run(const Folder& folder, const std::string& dataset, const std::string& message,
                  int code = 1) {
  const Result result = run({"train", "--dataset", dataset, "--data", folder / "data", "--preset", "tiny",
                             "--validation", "0", "--run-dir", folder / "run"});
  check_error(result, message, code);
  CHECK(!fs::exists(folder / "run"));
}

void write(const std::string& path, const std::string& bytes) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

/// A safetensors file of this header and data.
void write_safetensors_bytes(const std::string& path, std::string header, const std::string& data,
                             std::uint64_t length = 0) {
  if (length == 0) length = header.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  write(path, bytes + header + data);
}

/// A small trained network, made once for all tests of this file.
const Folder& trained() {
  static const Folder folder("bad_input_run");
  if (!fs::exists(folder / "run")) {
    auto arguments = app_test::short_training(folder / "run");
    arguments.insert(arguments.end(), {"--max-steps", "2"});
    const Result result = run(arguments);
    REQUIRE_MESSAGE(result.code == 0, result.err);
  }
  return folder;
}

}  // namespace

TEST_CASE("bad input: folders and files that are not there") {
  const Folder folder("missing");
  check_no_run(folder, "rafdb", "data set 'rafdb': the folder '" + (folder / "data") + "' does not exist");
  check_error(run({"eval", "--weights", folder / "none.safetensors"}),
              "cannot read '" + (folder / "none.safetensors") + "': No such file or directory");
  check_error(run({"train", "--config", folder / "none.json"}),
              "cannot read '" + (folder / "none.json") + "': No such file or directory");
  check_error(run({"predict", "--weights", trained() / "run/best.safetensors", folder / "none.png"}),
              "'" + (folder / "none.png") + "' does not exist");
  check_error(run({"train", "--landmarks", folder / "none.pth", "--run-dir", folder / "run", "--quiet"}),
              "cannot read '" + (folder / "none.pth") + "': No such file or directory");
}

TEST_CASE("bad input: weights to start in are matched before anything is trained or written") {
  const Folder folder("start");
  const std::string other = trained() / "run/landmarks-best.safetensors";
  for (const auto& [flag, message] :
       {std::pair<std::string, std::string>{"--image-backbone", other + ": "},
        {"--vit", other + ": not a vision transformer of timm's: 'blocks.0.attn.qkv.weight' is missing\n"},
        {"--landmarks", folder / "none.pth"}}) {
    const std::string file = flag == "--landmarks" ? message : other;
    for (const std::vector<std::string>& command :
         {std::vector<std::string>{"train", "--run-dir"}, {"ablate", "modules", "--out"}}) {
      auto arguments = command;
      arguments.insert(arguments.end(), {folder / "run", "--preset", "tiny", flag, file});
      const Result result = run(arguments);
      CHECK(result.code == 1);
      CHECK_MESSAGE(result.err.starts_with("fer: "), result.err);
      CHECK_MESSAGE(result.err.find(message) != std::string::npos, result.err);
      CHECK(!fs::exists(folder / "run"));
    }
  }
  const Result data = run({"ablate", "modules", "--dataset", "rafdb", "--data", folder / "none", "--preset",
                           "tiny", "--out", folder / "run"});
  check_error(data, "data set 'rafdb': the folder '" + (folder / "none") + "' does not exist");
  CHECK(!fs::exists(folder / "run"));
}

TEST_CASE("bad input: data sets") {
  const Folder folder("data");
  SUBCASE("an empty class") {
    write(folder / "data/train/happy/a.png", "");
    fs::create_directories(folder / "data/train/sad");
    check_no_run(folder, "folder", "data set 'folder': the test part has no samples");
  }
  SUBCASE("a label out of range") {
    fs::create_directories(folder / "data/Image/aligned");
    write(folder / "data/EmoLabel/list_patition_label.txt", "train_00001.jpg 9\n");
    check_no_run(
        folder, "rafdb",
        (folder / "data/EmoLabel/list_patition_label.txt") + ":1: the label must be 1 to 7, got '9'");
  }
  SUBCASE("no neutral class for a loss that needs one, which is said before anything is trained") {
    const std::string sheet = folder / "sheet.png";
    REQUIRE(run({"faces", "--sheet", sheet, "--identities", "1", "--per-identity", "1"}).code == 0);
    for (const char* path : {"data/train/happy/a.png", "data/test/happy/a.png"})
      write(folder / path, app_test::read_all(sheet));
    check_no_run(folder, "folder",
                 "the NeAA loss needs the label of the neutral class; a data set without one can use the "
                 "auxiliary loss 'anchor' or 'none'",
                 2);
  }
  SUBCASE("a row of the csv file with 2303 pixels") {
    std::string pixels = "0";
    for (int i = 1; i < 2303; ++i) pixels += " 0";
    write(folder / "data/fer2013.csv", "emotion,pixels,Usage\n3," + pixels + ",Training\n");
    check_no_run(folder, "fer2013", (folder / "data/fer2013.csv") + ":2: expected 2304 pixels, got 2303");
  }
}

TEST_CASE("bad input: a truncated JPEG stops a training and is named; predict goes on with the others") {
  const Folder folder("jpeg");
  REQUIRE(run({"faces", "--sheet", folder / "whole.jpg", "--identities", "1", "--per-identity", "1"}).code ==
          0);
  const std::string whole = app_test::read_all(folder / "whole.jpg");
  const std::string cut = folder / "data/train/happy/cut.jpg";
  write(cut, whole.substr(0, whole.size() / 2));
  for (const char* path : {"data/train/neutral/a.jpg", "data/test/happy/a.jpg", "data/test/neutral/a.jpg"})
    write(folder / path, whole);
  const std::string message = "'" + cut + "' is a truncated JPEG: its end marker is missing";

  const Result train = run({"train",
                            "--dataset",
                            "folder",
                            "--data",
                            folder / "data",
                            "--preset",
                            "tiny",
                            "--validation",
                            "0",
                            "--landmark-epochs",
                            "1",
                            "--landmark-identities",
                            "1",
                            "--landmark-batch-size",
                            "7",
                            "--batch-size",
                            "1",
                            "--run-dir",
                            folder / "run",
                            "--quiet",
                            "--test-identities",
                            "1",
                            "--faces-per-identity",
                            "7"});
  CHECK(train.code == 1);
  CHECK(train.err == "fer: data set 'folder', train: 1 of 2 pictures cannot be read:\n  " + message +
                         "\n--skip-bad 1 leaves them out\n");

  const Result predict =
      run({"predict", "--weights", trained() / "run/best.safetensors", cut, folder / "whole.jpg"});
  CHECK(predict.code == 1);
  CHECK(predict.err == "fer: " + message + "\n");
  CHECK(predict.out.starts_with((folder / "whole.jpg") + ": "));
}

TEST_CASE("bad input: a checkpoint cut anywhere is refused, and the run can go on from a good one") {
  const Folder folder("cut");
  fs::copy(trained() / "run", folder / "run", fs::copy_options::recursive);
  const std::string path = folder / "run/last.safetensors", whole = app_test::read_all(path);
  REQUIRE(whole.size() > 100000);
  for (int part = 0; part < 12; ++part) {
    const std::size_t length = part < 4 ? static_cast<std::size_t>(3 * part)  // within the length and after
                                        : whole.size() * static_cast<std::size_t>(part) / 12;
    write(path, whole.substr(0, length));
    const Result result = run({"train", "--resume", folder / "run", "--quiet"});
    CHECK(result.code == 1);
    CHECK_MESSAGE(result.err.find("fer: " + path + ": ") != std::string::npos, result.err);
    CHECK(app_test::read_all(path).size() == length);  // the file is unchanged
  }
  write(path, whole);
  CHECK(run({"train", "--resume", folder / "run", "--quiet"}).code == 0);
}

TEST_CASE("bad input: weight files made to harm") {
  const Folder folder("harm");
  const std::string path = folder / "x.safetensors", eval = "eval";
  const std::string entry =
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],)";
  write_safetensors_bytes(path, entry + R"("data_offsets":[4,12]}})", std::string(12, '\0'));
  const std::string overlap = run({eval, "--weights", path}).err;
  CHECK_MESSAGE(overlap.find("'b'") != std::string::npos, overlap);
  CHECK_MESSAGE(overlap.starts_with("fer: " + path + ": "), overlap);
  write_safetensors_bytes(path, entry + R"("data_offsets":[8,16]}})", std::string(8, '\0'));
  const Result outside = run({eval, "--weights", path});
  CHECK_MESSAGE(outside.err.starts_with("fer: " + path + ": "), outside.err);
  CHECK(outside.code == 1);
  write_safetensors_bytes(path, "{}", "", std::uint64_t{1} << 60);
  check_error(run({eval, "--weights", path}),
              path + ": is truncated: a header of 1152921504606846976 bytes, but 2 are left");

  // pickle: os.system("touch ran")
  const std::string call =
      "\x80\x02"
      "cos\nsystem\nX" +
      std::string("\x09\0\0\0", 4) + "touch ran\x85R.";
  write(folder / "x.pth", call);
  check_error(run({"convert", folder / "x.pth", "--list"}),
              (folder / "x.pth") + ": holds an inert os.system, not a dictionary of tensors");
  CHECK(!fs::exists("ran"));
}

TEST_CASE("bad input: a tensor of another shape, or missing") {
  const Folder folder("shape");
  const std::string good = trained() / "run/best.safetensors", bad = folder / "bad.safetensors";
  const fer::StateFile file = fer::read_state_file(good);
  fer::StateDict changed, fewer;
  for (const auto& [name, tensor] : file.tensors) {
    const bool head = name == "head.bias";
    changed.insert(name, head ? fer::Tensor::zeros({8}) : tensor);
    if (!head) fewer.insert(name, tensor);
  }
  fer::save_state_dict(bad, changed, file.metadata);
  check_error(run({"eval", "--weights", bad}),
              bad + ": 1 tensor has another shape:\n  'head.bias' has shape (8), 'head.bias' needs (7)");
  fer::save_state_dict(bad, fewer, file.metadata);
  check_error(run({"eval", "--weights", bad}), bad + ": 1 tensor is missing:\n  'head.bias'");
}

TEST_CASE("bad input: configurations") {
  const Folder folder("config");
  const std::string path = folder / "run.json";
  const auto message = [&](const std::string& text) {
    write(path, text);
    return run({"train", "--config", path, "--run-dir", folder / "run"});
  };
  check_error(message(R"({"training": {"epcohs": 1}})"),
              path + ": in 'training': unknown key 'epcohs'; did you mean 'epochs'?", 2);
  check_error(message(R"({"trainign": {}})"), path + ": unknown key 'trainign'; did you mean 'training'?", 2);
  check_error(message(R"({"training": {"epochs": "ten"}})"),
              path + ": 'training.epochs' must be a whole number, got \"ten\"", 2);
  check_error(message(R"({"training": {"lr": -1}})"), path + ": 'lr' must be positive, got -1", 2);
  check_error(message(R"({"data": {"dataset": "rafdbb"}})"),
              path +
                  ": 'dataset' must be one of rafdb, ferplus, fer2013, affectnet7, affectnet8, folder, "
                  "faces; got 'rafdbb'; did you mean 'rafdb'?",
              2);
  CHECK(!fs::exists(folder / "run"));
}

TEST_CASE(
    "bad input: a full disk while a checkpoint is written ends the run, which goes on where there is room") {
  const Folder folder("disk");
  const auto training = [&folder](const char* name) {
    auto arguments = app_test::short_training(folder / name);
    arguments.insert(arguments.end(), {"--image-epochs", "0"});  // its checkpoint is too large as well
    return arguments;
  };
  REQUIRE(run(training("whole")).code == 0);
  app_test::Limits full;  // the landmark stage's checkpoints still fit
  full.file_bytes = fs::file_size(folder / "whole/last.safetensors") / 2;
  REQUIRE(fs::file_size(folder / "whole/landmarks-last.safetensors") < full.file_bytes);
  const Result result = run(training("run"), 0, full);
  CHECK(result.code == 1);
  CHECK_MESSAGE(
      result.err.ends_with("fer: cannot write '" + (folder / "run/last.safetensors") + "': File too large\n"),
      result.err);
  for (const auto& entry : fs::directory_iterator(folder / "run")) {
    CHECK_MESSAGE(entry.path().filename().string().find(".tmp") == std::string::npos, entry.path().string());
  }
  CHECK(!fs::exists(folder / "run/last.safetensors"));
  REQUIRE(run({"train", "--resume", folder / "run", "--quiet"}).code == 0);
  CHECK(app_test::read_all(folder / "whole/best.safetensors") ==
        app_test::read_all(folder / "run/best.safetensors"));
}

TEST_CASE("bad input: --classes that the data set does not have") {
  const Folder folder("classes");
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"train", "--run-dir"}, {"ablate", "modules", "--out"}}) {
    auto arguments = command;
    arguments.insert(arguments.end(), {folder / "run", "--preset", "tiny", "--classes", "9"});
    check_error(run(arguments),
                "--classes 9 contradicts the data set 'faces', which has 7; the flag can be left out", 2);
    CHECK(!fs::exists(folder / "run"));
  }
}

TEST_CASE("bad input: a run folder that is a file, and folders that cannot be entered") {
  const Folder folder("entered");
  write(folder / "file", "x");
  check_error(run({"train", "--run-dir", folder / "file", "--preset", "tiny", "--quiet"}),
              "the run folder '" + (folder / "file") + "' is a file; name another folder");
  write(folder / "data/train/happy/a.png", "");
  fs::create_directories(folder / "closed");
  app_test::Limits obeys;
  obeys.permissions = true;
  const auto closed = [&](const std::string& path, const std::vector<std::string>& arguments,
                          const std::string& message) {
    fs::permissions(path, fs::perms::none);
    check_error(run(arguments, 0, obeys), message);
    fs::permissions(path, fs::perms::owner_all);
  };
  closed(folder / "data/train/happy",
         {"train", "--dataset", "folder", "--data", folder / "data", "--run-dir", folder / "run"},
         "cannot read the folder '" + (folder / "data/train/happy") + "': Permission denied");
  closed(folder / "closed", {"train", "--resume", folder / "closed/run"},
         "cannot resume '" + (folder / "closed/run") + "': it holds no config.json");
  closed(folder / "closed",
         {"predict", "--weights", trained() / "run/best.safetensors", folder / "closed/a.png"},
         "cannot read '" + (folder / "closed/a.png") + "': Permission denied");
}

TEST_CASE("bad input: folders that cannot be written") {
  const Folder folder("unwritable");
  fs::create_directories(folder / "closed");
  fs::permissions(folder / "closed", fs::perms::owner_read | fs::perms::owner_exec);
  app_test::Limits obeys;
  obeys.permissions = true;
  check_error(run({"train", "--run-dir", folder / "closed/run", "--preset", "tiny", "--quiet"}, 0, obeys),
              "cannot create the run folder '" + (folder / "closed/run") + "': Permission denied");
  check_error(run({"faces", "--sheet", folder / "closed/sheet.png"}, 0, obeys),
              "cannot write '" + (folder / "closed/sheet.png") + "': Permission denied");
  check_error(run({"faces", "--out", folder / "closed/faces"}, 0, obeys),
              "cannot create '" + (folder / "closed/faces/surprise") + "': Permission denied");
  const Result convert =
      run({"convert", trained() / "run/best.safetensors", folder / "closed/x.pth"}, 0, obeys);
  CHECK(convert.code == 1);
  CHECK(convert.err == "fer: cannot write '" + (folder / "closed/x.pth") + "': Permission denied\n");
}
