// Event files that TensorBoard reads: a sequence of TFRecords (length, checksum, bytes, checksum), each the
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

/// CRC-32C (Castagnoli), and as TFRecords have it: rotated and offset, so that a checksum of data that holds
/// checksums stays a good one.
std::uint32_t crc32c(std::string_view bytes);
std::uint32_t masked_crc32c(std::string_view bytes);

class EventFile {
 public:
  /// Creates <folder>/events.out.tfevents.<time>.<number>, a name that is not taken; IoError if it cannot.
  explicit EventFile(const std::filesystem::path& folder, double wall_time);

  /// wall_time: seconds since 1970. IoError if the disk does not take it.
  void scalar(const std::string& tag, double value, std::int64_t step, double wall_time);
  void image(const std::string& tag, const Image& picture, std::int64_t step, double wall_time);
  /// What earlier files of the folder have from this step on is void: the run was resumed here.
  void session_start(std::int64_t step, double wall_time);

  const std::filesystem::path& path() const { return path_; }

 private:
  void record(std::string_view event);

  std::filesystem::path path_;
  std::ofstream out_;
};

/// Writes a run's log, each stage and its epochs, into event files under `folder`; returns the file. Times
/// are those of the run's own durations, up to when its log was last written.
std::filesystem::path write_events(const RunLog& log, const std::filesystem::path& folder);

/// Writes events while a run goes on, and hands all on to another observer.
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
