#include "fer/training/config.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <type_traits>

#include "fer/formats/atomic_file.h"
#include "formats/json_document.h"
#include "formats/json_text.h"

namespace fer {
namespace {

/// The values of a setting that takes one of several words, as name_of() returns them.
template <typename T>
constexpr std::initializer_list<T> choices = {};
template <>
constexpr std::initializer_list<LabelMode> choices<LabelMode> = {LabelMode::majority, LabelMode::argmax,
                                                                 LabelMode::soft};
template <>
constexpr std::initializer_list<OptimizerKind> choices<OptimizerKind> = {
    OptimizerKind::adam, OptimizerKind::adamw, OptimizerKind::sgd};
template <>
constexpr std::initializer_list<ScheduleKind> choices<ScheduleKind> = {
    ScheduleKind::constant, ScheduleKind::exponential, ScheduleKind::cosine};
template <>
constexpr std::initializer_list<ColourMode> choices<ColourMode> = {ColourMode::automatic, ColourMode::grey,
                                                                   ColourMode::rgb};
template <>
constexpr std::initializer_list<Heatmap> choices<Heatmap> = {Heatmap::max, Heatmap::sum, Heatmap::abs_sum,
                                                             Heatmap::conv};
template <>
constexpr std::initializer_list<AuxiliaryLoss> choices<AuxiliaryLoss> = {
    AuxiliaryLoss::neaa, AuxiliaryLoss::anchor, AuxiliaryLoss::none};

template <typename T>
std::vector<std::string> words_of() {
  std::vector<std::string> words;
  for (const T value : choices<T>) words.emplace_back(name_of(value));
  return words;
}

template <typename T>
constexpr bool is_path = std::is_same_v<T, std::filesystem::path>;

template <typename T>
Json to_value(const T& field) {
  if constexpr (std::is_enum_v<T>) {
    return std::string(name_of(field));
  } else if constexpr (is_path<T>) {
    return field.string();
  } else {
    return field;
  }
}

void check_choice(const std::string& what, const std::string& value, const std::vector<std::string>& known) {
  if (std::find(known.begin(), known.end(), value) != known.end()) return;
  std::string list;
  for (const std::string& word : known) list += (list.empty() ? "" : ", ") + word;
  throw ConfigError(
      concat(what, " must be one of ", list, "; got '", excerpt(value), "'", advice(value, known)));
}

template <typename T>
void assign(T& field, const Json& value, const std::string& where) {
  if constexpr (std::is_enum_v<T>) {
    const std::string word = json_as<std::string, ConfigError>(value, where);
    check_choice(where, word, words_of<T>());
    for (const T known : choices<T>) {
      if (name_of(known) == word) field = known;
    }
  } else if constexpr (is_path<T>) {
    field = json_as<std::string, ConfigError>(value, where);
  } else {
    field = json_as<T, ConfigError>(value, where);
  }
}

template <typename T>
Json parse_value(const std::string& json, const std::string& text, const std::string& where) {
  try {
    return parse_json(json, where);
  } catch (const JsonRangeError&) {
    throw ConfigError(concat(where, " is out of range: ", excerpt(text)));
  } catch (const FormatError&) {
    throw ConfigError(concat(where, " must be ", detail::json_kind<T>(), ", got '", excerpt(text), "'"));
  }
}

template <typename T>
void assign_text(T& field, const std::string& text, const std::string& where) {
  if constexpr (std::is_same_v<T, std::string> || is_path<T> || std::is_enum_v<T>) {
    require<ConfigError>(is_utf8(text), where, " is not UTF-8: '", excerpt(text), "'");
    assign(field, Json(text), where);
  } else {
    // Numbers, booleans and lists (brackets optional) are parsed as JSON; a bare word is not JSON.
    const bool bare_list = detail::is_json_list<T> && (text.empty() || text.front() != '[');
    assign(field, parse_value<T>(bare_list ? "[" + text + "]" : text, text, where), where);
  }
}

[[noreturn]] void unknown_key(const std::string& key, const std::vector<std::string>& known,
                              const std::string& source) {
  throw ConfigError(concat(source, ": unknown key '", excerpt(key), "'", advice(key, known)));
}

/// The words that a setting accepts; empty if it accepts any text.
template <typename T>
std::vector<std::string> choices_of(std::string_view key) {
  if (key == "preset") return model_names();
  if (key == "dataset") return dataset_names();
  if constexpr (std::is_enum_v<T>) return words_of<T>();
  return {};
}

/// The placeholder for a field's values in --help.
template <typename T>
constexpr const char* type_of(std::string_view key) {
  if constexpr (detail::is_json_list<T>) return "LIST";
  if constexpr (std::is_same_v<T, bool>) return "BOOL";
  if constexpr (std::is_integral_v<T>) return std::is_unsigned_v<T> ? "UINT" : "INT";
  if constexpr (std::is_floating_point_v<T>) return "FLOAT";
  const bool path = key == "landmarks" || key == "init" || key == "image_backbone" || key == "vit";
  return path || is_path<T> ? "PATH" : "TEXT";
}

}  // namespace

std::string_view name_of(OptimizerKind kind) {
  switch (kind) {
    case OptimizerKind::adam:
      return "adam";
    case OptimizerKind::adamw:
      return "adamw";
    case OptimizerKind::sgd:
      break;
  }
  return "sgd";
}

std::string_view name_of(ColourMode mode) {
  switch (mode) {
    case ColourMode::automatic:
      return "auto";
    case ColourMode::grey:
      return "grey";
    case ColourMode::rgb:
      break;
  }
  return "rgb";
}

void select_model(RunConfig& config, const std::string& name) {
  const bool for_faces = config.model.for_faces();
  config.model = model_config(name);
  config.preset = name;
  if (config.model.for_faces() == for_faces) return;
  config.training.loss = for_faces ? AuxiliaryLoss::none : AuxiliaryLoss::neaa;
}

std::string to_json(const RunConfig& config) {
  RunConfig copy = config;
  Json json = json_document("configuration", 1);
  json["preset"] = config.preset;
  visit_sections(copy, [&json](const char* section, auto& fields) {
    Json& object = json[section] = Json::object();
    visit_fields(fields,
                 [&object](const char* key, auto& field, const char*) { object[key] = to_value(field); });
  });
  return json.dump(2) + "\n";
}

void apply_json(RunConfig& config, const std::string& text, const std::string& source) {
  Json json;
  try {
    json = parse_json(text, source);
  } catch (const FormatError& error) {
    throw ConfigError(error.what());
  }
  require<ConfigError>(json.is_object(), source, ": a configuration is a JSON object");
  require_document<ConfigError>(json, "configuration", 1, source);
  json.erase("document");
  json.erase("version");
  std::vector<std::string> sections{"preset"};
  visit_sections(config, [&sections](const char* section, auto&) { sections.emplace_back(section); });
  for (const auto& [section, value] : json.items()) {
    if (std::find(sections.begin(), sections.end(), section) == sections.end()) {
      unknown_key(section, sections, source);
    }
    require<ConfigError>(section == "preset" || value.is_object(), source, ": '", section,
                         "' must be an object of settings");
  }
  if (json.contains("preset")) {
    std::string name;
    assign(name, json["preset"], concat(source, ": 'preset'"));
    select_model(config, name);
  }
  visit_sections(config, [&](const char* section, auto& fields) {
    if (!json.contains(section)) return;
    std::vector<std::string> keys;
    visit_fields(fields, [&keys](const char* key, auto&, const char*) { keys.emplace_back(key); });
    const Json& object = json[section];
    for (const auto& [key, value] : object.items()) {
      if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
        unknown_key(key, keys, concat(source, ": in '", section, "'"));
      }
    }
    visit_fields(fields, [&](const char* key, auto& field, const char*) {
      if (!object.contains(key)) return;
      assign(field, object[key], concat(source, ": '", section, ".", key, "'"));
    });
  });
}

void read_config(RunConfig& config, const std::filesystem::path& path) {
  const std::vector<std::byte> bytes = read_file(path, JsonLimits{}.bytes);
  apply_json(config, std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), path.string());
}

void apply_setting(RunConfig& config, const std::string& key, const std::string& value,
                   const std::string& source) {
  if (key == "preset") return select_model(config, value);
  bool found = false;
  std::vector<std::string> keys{"preset"};
  visit_sections(config, [&](const char*, auto& fields) {
    visit_fields(fields, [&](const char* name, auto& field, const char*) {
      keys.emplace_back(name);
      if (key != name) return;
      found = true;
      assign_text(field, value, concat(source, ": '", key, "'"));
    });
  });
  if (found) return;
  for (const SettingInfo& info : settings_of(config)) {
    require<ConfigError>(info.key != key, source, ": the model '", config.preset, "' has no setting '", key,
                         "'");
  }
  unknown_key(key, keys, source);
}

std::vector<SettingInfo> settings_of(const RunConfig& config) {
  RunConfig copy = config;
  std::vector<SettingInfo> infos;
  const auto add = [&infos](const char* section, auto& fields) {
    visit_fields(fields, [&](const char* key, auto& field, const char* help) {
      if (std::any_of(infos.begin(), infos.end(), [&](const auto& info) { return info.key == key; })) return;
      const Json value = to_value(field);
      using Field = std::remove_cvref_t<decltype(field)>;
      infos.push_back({section, key, help, value.is_string() ? value.get<std::string>() : value.dump(),
                       type_of<Field>(key), choices_of<Field>(key)});
    });
  };
  visit_sections(copy, [&](const char* section, auto& fields) {
    add(section, fields);
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(fields)>, ModelConfig>) {
      for (const ModelEntry& entry : registered_models()) {
        ModelConfig other = entry.config;
        add(section, other);
      }
    }
  });
  return infos;
}

std::int64_t image_epochs(const RunConfig& config) {
  if (config.landmarks.image_epochs >= 0) return config.landmarks.image_epochs;
  const bool fresh = config.model.for_faces() && config.training.init.empty() &&
                     config.landmarks.file.empty() && config.training.image_backbone.empty();
  return fresh ? config.landmarks.epochs : 0;
}

void check(const RunConfig& config) {
  const TrainingConfig& t = config.training;
  const auto positive = [](const char* key, auto value) {
    require<ConfigError>(value > 0, "'", key, "' must be positive, got ", value);
  };
  positive("epochs", t.epochs);
  positive("batch_size", t.batch_size);
  positive("lr", t.lr);
  positive("landmark_lr", config.landmarks.lr);
  positive("landmark_batch_size", config.landmarks.batch_size);
  require<ConfigError>(config.landmarks.epochs >= 0, "'landmark_epochs' must not be negative, got ",
                       config.landmarks.epochs);
  require<ConfigError>(t.gamma > 0 && t.gamma <= 1, "'gamma' must be in (0, 1], got ", t.gamma);
  require<ConfigError>(config.landmarks.image_epochs >= -1, "'image_epochs' must be -1 or more, got ",
                       config.landmarks.image_epochs);
  require<ConfigError>(config.landmarks.image_epochs <= 0 || config.training.image_backbone.empty(),
                       "'image_epochs' would overwrite the weights of 'image_backbone'; give one of the two");
  for (const auto& [key, given] : {std::pair{"landmarks", !config.landmarks.file.empty()},
                                   {"image_backbone", !t.image_backbone.empty()},
                                   {"vit", !t.vit.empty()},
                                   {"image_epochs", config.landmarks.image_epochs > 0}}) {
    require<ConfigError>(t.init.empty() || !given,
                         "'init' sets the weights of the whole network; leave out '", key, "'");
  }
  for (auto [key, value] : {std::pair{"weight_decay", t.weight_decay},
                            {"sam_rho", t.sam_rho},
                            {"clip_norm", t.clip_norm},
                            {"loss_weight", t.loss_weight},
                            {"warmup_epochs", t.warmup_epochs}}) {
    require<ConfigError>(value >= 0 && std::isfinite(value), "'", key, "' must not be negative, got ", value);
  }
  for (auto [key, value] : {std::pair{"label_smoothing", t.label_smoothing},
                            {"ema_decay", t.ema_decay},
                            {"momentum", t.momentum}}) {
    require<ConfigError>(value >= 0 && value < 1, "'", key, "' must be in [0, 1), got ", value);
  }
  require<ConfigError>(config.data.skip_bad >= 0, "'skip_bad' must not be negative, got ",
                       config.data.skip_bad);
  require<ConfigError>(t.face_share == 0 || (t.face_share >= 0.1 && t.face_share <= 2),
                       "'face_share' must be 0.1 to 2, or 0 for the data set's; got ", t.face_share);
  check_choice("'dataset'", config.data.name, dataset_names());
  require<ConfigError>(t.loader_threads >= 0 && t.loader_threads <= 64,
                       "'loader_threads' must be 0 to 64, got ", t.loader_threads);
  require<ConfigError>(t.save_every >= 0, "'save_every' must not be negative, got ", t.save_every);
  require<ConfigError>(t.max_steps >= 0, "'max_steps' must not be negative, got ", t.max_steps);
  config.augment.check();
}

DatasetOptions evaluation_data(DatasetOptions options, Split split) {
  options.split = split;
  const bool of_training = split == Split::train || split == Split::validation;
  if (!of_training && options.label_mode == LabelMode::soft) options.label_mode = LabelMode::majority;
  return options;
}

}  // namespace fer
