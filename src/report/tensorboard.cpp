// Field numbers are from tensorflow/core/util/event.proto and framework/summary.proto.
#include "fer/report/tensorboard.h"

#include <array>
#include <chrono>
#include <cmath>

#include "fer/error.h"
#include "formats/protobuf.h"

namespace fer {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::uint32_t, 256> make_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0x82F63B78u : 0u);
    table[i] = value;
  }
  return table;
}

std::string little_endian(std::uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text.push_back(static_cast<char>((value >> (8 * i)) & 0xff));
  return text;
}

std::string joined(const ProtoMessage& message) {
  std::string text;
  for (const std::span<const std::byte> part : message.parts()) {
    text.append(reinterpret_cast<const char*>(part.data()), part.size());
  }
  return text;
}

ProtoMessage event(double wall_time, std::int64_t step) {
  ProtoMessage message;
  message.real64(1, wall_time);
  if (step != 0) message.integer(2, step);
  return message;
}

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// "train/" for the main stage, "landmarks/train/" for the landmark backbone's own training.
std::string group(const std::string& stage, const char* name) {
  return (stage == main_stage ? "" : stage + "/") + name + "/";
}

void write_step(EventFile& file, const StepReport& report, double time) {
  const std::string tag = group(report.stage, "train");
  file.scalar(tag + "loss", report.loss, report.step, time);
  for (const auto& [name, value] : report.parts) file.scalar(tag + name, value, report.step, time);
  file.scalar(tag + "learning_rate", report.lr, report.step, time);
  file.scalar(tag + "images_per_second", report.images_per_second, report.step, time);
}

void write_epoch(EventFile& file, const EpochReport& report, double time) {
  const std::string tag = group(report.stage, "validation");
  for (const auto& [name, value] : report.evaluation.figures)
    file.scalar(tag + name, value, report.step, time);
  file.scalar(group(report.stage, "epoch") + "train_loss", report.train_loss, report.step, time);
  file.scalar(group(report.stage, "epoch") + "seconds", report.seconds, report.step, time);
}

/// When the log was last written, in seconds since 1970.
double last_written(const fs::path& path) {
  std::error_code error;
  const auto time = fs::last_write_time(path, error);
  if (error) return now();
  const auto age = std::chrono::duration<double>(fs::file_time_type::clock::now() - time).count();
  return now() - age;
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  static constexpr std::array<std::uint32_t, 256> table = make_table();
  std::uint32_t crc = 0xffffffffu;
  for (const char c : bytes) crc = (crc >> 8) ^ table[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  return crc ^ 0xffffffffu;
}

std::uint32_t masked_crc32c(std::string_view bytes) {
  const std::uint32_t crc = crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

EventFile::EventFile(const fs::path& folder, double wall_time) {
  std::error_code error;
  fs::create_directories(folder, error);
  require<IoError>(!error, "cannot create the folder '", folder.string(), "': ", error.message());
  // TensorBoard reads the files of a folder in name order.
  const auto seconds = static_cast<std::int64_t>(now());
  for (int number = 0;; ++number) {
    path_ = folder / concat("events.out.tfevents.", seconds, ".", number < 10 ? "0" : "", number, ".fer");
    if (!fs::exists(path_, error)) break;
  }
  out_.open(path_, std::ios::binary);
  ProtoMessage message = event(wall_time, 0);
  message.text(3, "brain.Event:2");
  record(joined(message));
}

void EventFile::record(std::string_view bytes) {
  const std::string length = little_endian(bytes.size(), 8);
  out_ << length << little_endian(masked_crc32c(length), 4) << bytes
       << little_endian(masked_crc32c(bytes), 4);
  out_.flush();
  require<IoError>(out_.good(), "cannot write '", path_.string(), "'");
}

void EventFile::scalar(const std::string& tag, double value, std::int64_t step, double wall_time) {
  if (!std::isfinite(value)) return;  // a curve has no point for an undefined figure
  ProtoMessage entry, summary, message = event(wall_time, step);
  entry.text(1, tag);
  entry.real(2, static_cast<float>(value));
  summary.message(1, std::move(entry));
  message.message(5, std::move(summary));
  record(joined(message));
}

void EventFile::image(const std::string& tag, const Image& picture, std::int64_t step, double wall_time) {
  const std::vector<std::uint8_t> png = encode_png(picture);
  ProtoMessage inner, entry, summary, message = event(wall_time, step);
  inner.integer(1, picture.height);
  inner.integer(2, picture.width);
  inner.integer(3, picture.channels);
  inner.text(4, {reinterpret_cast<const char*>(png.data()), png.size()});
  entry.text(1, tag);
  entry.message(4, std::move(inner));
  summary.message(1, std::move(entry));
  message.message(5, std::move(summary));
  record(joined(message));
}

void EventFile::session_start(std::int64_t step, double wall_time) {
  ProtoMessage status, message = event(wall_time, step);
  status.integer(1, 1);  // SessionLog.START
  message.message(7, std::move(status));
  record(joined(message));
}

fs::path write_events(const RunLog& log, const fs::path& folder) {
  double seconds = 0;
  for (const EpochReport& epoch : log.epochs) seconds += epoch.seconds;
  double start = last_written(log.folder / "metrics.jsonl") - seconds;
  EventFile file(folder, start);
  std::size_t next = 0;
  for (const EpochReport& epoch : log.epochs) {
    const std::size_t first = next;
    while (next < log.steps.size() && log.steps[next].stage == epoch.stage &&
           log.steps[next].epoch == epoch.epoch) {
      ++next;
    }
    for (std::size_t i = first; i < next; ++i) {
      const double share = static_cast<double>(i - first + 1) / static_cast<double>(next - first);
      write_step(file, log.steps[i], start + share * epoch.seconds);
    }
    start += epoch.seconds;
    write_epoch(file, epoch, start);
  }
  for (; next < log.steps.size(); ++next)
    write_step(file, log.steps[next], start);  // the steps of an incomplete epoch
  return file.path();
}

EventObserver::EventObserver(fs::path folder, TrainingObserver& next)
    : folder_(std::move(folder)), next_(next) {}

EventFile& EventObserver::events(const std::string& stage, std::int64_t first_step) {
  if (file_ && stage_ == stage) return *file_;
  stage_ = stage;
  file_ = std::make_unique<EventFile>(stage == main_stage ? folder_ : folder_ / stage, now());
  file_->session_start(first_step, now());
  return *file_;
}

void EventObserver::on_step(const StepReport& report) {
  write_step(events(report.stage, report.step), report, now());
  next_.on_step(report);
}

void EventObserver::on_epoch(const EpochReport& report) {
  write_epoch(events(report.stage, report.step), report, now());
  next_.on_epoch(report);
}

}  // namespace fer
