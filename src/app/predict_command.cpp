// fer predict
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <iomanip>
#include <iostream>

#include "app/commands.h"
#include "app/interrupt.h"
#include "app/predict.h"
#include "fer/data/video.h"
#include "fer/report/face_overlay.h"

namespace fer::app {
namespace {

namespace fs = std::filesystem;

constexpr int exit_failed = 1, exit_no_face = 3;
// Shares of the longer side: suitable for a group portrait, and for a person in front of a camera.
constexpr double smallest_in_picture = 0.05, smallest_in_video = 0.15;

struct PredictOptions {
  std::string weights, device = "cpu", precision = "float32", crop = "auto", camera, overlay;
  std::vector<std::string> inputs;
  double smallest = 0;  // 0: the default for pictures or videos
  double smooth = 0;    // seconds; 0: labels are not smoothed
  std::int64_t every = 1, frames = 0;
  bool json = false, csv = false, recursive = false, turns = false;
};

void create_folder(const fs::path& folder) {
  if (folder.empty()) return;
  std::error_code error;
  fs::create_directories(folder, error);
  require<IoError>(!error, "cannot create the folder '", folder.string(), "': ", error.message());
}

/// Reads files and streams one after another, and keeps counts for the exit code.
class Predictor {
 public:
  Predictor(const PredictOptions& options, Classifier classifier)
      : options_(options),
        at_once_(static_cast<std::size_t>(omp_get_max_threads())),
        reader_(std::move(classifier), parse_crop_mode(options.crop)),
        writer_(make_prediction_writer(options.json  ? PredictionFormat::json
                                       : options.csv ? PredictionFormat::csv
                                                     : PredictionFormat::text,
                                       reader_.class_names(), {options.turns, options.smooth > 0})) {
    reader_.try_turns(options.turns);
  }

  void read_files(const std::vector<PredictInput>& inputs) {
    for (std::size_t i = 0; i < inputs.size();) {
      unread_ = interrupted() != 0;
      if (unread_) return;
      if (!inputs[i].problem.empty()) {
        const PredictInput& input = inputs[i++];
        guarded(input.file.string(), [&input] { throw IoError(input.problem); });
        continue;
      }
      if (inputs[i].video) {
        read_video(inputs[i++]);
        continue;
      }
      std::vector<PredictInput> pictures;
      const auto is_picture = [](const PredictInput& input) { return !input.video && input.problem.empty(); };
      for (; i < inputs.size() && is_picture(inputs[i]) && pictures.size() < at_once_; ++i)
        pictures.push_back(inputs[i]);
      read_pictures(pictures);
    }
  }

  void read_camera() {
    guarded("camera " + options_.camera, [&] {
      read_stream(*open_camera(options_.camera), "camera " + options_.camera, options_.overlay);
    });
  }

  int finish() {
    writer_->finish();
    if (unread_) return exit_code_of(interrupted());  // an incomplete answer is not a success
    return failed_ > 0 ? exit_failed : faces_ == 0 ? exit_no_face : 0;
  }

 private:
  /// An error in one file must not lose the results of the others.
  template <typename Body>
  void guarded(const std::string& source, Body body) {
    try {
      body();
    } catch (const Error& error) {
      const std::string what = error.what();
      const bool named = what.find("'" + source + "'") != std::string::npos;
      std::cerr << "fer: " << (named ? "" : source + ": ") << what << std::endl;
      writer_->failed(source, what);
      ++failed_;
      unread_ = interrupted() != 0;  // it may have been a pipe without a writer
    }
  }

  /// Decodes each picture once. An error is kept until the picture's turn in the output.
  void read_pictures(const std::vector<PredictInput>& inputs) {
    search_for(smallest_in_picture);
    std::vector<Image> images;
    std::vector<ImageInfo> infos(inputs.size());
    std::vector<std::exception_ptr> problems(inputs.size());
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      try {
        images.push_back(read_image(inputs[i].file, &infos[i]));
      } catch (const Error&) {
        problems[i] = std::current_exception();
      }
    }
    const auto readings = read_together(images);
    for (std::size_t i = 0, read = 0; i < inputs.size(); ++i) {
      guarded(inputs[i].file.string(), [&] {
        if (problems[i]) std::rethrow_exception(problems[i]);
        const std::size_t at = read++;
        if (infos[i].more)
          std::cerr << inputs[i].file.string() << ": holds several pictures; the first was read\n";
        report({inputs[i].file.string(), std::nullopt, 0, images[at].width, images[at].height,
                readings ? std::move((*readings)[at]) : reader_.read(images[at])},
               images[at], inputs[i].overlay);
      });
    }
  }

  /// The faces of all pictures; none if the search of any picture failed. The caller then reads them one by
  /// one.
  std::optional<std::vector<std::vector<FaceReading>>> read_together(const std::vector<Image>& images) {
    try {
      return reader_.read(images);
    } catch (const Error&) {
      return std::nullopt;
    }
  }

  void report(const PictureReading& reading, const Image& image, const fs::path& overlay) {
    if (!overlay.empty()) {
      create_folder(overlay.parent_path());
      write_image(overlay, overlay_faces(image, reading.faces, reader_.class_names()));
    }
    writer_->write(reading);
    faces_ += static_cast<std::int64_t>(reading.faces.size());
    if (reading.faces.empty())
      std::cerr << reading.source << ": no face found" << no_face_advice() << std::endl;
  }

  /// Advice on other ways to find a face.
  const char* no_face_advice() const {
    return options_.crop == "none" ? ""
           : options_.turns        ? ", turned or not; --smallest-face looks for smaller ones"
                                   : "; --turns looks for turned ones, --smallest-face for smaller ones";
  }

  void read_video(const PredictInput& input) {
    guarded(input.file.string(),
            [&] { read_stream(*open_video(input.file), input.file.string(), input.overlay); });
  }

  void read_stream(VideoReader& stream, const std::string& source, const fs::path& overlay) {
    search_for(smallest_in_video);
    std::unique_ptr<VideoWriter> video;
    if (!overlay.empty()) {
      create_folder(overlay.parent_path());
      video = create_video(overlay, stream.frame_rate() / static_cast<double>(options_.every));
    }
    std::optional<FaceTracker> tracker;
    if (options_.smooth > 0) tracker.emplace(options_.smooth);
    const auto started = std::chrono::steady_clock::now();
    std::int64_t frames = 0, with_faces = 0;
    double seconds = 0;
    for (std::vector<VideoFrame> batch; next_batch(stream, frames, batch);) {
      std::vector<Image> images;
      images.reserve(batch.size());
      for (VideoFrame& frame : batch) images.push_back(std::move(frame.image));
      std::vector<std::vector<FaceReading>> readings = reader_.read(images);
      for (std::size_t i = 0; i < batch.size(); ++i) {
        PictureReading reading{source,          batch[i].index,   batch[i].seconds,
                               images[i].width, images[i].height, std::move(readings[i])};
        if (tracker) reading.tracked = tracker->follow(reading.faces, reading.seconds);
        if (video)
          video->write(overlay_faces(images[i], shown_faces(reading), reader_.class_names()),
                       reading.seconds);
        with_faces += reading.faces.empty() ? 0 : 1;
        faces_ += static_cast<std::int64_t>(reading.faces.size());
        writer_->write(reading);
      }
      frames += static_cast<std::int64_t>(batch.size());
      seconds = batch.back().seconds;
    }
    if (video && frames > 0) video->finish();
    const double taken = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    std::cerr << source << ": " << frames << " frames, " << with_faces << " with a face, in " << std::fixed
              << std::setprecision(1) << taken << " s: " << static_cast<double>(frames) / taken
              << " frames/s, " << seconds / taken << " times real time\n"
              << std::defaultfloat;
    if (frames > 0 && with_faces == 0)
      std::cerr << source << ": no face found" << no_face_advice() << std::endl;
  }

  /// The faces with the labels that an overlay shows: smoothed ones if there are any.
  static std::vector<FaceReading> shown_faces(const PictureReading& reading) {
    std::vector<FaceReading> faces = reading.faces;
    for (std::size_t i = 0; i < reading.tracked.size(); ++i)
      faces[i].prediction = reading.tracked[i].smoothed;
    return faces;
  }

  /// Reads every n-th frame, as many as one batch holds; false if there are no more.
  bool next_batch(VideoReader& stream, std::int64_t read, std::vector<VideoFrame>& batch) {
    batch.clear();
    const std::int64_t most = options_.frames > 0 ? options_.frames - read : std::int64_t{1} << 62;
    for (VideoFrame frame; interrupted() == 0 && batch.size() < at_once_ &&
                           static_cast<std::int64_t>(batch.size()) < most && stream.next(frame);) {
      if (frame.index % options_.every == 0) batch.push_back(std::move(frame));
    }
    return !batch.empty();
  }

  void search_for(double smallest) {
    reader_.set_detection({options_.smallest > 0 ? options_.smallest : smallest});
  }

  const PredictOptions& options_;
  std::size_t at_once_;
  FaceReader reader_;
  std::unique_ptr<PredictionWriter> writer_;
  int failed_ = 0;
  std::int64_t faces_ = 0;
  bool unread_ = false;  ///< an interrupt came before the last input was read
};

int run(const PredictOptions& options) {
  require<ConfigError>(options.inputs.empty() != options.camera.empty(),
                       "predict: give pictures, videos or folders of them, or --camera");
  const std::vector<PredictInput> inputs =
      predict_inputs(options.inputs, options.recursive, options.camera.empty() ? options.overlay : "");
  require<ConfigError>(!options.turns || options.crop != "none",
                       "predict: --turns looks for faces, which --crop none does not");
  const bool streams = !options.camera.empty() || std::any_of(inputs.begin(), inputs.end(),
                                                              [](const PredictInput& i) { return i.video; });
  require<ConfigError>(options.smooth == 0 || streams,
                       "predict: --smooth works on the frames of a video or camera, but there is none");
  const fs::path weights = options.weights.empty() ? default_weights() : fs::path(options.weights);
  Predictor predictor(options,
                      load_and_note(weights.string(), checked_device(options.device, options.precision)));
  // On an interrupt, everything read so far is still answered, and a stream's overlay is completed.
  const InterruptCatcher catcher;
  if (options.camera.empty()) {
    predictor.read_files(inputs);
  } else {
    predictor.read_camera();
  }
  return predictor.finish();
}

}  // namespace

Command add_predict(CLI::App& program) {
  CLI::App* command =
      program.add_subcommand("predict", "Recognise the expressions of people in pictures and videos");
  auto options = std::make_shared<PredictOptions>();
  command->add_option("inputs", options->inputs, "pictures, videos, or folders of them")->type_name("PATH");
  command
      ->add_option("--weights", options->weights,
                   "weights or checkpoint written by fer train [$FER_WEIGHTS, or those that come with fer]")
      ->type_name("PATH");
  command
      ->add_option("--crop", options->crop,
                   "where faces are: detect (look for them), none (the whole picture), or auto (none for a "
                   "square of at most 256 pixels a side, else detect)")
      ->check(known_words({"auto", "detect", "none"}))
      ->capture_default_str();
  command
      ->add_option("--smallest-face", options->smallest,
                   "smallest face to look for, as a share of the longer side [0.05; videos 0.15]")
      ->check(CLI::Range(0.001, 1.0));
  command->add_flag("--turns", options->turns,
                    "also look for faces in the picture turned by 90, 180 and 270 degrees");
  command
      ->add_option("--smooth", options->smooth,
                   "streams: also print labels smoothed over this many seconds, for each tracked face")
      ->check(CLI::Range(0.001, 3600.0));
  command->add_flag("--recursive", options->recursive, "also read the subfolders of folders");
  command
      ->add_option("--overlay", options->overlay,
                   "draw faces, labels and landmarks into this file, or into this folder for several inputs")
      ->type_name("PATH");
  CLI::Option* json = command->add_flag("--json", options->json, "print the result as JSON");
  command
      ->add_flag("--csv", options->csv,
                 "print the result as CSV, one line per face, and one per picture or frame without a face")
      ->excludes(json);
  command->add_option("--camera", options->camera, "read a camera instead: its number, or /dev/videoN")
      ->type_name("PATH");
  command->add_option("--every", options->every, "streams: read every n-th frame")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  command->add_option("--frames", options->frames, "streams: stop after this many frames [0: no limit]")
      ->check(CLI::Range(0, 1000000000));
  add_device_flag(*command, options->device);
  add_precision_flag(*command, options->precision);
  command->footer(
      "Exit code 0: faces were read. 1: a file could not be read (the others still are). 2: wrong "
      "usage.\n3: everything was read, but no face was found in it. 130, 143: Ctrl-C or SIGTERM came before "
      "the last input.");
  add_examples(*command, {{"fer predict photograph.jpg --overlay marked.jpg",
                           "every face, and a copy of the picture with marks"},
                          {"fer predict --weights runs/mine --recursive pictures --csv",
                           "a folder and its subfolders, one line per face"},
                          {"fer predict --camera 0 --every 5", "a camera, one frame in five"}});
  return [options] { return run(*options); };
}

}  // namespace fer::app
