// The configuration of a run: `fer train` reads it from a file and from its flags, and writes it into the run
// folder. Each field is named once, in visit_fields(); JSON keys, flags and help texts come from there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "fer/data/augment.h"
#include "fer/data/dataset.h"
#include "fer/losses/fer_loss.h"
#include "fer/models/registry.h"
#include "fer/nearest.h"
#include "fer/training/schedule.h"

namespace fer {

enum class OptimizerKind { adam, adamw, sgd };
/// "adam", ...
std::string_view name_of(OptimizerKind kind);

/// The colour of the network's input; automatic: grey if every training picture is grey.
enum class ColourMode { automatic, grey, rgb };
/// "auto", "grey" or "rgb".
std::string_view name_of(ColourMode mode);

struct TrainingConfig {
  ColourMode colour = ColourMode::automatic;
  double face_share = 0;
  std::string init, image_backbone, vit;
  std::int64_t epochs = 10, batch_size = 48;
  OptimizerKind optimizer = OptimizerKind::adam;
  double lr = 1e-3;
  ScheduleKind schedule = ScheduleKind::cosine;
  double gamma = 0.98, warmup_epochs = 0.5, weight_decay = 0, momentum = 0.9;
  double sam_rho = 0, clip_norm = 0, ema_decay = 0;
  AuxiliaryLoss loss = AuxiliaryLoss::neaa;
  double loss_weight = 0.01, label_smoothing = 0;
  bool balanced = false, checkpointing = false, graph = false, bf16_gradients = false;
  std::uint64_t seed = 1;
  std::int64_t loader_threads = 1, save_every = 0;
  bool overfit_batch = false;
  std::int64_t max_steps = 0;
};

struct LandmarkConfig {
  std::string file;
  std::int64_t epochs = 4, image_epochs = -1, batch_size = 32, identities = 300;
  double lr = 2e-3;
};

struct RunConfig {
  DatasetOptions data;           ///< `split` is not part of the configuration and stays Split::train
  std::string preset = "small";  ///< name in the registry; `model` may deviate from its settings
  ModelConfig model;
  AugmentOptions augment;
  TrainingConfig training;
  LandmarkConfig landmarks;
};

template <typename Visitor>
void visit_fields(DatasetOptions& c, Visitor&& v) {
  v("dataset", c.name, "data set: rafdb, ferplus, fer2013, affectnet7, affectnet8, folder, faces");
  v("data", c.folder, "folder of the data set (faces needs none)");
  v("labels", c.label_mode, "ferplus: majority, argmax or soft votes");
  v("validation", c.validation_fraction, "fraction of the training part held out to choose the best epoch");
  v("test", c.test_fraction, "fraction held out for testing, if the data set has no test part");
  v("split_seed", c.seed, "seed of held-out parts and of drawn faces");
  v("class_names", c.class_names,
    "folder: names for its class folders: 0=angry,1=disgust, names in order, or a file of such lines");
  v("skip_bad", c.skip_bad,
    "how many missing or damaged pictures of a part to name and leave out, instead of failing");
  v("train_identities", c.train_identities, "faces: persons to train on");
  v("test_identities", c.test_identities, "faces: persons to test on");
  v("faces_per_identity", c.faces_per_identity, "faces: pictures of each person");
}

template <typename Visitor>
void visit_fields(TrainingConfig& c, Visitor&& v) {
  v("colour", c.colour,
    "colour of the network's input: grey, rgb, or auto (grey if every training picture is)");
  v("face_share", c.face_share,
    "side of the detected face box, as a share of the side of a training picture; faces are later cut "
    "out of photographs with this share; 0: the data set's");
  v("init", c.init,
    "weights or run folder of fer from which the whole network starts, classes matched by name; sets its "
    "sizes, and the defaults to lr 5e-5, batch_size 16, epochs 15, validation 0");
  v("image_backbone", c.image_backbone,
    "checkpoint that the image backbone starts from (IR50, POSTER V2); empty: random weights");
  v("vit", c.vit, "timm vision transformer from which the attention blocks take weights and sizes (Table 2)");
  v("epochs", c.epochs, "passes over the training part");
  v("batch_size", c.batch_size, "samples per step");
  v("optimizer", c.optimizer, "adam, adamw or sgd");
  v("lr", c.lr, "highest learning rate");
  v("schedule", c.schedule, "constant, exponential (times gamma per epoch) or cosine");
  v("gamma", c.gamma, "decay per epoch of the exponential schedule");
  v("warmup_epochs", c.warmup_epochs, "epochs over which the rate rises to lr");
  v("weight_decay", c.weight_decay, "L2 decay (adamw: decoupled)");
  v("momentum", c.momentum, "momentum of sgd");
  v("sam_rho", c.sam_rho, "radius of sharpness-aware minimisation around the optimizer; 0: off");
  v("clip_norm", c.clip_norm, "largest norm of the gradient; 0: no limit");
  v("ema_decay", c.ema_decay, "decay per step of the averaged weights used in evaluation; 0: off");
  v("loss", c.loss, "loss added to the cross-entropy: neaa (Eq. 10), anchor (Eq. 7) or none");
  v("loss_weight", c.loss_weight, "weight of that loss (Eq. 11)");
  v("label_smoothing", c.label_smoothing, "share of the label spread over all classes");
  v("balanced", c.balanced, "draw classes equally often, with replacement");
  v("checkpointing", c.checkpointing, "recompute activations in backward: less memory, more time");
  v("graph", c.graph, "devices cuda and simt: capture the step once and replay it, with the same numbers");
  v("bf16_gradients", c.bf16_gradients,
    "several processes: gradients travel as bfloat16, which halves the bytes and rounds them");
  v("seed", c.seed, "seed of weights, order, augmentation and dropout");
  v("loader_threads", c.loader_threads, "threads that prepare batches; 0: the trainer prepares them itself");
  v("save_every", c.save_every, "steps between checkpoints; 0: at the end of each epoch");
  v("overfit_batch", c.overfit_batch, "train only on the first batch, to see that the loss can fall");
  v("max_steps", c.max_steps, "stop after this many steps; 0: no limit");
}

template <typename Visitor>
void visit_fields(AugmentOptions& c, Visitor&& v) {
  v("flip", c.flip, "probability of a mirrored picture");
  v("erase", c.erase, "probability of an erased rectangle");
  v("erase_area_min", c.erase_area_min, "smallest erased area, as a fraction of the picture");
  v("erase_area_max", c.erase_area_max, "largest erased area");
  v("erase_aspect_min", c.erase_aspect_min, "smallest height over width of the erased rectangle");
  v("erase_aspect_max", c.erase_aspect_max, "largest height over width of the erased rectangle");
  v("rotation", c.rotation, "largest rotation, degrees");
  v("scale", c.scale, "largest zoom, 0.1: by 0.9 to 1.1");
  v("shift", c.shift, "largest shift, as a fraction of the side");
  v("crop_min", c.crop_min, "smallest area of a random resized crop; 1: off");
  v("brightness", c.brightness, "largest change of brightness");
  v("contrast", c.contrast, "largest change of contrast");
}

template <typename Visitor>
void visit_fields(LandmarkConfig& c, Visitor&& v) {
  v("landmarks", c.file,
    "checkpoint of the landmark backbone; empty: train it first, on landmarks of drawn faces");
  v("landmark_epochs", c.epochs, "epochs of that training");
  v("image_epochs", c.image_epochs,
    "epochs in which the image backbone learns the same landmarks first; -1: the same as landmark_epochs "
    "if neither backbone has a checkpoint, else 0");
  v("landmark_batch_size", c.batch_size, "samples per step of that training");
  v("landmark_identities", c.identities, "drawn persons of that training");
  v("landmark_lr", c.lr, "learning rate of that training");
}

/// LandmarkConfig::image_epochs with -1 resolved.
std::int64_t image_epochs(const RunConfig& config);

/// Calls visit_section(name, fields) for each section of the configuration.
template <typename Config, typename Visitor>
void visit_sections(Config& config, Visitor&& v) {
  v("data", config.data);
  v("model", config.model);
  v("augment", config.augment);
  v("training", config.training);
  v("landmarks", config.landmarks);
}

/// Selects a network of the registry: its settings and, if it is not for faces, no loss beside the
/// cross-entropy. ConfigError, listing the names, for an unknown name.
void select_model(RunConfig& config, const std::string& name);

/// The configuration as JSON text, with sections and fields in order.
std::string to_json(const RunConfig& config);
/// Overwrites the fields named in `text`. ConfigError, naming `source`, for an unknown section or key (it
/// suggests the nearest known one), a value of the wrong type, or text that is not JSON.
void apply_json(RunConfig& config, const std::string& text, const std::string& source);
/// apply_json() of a file. IoError if it cannot be read.
void read_config(RunConfig& config, const std::filesystem::path& path);
/// Overwrites one field given as text: "lr", "3e-5". ConfigError as above.
void apply_setting(RunConfig& config, const std::string& key, const std::string& value,
                   const std::string& source);
/// A known key, with its help text and its default as text.
struct SettingInfo {
  std::string section, key, help, value;
  std::string type{};                  ///< INT, UINT, FLOAT, BOOL, LIST, PATH or TEXT
  std::vector<std::string> choices{};  ///< the allowed words, if there is a fixed set
};
/// All settings in order; after those of the network, the settings of other kinds of networks.
std::vector<SettingInfo> settings_of(const RunConfig& config);

/// Checks ranges in all sections; ConfigError names the first field that is out of range.
void check(const RunConfig& config);

/// The data set options for evaluating a split. If a network learns from soft votes, the test splits use
/// majority labels. Train and validation keep their labels, because other labels would change how the data
/// set is divided between them.
DatasetOptions evaluation_data(DatasetOptions options, Split split);

}  // namespace fer
