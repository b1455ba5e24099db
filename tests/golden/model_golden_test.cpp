// Whole models against PyTorch's: every model_*.safetensors (scores, tokens, losses, features, landmarks,
// gradients, running statistics, the loss curve of a short training), the checkpoints, and the real landmark
// network. Weights and images are filled from their names, as in the reference.
#include <cstdlib>
#include <set>

#include "fer/formats/matching.h"
#include "fer/formats/safetensors.h"
#include "fer/graph/compiled.h"
#include "fer/graph/multiply_adds.h"
#include "fer/losses/losses.h"
#include "fer/models/fernet.h"
#include "fer/models/info.h"
#include "fer/training/config.h"
#include "fer/training/optimizer.h"
#include "tests/golden/golden.h"
#include "tests/models/reference_fill.h"
#include "tests/ops/op_test.h"

namespace fer::test {
namespace {

/// Tolerances on max |a - b| / max(1, max |b|).
struct Tolerances {
  double values, gradients, norms, summaries, curve;
};

// In float32, single elements of the paper model's gradients get twice the tolerance of their norms. If the
// input of one of the millions of rectifiers rounds to the other side of zero, every gradient upstream of it
// shifts by about 0.002, while the norms hardly change. A summary adds up such shifts.
Tolerances tolerances(DType dtype, const FERNetConfig& config) {
  if (dtype == DType::float64) return {1e-8, 1e-8, 1e-8, 1e-8, 1e-6};
  if (config.image == IRBackboneConfig{}) return {1e-3, 1e-2, 5e-3, 5e-3, 0.02};
  return {1e-3, 2e-3, 2e-3, 5e-3, 0.02};
}

std::string metadata(const SafetensorsFile& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  require<DataError>(found != file.metadata().end(), "the file has no metadata '", key, "'");
  return found->second;
}

/// The network that a model file describes, without dropout.
FERNetConfig network_of(const SafetensorsFile& file) {
  RunConfig run;
  if (file.metadata().contains("config")) {
    apply_json(run, metadata(file, "config"), "config");
  } else {
    run.model = preset(metadata(file, "preset"), std::stoll(metadata(file, "classes")));
    run.model.fernet().image_size = std::stoll(metadata(file, "size"));
  }
  DualAttentionConfig& attention = run.model.fernet().attention;
  attention.drop_attention = attention.drop_hidden = attention.drop_mlp = 0;
  return run.model.fernet();
}

/// A model file, the run that it describes, and the deviations of fer's results.
class ModelCase {
 public:
  ModelCase(const std::filesystem::path& path, Device device, DType dtype)
      : file_(path),
        config_(network_of(file_)),
        salt_(metadata(file_, "salt")),
        device_(device),
        dtype_(dtype),
        tolerance_(tolerances(dtype, config_)),
        loss_({.weight = std::stod(metadata(file_, "weight")),
               .neutral = std::stoll(metadata(file_, "neutral"))}) {}

  /// forward_only: checks only the evaluation and ignores the rest of the file.
  std::vector<std::string> problems(bool forward_only) {
    const auto model = make_model();
    if (forward_only) {
      run(*model, 0, "eval");
      return problems_;
    }
    for (int batch = 0; file_.contains(concat("batch", batch, "/eval/labels")); ++batch) {
      for (const std::string mode : {"eval", "train"}) run(*model, batch, mode);
      for (const NamedBuffer& buffer : model->named_buffers()) {
        const std::string name = concat("batch", batch, "/buffer/", buffer.name);
        if (file_.contains(name)) compare(name, *buffer.buffer, tolerance_.values);
      }
    }
    if (file_.contains("curve/loss")) train();
    for (const SafetensorsEntry& entry : file_.entries()) {
      if (!used_.contains(entry.name)) problems_.push_back("nothing was compared with " + entry.name);
    }
    return problems_;
  }
  std::size_t compared() const { return used_.size(); }
  double worst() const { return worst_; }
  const std::string& worst_name() const { return worst_name_; }

 private:
  std::unique_ptr<FERNet> make_model() const {
    auto model = std::make_unique<FERNet>(config_);
    model->to(DType::float64);
    fill_as_reference(*model, salt_);
    model->to(dtype_);
    model->to(device_);
    model->freeze_landmarks();
    return model;
  }

  Variable input(std::int64_t n, int batch) const {
    const Tensor x = filled(concat(salt_, "input", batch), {n, config_.image_size, config_.image_size, 3});
    return Variable(x.to(dtype_).to(device_));
  }

  Tensor expected(const std::string& name) {
    used_.insert(name);
    return file_.read(name);
  }

  void run(FERNet& model, int batch, const std::string& mode) {
    const std::string key = concat("batch", batch, "/", mode, "/");
    const Tensor labels = expected(key + "labels").to(device_);
    model.train(mode == "train");
    model.zero_grad();
    const Variable x = input(labels.numel(), batch);
    const Variable f_lm = model.landmark_features(x), f_img = model.image_features(x);
    const NetworkOutput out = model.classify(f_img, f_lm);
    const FERLossParts loss = loss_(out.scores, out.token, labels);
    compare(key + "f_lm", f_lm.value(), tolerance_.values);
    compare(key + "f_img", f_img.value(), tolerance_.values);
    compare(key + "scores", out.scores.value(), tolerance_.values);
    compare(key + "token", out.token.value(), tolerance_.values);
    compare(key + "cross_entropy", loss.cross_entropy.value(), tolerance_.values);
    compare(key + "neaa", add(loss.anchor, loss.neutral).value(), tolerance_.values);
    compare(key + "loss", loss.total.value(), tolerance_.values);
    if (file_.contains(key + "landmarks")) {
      compare(key + "landmarks", model.landmarks(x).value(), tolerance_.values);
    }
    if (mode != "train") return;
    loss.total.backward();
    for (const NamedVariable& p : model.named_parameters()) {
      if (!p.variable.requires_grad()) continue;
      const Tensor& gradient = p.variable.grad();
      if (!gradient.defined()) {
        problems_.push_back(key + ": no gradient for " + p.name);
        continue;
      }
      compare(key + "grad/" + p.name, gradient, tolerance_.gradients, tolerance_.summaries);
      const std::string norm = key + "gradnorm/" + p.name;
      if (file_.contains(norm)) compare(norm, norm_of(gradient), tolerance_.norms);
    }
  }

  static Tensor norm_of(const Tensor& x) {
    double squares = 0;
    for (const double v : numbers(x)) squares += v * v;
    return Tensor::scalar(std::sqrt(squares), DType::float64);
  }

  /// The loss of each step of Adam on one batch.
  void train() {
    const auto model = make_model();
    model->train();
    const std::int64_t n = std::stoll(metadata(file_, "curve_batch"));
    const double rate = std::stod(metadata(file_, "curve_lr"));
    const std::vector<double> curve = numbers(expected("curve/loss"));
    const Variable x = input(n, 0);
    const Tensor labels = fixed_labels(n).to(device_);
    Adam adam(model->parameters(), {.lr = rate});
    for (std::size_t step = 0; step < curve.size(); ++step) {
      const NetworkOutput out = (*model)(x);
      const Variable loss = loss_(out.scores, out.token, labels).total;
      model->zero_grad();
      loss.backward();
      adam.step();
      note(concat("curve/loss at step ", step), std::abs(loss.item() - curve[step]) / curve[step],
           tolerance_.curve);
    }
  }

  /// The reference's labels: pairs of equal classes, including neutral (6), and classes that occur once.
  static Tensor fixed_labels(std::int64_t n) {
    const std::int64_t cycle[] = {6, 3, 6, 3, 0, 1, 6, 2};
    std::vector<std::int64_t> labels;
    for (std::int64_t i = 0; i < n; ++i) labels.push_back(cycle[i % 8]);
    return Tensor::from<std::int64_t>({n}, labels);
  }

  void compare(const std::string& name, const Tensor& got, double tolerance) {
    compare(name, got, tolerance, tolerance);
  }

  /// Compares `got`, in fer's layout, with the file's tensor, in PyTorch's layout. The file may contain only
  /// the first channels of a map or the first elements of a gradient, and a summary of all of it, to which
  /// `summary_tolerance` applies.
  void compare(const std::string& name, const Tensor& got, double tolerance, double summary_tolerance) {
    if (!file_.contains(name)) {
      problems_.push_back("the file has no " + name);
      return;
    }
    const Tensor want = expected(name);
    Tensor mine = to_pytorch_layout(got.to(Device::cpu));
    const std::string summary = "summary/" + name;
    if (file_.contains(summary)) {
      note(summary, test::difference(summary_of(summary, mine), expected(summary)), summary_tolerance);
    }
    if (want.rank() == 1 && mine.numel() > want.numel()) {
      mine = mine.reshape({-1}).slice(0, want.numel());
    } else if (want.rank() == 4 && mine.dim(1) > want.dim(1)) {
      Tensor first = Tensor::empty_like(mine, want.shape());
      backend_of(mine).slice(mine, 1, 0, first);
      mine = first;
    }
    note(name, test::difference(mine, want), tolerance);
  }

  /// The norm of x, and its inner product with the numbers for a name.
  static Tensor summary_of(const std::string& name, const Tensor& x) {
    const std::vector<double> values = numbers(x), weights = splitmix64_uniform(name, x.numel());
    double squares = 0, product = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      squares += values[i] * values[i];
      product += values[i] * weights[i];
    }
    return Tensor::from<double>({2}, {std::sqrt(squares), product});
  }

  void note(const std::string& name, double error, double tolerance) {
    if (!(error <= worst_)) {
      worst_ = error;
      worst_name_ = name;
    }
    if (!(error <= tolerance)) problems_.push_back(concat(name, " differs by ", error));
  }

  SafetensorsFile file_;
  FERNetConfig config_;
  std::string salt_;
  Device device_;
  DType dtype_;
  Tolerances tolerance_;
  FERLoss loss_;
  std::set<std::string> used_;
  std::vector<std::string> problems_;
  double worst_ = 0;
  std::string worst_name_;
};

void check_model(const std::filesystem::path& path, Device device, DType dtype) {
  const std::string name = title_of(path);
  // The executor runs threads one after the other. For the paper model, a test has only time for the forward
  // pass in float32.
  const bool forward_only = device == Device::simt && path.filename() == "model_paper.safetensors";
  if (forward_only && dtype == DType::float64) {
    MESSAGE("skipped: ", name, " in float64 on simt, which runs kernels thread by thread");
    return;
  }
  ModelCase one(path, device, dtype);
  for (const std::string& problem : one.problems(forward_only)) {
    FAIL_CHECK(name, " on ", name_of(device), " in ", name_of(dtype), ": ", problem);
  }
  MESSAGE(name, ": ", one.compared(), " tensors on ", name_of(device), " in ", name_of(dtype),
          " differ by at most ", one.worst(), " (", one.worst_name(), ")",
          std::string(forward_only ? "; the forward pass alone" : ""));
}

// One subcase per device, file and type, so that CTest can distribute them: "simt model_tiny.safetensors
// float32".
TEST_CASE("golden: models") {
  const auto files = files_of(GoldenFile::model);
  CHECK_FALSE(files.empty());
  for (const Device device : test_devices()) {
    for (const auto& path : files) {
      for (const DType dtype : {DType::float64, DType::float32}) {
        const std::string title = concat(name_of(device), " ", title_of(path), " ", name_of(dtype));
        SUBCASE(title.c_str()) {
          check_model(path, device, dtype);
        }
      }
    }
  }
}

/// The tensors of a checkpoint under the module's names; throws if one is missing or has another shape.
void load(Module& module, const std::filesystem::path& path, const NameMap& names) {
  const StateDict state = load_state_dict(path);
  std::vector<NamedShape> wanted;
  for (const NamedVariable& p : module.named_parameters()) wanted.push_back({p.name, p.variable.shape()});
  for (const NamedBuffer& b : module.named_buffers()) wanted.push_back({b.name, b.buffer->shape()});
  const MatchReport report = match(wanted, shapes_of(state), names);
  for (const MatchReport::Aside& aside : report.left_aside) {
    CHECK_MESSAGE(aside.held.ends_with("num_batches_tracked"), aside.held, " was left aside");
  }
  const StateDict values = matched_tensors(report, state, path.filename().string());
  for (NamedVariable& p : module.named_parameters()) {
    p.variable.mutable_value().copy_from(values.at(p.name));
  }
  for (NamedBuffer& b : module.named_buffers()) b.buffer->copy_from(values.at(b.name));
}

/// The model file with the same weights as the folder's checkpoints.
SafetensorsFile network_of_checkpoints(const std::filesystem::path& folder) {
  const std::filesystem::path mini = folder / "model_mini.safetensors";
  return SafetensorsFile(std::filesystem::exists(mini) ? mini : folder / "model_tiny.safetensors");
}

void check_checkpoint(const std::filesystem::path& path, const SafetensorsFile& reference) {
  const std::string salt = metadata(reference, "salt");
  const FERNetConfig config = network_of(reference);
  FERNet model(config), filled_model(config);
  load(model, path, fernet_names());
  fill_as_reference(filled_model, salt);
  const auto got = model.named_parameters(), want = filled_model.named_parameters();
  for (std::size_t i = 0; i < got.size(); ++i) {
    CHECK_MESSAGE(numbers(got[i].variable.value()) == numbers(want[i].variable.value()), got[i].name);
  }
  model.eval();
  NoGrad no_grad;
  const Tensor scores = reference.read("batch0/eval/scores");
  const Tensor images = filled(salt + "input0", {scores.dim(0), config.image_size, config.image_size, 3});
  CHECK(difference(model(Variable(images.to(DType::float32))).scores.value(), scores) < 1e-3);
}

TEST_CASE("golden: checkpoints hold a model's weights, and give its scores") {
  for (const std::filesystem::path& folder : golden_folders()) {
    const auto checkpoints = files_of(GoldenFile::checkpoint, folder);
    CHECK(checkpoints.size() >= 3);
    for (const auto& path : checkpoints) {
      CAPTURE(path.string());
      check_checkpoint(path, network_of_checkpoints(folder));
    }
  }
}

std::filesystem::path real_landmark_checkpoint() {
  return reference_folder("FER_DATA_DIR", "data") / "mobilefacenet_model_best.pth.tar";
}

OP_TEST("golden: the real landmark net") {
  const auto files = files_of(GoldenFile::landmarks);
  const auto checkpoint = real_landmark_checkpoint();
  if (files.empty() || !std::filesystem::exists(checkpoint)) {
    MESSAGE("skipped: no ", checkpoint.filename().string(), "; FER_DATA_DIR names its folder");
    return;
  }
  const SafetensorsFile file(files.front());
  // The file holds bytes over 255 rounded to float32; PyTorch computed from them in float64.
  Tensor image = from_pytorch_layout(file.read("input")).to(DType::float64);
  Tensor normalised = image.clone();
  const double mean[] = {0.485, 0.456, 0.406}, deviation[] = {0.229, 0.224, 0.225};
  double *unit = image.mutable_data<double>(), *pixels = normalised.mutable_data<double>();
  for (std::int64_t i = 0; i < image.numel(); ++i) {
    unit[i] = std::round(255 * unit[i]) / 255;
    pixels[i] = (unit[i] - mean[i % 3]) / deviation[i % 3];
  }
  MobileFaceNet net({.head = true});
  load(net, checkpoint, mobilefacenet_names());
  net.eval();
  NoGrad no_grad;
  for (const DType dtype : {DType::float64, DType::float32}) {
    net.to(dtype);
    net.to(device);
    Compiled compiled([&](const std::vector<Variable>& in) { return std::vector{net.features(in[0])}; });
    // The file's features are float32, its landmarks float64 of float32 weights.
    const double features = dtype == DType::float64 ? 1e-6 : 1e-3,
                 points = dtype == DType::float64 ? 1e-8 : 1e-3;
    const std::pair<std::string, Tensor> feeds[] = {{"unit", image}, {"imagenet", normalised}};
    for (const auto& [feed, x] : feeds) {
      CAPTURE(feed);
      const Variable input(x.to(dtype).to(device));
      const Variable f_lm = net.features(input);
      CHECK(difference(to_pytorch_layout(f_lm.value()), file.read(feed + "/feature")) < features);
      CHECK(difference(net.landmarks(f_lm).value(), file.read(feed + "/landmarks")) < points);
      CHECK(difference(compiled({input.value()})[0], f_lm.value()) <
            (dtype == DType::float64 ? 1e-12 : 1e-4));
      const std::int64_t macs = multiply_adds(*compiled.graph()).total();
      CHECK(macs < 60'000'000);
      MESSAGE("without dead channels: ", static_cast<double>(macs) / 1e6, " MMAC an image");
    }
  }
}

}  // namespace
}  // namespace fer::test
