// fer figure: one subcommand per kind of figure.
#include <iostream>

#include "app/commands.h"
#include "app/console.h"
#include "fer/data/examine.h"
#include "fer/formats/atomic_file.h"
#include "fer/report/figures.h"
#include "fer/training/experiment.h"

namespace fer::app {
namespace {

struct FigureOptions {
  std::string weights, compare, out, split = "test", device = "cpu";
  std::vector<std::string> pictures;
  std::vector<std::int64_t> samples;
  std::size_t count = 6;
  double zoom = 2;
  CamOptions cam;
  AttentionOptions attention;
  TokensOptions tokens;
};

/// What every kind needs: the network, and the data set given by the flags.
struct Subject {
  Classifier net;
  RunConfig config;
  Device device;

  Subject(const FigureOptions& options, const SettingFlags& flags)
      : net(load_and_note(options.weights, checked_device(options.device))),
        config(net.config),
        device(net.device) {
    config.data = evaluation_data(config.data, parse_split(options.split));
    flags.apply(config);
    require_writable_file(options.out);
  }
  std::shared_ptr<const Dataset> dataset() const { return open_readable(config.data); }
  /// The data set's samples of the network's classes, with the network's names and numbers.
  std::shared_ptr<const Dataset> relabelled_dataset() const {
    auto data = dataset();
    std::vector<std::int64_t> places = common_classes(net, data->info()).second_of_first();
    std::vector<std::int64_t> known = samples_with_place(*data, places);
    return relabelled(subset(std::move(data), std::move(known)), net.class_names, std::move(places));
  }
  std::vector<Sample> faces(const FigureOptions& options) const {
    if (!options.pictures.empty()) return read_faces({options.pictures.begin(), options.pictures.end()});
    if (options.samples.empty()) return choose_faces(*relabelled_dataset(), options.count);
    const auto data = dataset();
    const std::vector<std::int64_t> places = common_classes(net, data->info()).second_of_first();
    std::vector<Sample> faces = choose_faces(*data, options.samples);
    for (Sample& face : faces) face.label = places[static_cast<std::size_t>(face.label)];  // -1: none
    return faces;
  }
};

int finish(const FigureOptions& options, const Drawing& drawing, const std::string& title) {
  write_drawing(options.out, drawing, title, options.zoom);
  std::cout << "wrote " << options.out << "\n";
  return 0;
}

int landmarks(const FigureOptions& options, const SettingFlags& flags) {
  const Subject subject(options, flags);
  return finish(options, landmark_figure(subject.net, subject.faces(options)), "Landmarks and heat map");
}

int cam(FigureOptions options, const SettingFlags& flags) {
  const Subject subject(options, flags);
  Classifier other;
  if (!options.compare.empty()) {
    other = load_and_note(options.compare, subject.device);
    require<ConfigError>(!options.pictures.empty() || other.class_names == subject.net.class_names,
                         "the networks '", options.weights, "' and '", options.compare,
                         "' do not have the same classes; compare them on --pictures");
    options.cam.other = &other;
    options.cam.name = "1";
    options.cam.other_name = "2";
  }
  return finish(options, cam_figure(subject.net, subject.faces(options), options.cam), "Grad-CAM");
}

int attention(const FigureOptions& options, const SettingFlags& flags) {
  const Subject subject(options, flags);
  const std::vector<Sample> faces = subject.faces(options);
  require<ConfigError>(!faces.empty(), "there is no face to show");
  return finish(options, attention_figure(subject.net, faces[0], options.attention), "Attention rollout");
}

int confusion(const FigureOptions& options, const SettingFlags& flags) {
  const Subject subject(options, flags);
  const auto dataset = subject.dataset();
  const EvaluationResult result = evaluate(subject.net, dataset);
  const std::string title =
      concat(dataset->info().name, ", ", name_of(dataset->info().split), ": ",
             percent_text(result.confusion.accuracy()), " of ", result.confusion.total(), " right");
  return finish(options, draw_confusion(result.confusion, title), "Confusion matrix");
}

int changes(const FigureOptions& options, const SettingFlags& flags) {
  const Subject subject(options, flags);
  const auto dataset = subject.dataset();
  EvaluationResult second = evaluate(subject.net, dataset);
  EvaluationResult first = evaluate(load_and_note(options.compare, subject.device), dataset);
  restrict_to_common_classes(first, second);
  const std::vector<std::string> names = distinct_names({options.compare, options.weights});
  return finish(options, changes_figure(*dataset, first, second, names[0], names[1], options.count),
                "Faces mended and broken");
}

int tokens(const FigureOptions& options, const SettingFlags& flags) {
  const Subject subject(options, flags);
  return finish(options, tokens_figure(subject.net, *subject.relabelled_dataset(), options.tokens),
                "Class tokens");
}

using Kind = int (*)(const FigureOptions&, const SettingFlags&);

/// Adds a subcommand with the flags that every kind has.
CLI::App* add_kind(CLI::App& figure, const std::shared_ptr<FigureOptions>& options, const char* name,
                   const char* help, Kind kind, Command& chosen) {
  CLI::App* command = figure.add_subcommand(name, help);
  command->add_option("--weights", options->weights, "weights or run folder written by fer train")
      ->type_name("PATH")
      ->required();
  command->add_option("--out", options->out, "the figure: .svg, .png or .jpg")->type_name("PATH")->required();
  command->add_option("--split", options->split, "train, validation, test, public_test or private_test")
      ->check(known_words(split_names()))
      ->capture_default_str();
  command->add_option("--zoom", options->zoom, "pixels per point, for .png and .jpg")
      ->check(CLI::Range(0.25, 8.0))
      ->capture_default_str();
  add_device_flag(*command, options->device);
  auto flags = std::make_shared<SettingFlags>(*command, std::vector<std::string>{"data"}, false);
  command->callback([options, flags, kind, &chosen] { chosen = [=] { return kind(*options, *flags); }; });
  return command;
}

void add_faces_flags(CLI::App& command, FigureOptions& options) {
  auto* pictures = command.add_option("--pictures", options.pictures, "PNG or JPEG files of one face each")
                       ->type_name("PATH");
  command.add_option("--samples", options.samples, "indices of samples of the data set")
      ->delimiter(',')
      ->check(whole_number())
      ->excludes(pictures);
  command.add_option("--count", options.count, "faces of the data set, cycling through the classes")
      ->check(CLI::Range(1, 40))
      ->capture_default_str();
}

}  // namespace

Command add_figure(CLI::App& program) {
  CLI::App* figure =
      program.add_subcommand("figure", "Draw a figure of the paper for any network and any faces");
  figure->require_subcommand(1);
  auto options = std::make_shared<FigureOptions>();
  auto chosen = std::make_shared<Command>();
  const auto kind = [&](const char* name, const char* help, Kind run) {
    return add_kind(*figure, options, name, help, run, *chosen);
  };
  CLI::App* command = kind("landmarks", "landmarks and heat map over faces (Figure 2)", landmarks);
  add_faces_flags(*command, *options);
  add_examples(*command,
               {{"fer figure landmarks --weights runs/mine --out landmarks.svg", "faces of its data set"}});

  command = kind("cam", "Grad-CAM before and after the attention (Figure 6)",
                 [](const FigureOptions& o, const SettingFlags& f) { return cam(o, f); });
  add_faces_flags(*command, *options);
  command
      ->add_option("--layers", options->cam.layers, "stage1, stage2, ..., f_img (before), f_fusion (after)")
      ->delimiter(',')
      ->capture_default_str();
  command
      ->add_option("--class", options->cam.target,
                   "class whose score is explained: predicted, true, or the name of a class")
      ->capture_default_str();
  command->add_option("--compare", options->compare, "a second network, whose last layer is one more row")
      ->type_name("PATH");
  add_examples(*command,
               {{"fer figure cam --weights runs/mine --out cam.png", "one face per class"},
                {"fer figure cam --weights runs/mine --out cam.svg --pictures me.png --layers f_fusion",
                 "your own picture, after the attention"}});

  command = kind("attention", "where each landmark query looks, head by head (attention rollout)", attention);
  add_faces_flags(*command, *options);
  command
      ->add_option("--points", options->attention.points, "landmarks, 0 to 67, instead of parts of the face")
      ->delimiter(',');

  add_examples(*command, {{"fer figure attention --weights runs/mine --out attention.svg --points 30,48",
                           "from the tip of the nose and a corner of the mouth"}});

  command = kind("confusion", "confusion matrix (Figure 7)", confusion);
  add_examples(*command, {{"fer figure confusion --weights runs/mine --out confusion.svg", ""}});

  command = kind("changes", "the faces that a network mends and those that it breaks (Figure 8)", changes);
  command->add_option("--compare", options->compare, "the network before: weights or run folder")
      ->type_name("PATH")
      ->required();
  command->add_option("--count", options->count, "maximum number of faces of each kind")
      ->check(CLI::Range(1, 60))
      ->capture_default_str();
  add_examples(*command,
               {{"fer figure changes --weights runs/mine --compare runs/before --out changes.png", ""}});

  command = kind("tokens", "class tokens in two dimensions, with arousal where known", tokens);
  command->add_option("--methods", options->tokens.methods, "pca, tsne")
      ->check(known_words({"pca", "tsne"}))
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--count", options->tokens.count, "maximum number of faces")
      ->check(CLI::Range(4, 5000))
      ->capture_default_str();
  command->add_option("--perplexity", options->tokens.perplexity, "t-SNE: effective number of neighbours")
      ->check(CLI::Range(1.0, 500.0))
      ->capture_default_str();
  add_examples(*command, {{"fer figure tokens --weights runs/mine --out tokens.svg --methods tsne", ""}});
  add_examples(*figure,
               {{"fer figure cam --weights runs/mine --out cam.png", "where a trained network looks"}});
  return [chosen] { return (*chosen)(); };
}

}  // namespace fer::app
