// Event files for TensorBoard: a sequence of TFRecords (length, checksum, bytes, checksum), each with a
// Protobuf message tensorflow.Event.
//
//   fer::EventFile events("runs/mine/tensorboard");
//   events.scalar("loss", 0.71, /*step=*/10, /*wall_time=*/1.7e9);
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "fer/data/image.h"
#include "fer/training/loop.h"
#include "fer/training/run_log.h"

namespace fer {

/// CRC-32C (Castagnoli), and its masked form in TFRecords: rotated and offset, because the CRC of data that
/// contains CRCs is weak.
std::uint32_t crc32c(std::string_view bytes);
std::uint32_t masked_crc32c(std::string_view bytes);

class EventFile {
 public:
  /// Creates <folder>/events.out.tfevents.<time>.<number>, with a number that is free; IoError if it cannot.
  explicit EventFile(const std::filesystem::path& folder, double wall_time);

  /// wall_time: seconds since 1970. IoError if writing fails.
  void scalar(const std::string& tag, double value, std::int64_t step, double wall_time);
  void image(const std::string& tag, const Image& picture, std::int64_t step, double wall_time);
  /// Tells TensorBoard to discard what earlier files of the folder have from `step` on, because the run was
  /// resumed there.
  void session_start(std::int64_t step, double wall_time);

  const std::filesystem::path& path() const { return path_; }

 private:
  void record(std::string_view event);

  std::filesystem::path path_;
  std::ofstream out_;
};

/// Writes a run's log, each stage with its epochs, to an event file under `folder`; returns its path. The
/// times follow from the durations in the log, counted back from when the log was last written.
std::filesystem::path write_events(const RunLog& log, const std::filesystem::path& folder);

/// Writes events during a run, and forwards every call to another observer.
class EventObserver : public TrainingObserver {
 public:
  EventObserver(std::filesystem::path folder, TrainingObserver& next);
  void on_note(const std::string& note) override { next_.on_note(note); }
  void on_step(const StepReport& report) override;
  void on_epoch(const EpochReport& report) override;
  bool wants_stop() override { return next_.wants_stop(); }

 private:
  EventFile& events(const std::string& stage, std::int64_t first_step);

  std::filesystem::path folder_;
  TrainingObserver& next_;
  std::string stage_;
  std::unique_ptr<EventFile> file_;
};

}  // namespace fer
