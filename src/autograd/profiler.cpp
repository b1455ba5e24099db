#include "fer/autograd/profiler.h"

#include <algorithm>
#include <iomanip>
#include <map>
#include <sstream>

#include "fer/tensor/backend.h"

namespace fer {
namespace {

thread_local Profiler* active = nullptr;

std::string_view name_of(Profiler::Phase phase) {
  switch (phase) {
    case Profiler::Phase::forward:
      return "forward";
    case Profiler::Phase::backward:
      return "backward";
    case Profiler::Phase::other:
      break;
  }
  return "other";
}

struct Line {
  std::int64_t calls = 0;
  double forward = 0, backward = 0, other = 0;
  double total() const { return forward + backward + other; }
  void add(const Profiler::Event& event) {
    ++calls;
    (event.phase == Profiler::Phase::forward    ? forward
     : event.phase == Profiler::Phase::backward ? backward
                                                : other) += event.seconds;
  }
};

void print(std::ostringstream& out, const std::string& title, const std::map<std::string, Line>& lines,
           double total_seconds) {
  std::vector<std::pair<std::string, Line>> sorted(lines.begin(), lines.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second.total() > b.second.total(); });
  out << std::left << std::setw(40) << title << std::right << std::setw(8) << "calls" << std::setw(14)
      << "forward ms" << std::setw(14) << "backward ms" << std::setw(12) << "other ms" << std::setw(9)
      << "share"
      << "\n";
  for (const auto& [name, line] : sorted) {
    out << std::left << std::setw(40) << name << std::right << std::setw(8) << line.calls << std::fixed
        << std::setprecision(2) << std::setw(14) << 1e3 * line.forward << std::setw(14) << 1e3 * line.backward
        << std::setw(12) << 1e3 * line.other << std::setprecision(1) << std::setw(7)
        << (total_seconds > 0 ? 100 * line.total() / total_seconds : 0) << " %\n";
  }
}

/// The first `depth` names of a path.
std::string cut(const std::string& path, int depth) {
  std::size_t end = 0;
  for (int i = 0; i < depth; ++i) {
    end = path.find('.', end);
    if (end == std::string::npos) return path.empty() ? "(outside of modules)" : path;
    ++end;
  }
  return path.substr(0, end - 1);
}

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + "\"";
}

}  // namespace

Profiler::Profiler(Device device) : device_(device), begin_(Clock::now()), last_(begin_), outer_(active) {
  active = this;
}

Profiler::~Profiler() {
  stop();
}

void Profiler::stop() {
  if (running_) active = outer_;
  running_ = false;
}

Profiler* Profiler::current() {
  return active;
}

void Profiler::skip() {
  last_ = Clock::now();
}

void Profiler::rewind(std::size_t count) {
  if (count < events_.size()) events_.resize(count);
  skip();
}

void Profiler::mark(std::string op, std::string module, Phase phase) {
  backend(device_).synchronize();
  const Clock::time_point now = Clock::now();
  Event event{std::move(op), std::move(module), phase, std::chrono::duration<double>(last_ - begin_).count(),
              std::chrono::duration<double>(now - last_).count()};
  events_.push_back(std::move(event));
  last_ = now;
}

std::string Profiler::table(int module_depth) const {
  std::map<std::string, Line> by_op, by_module;
  double total_seconds = 0;
  for (const Event& event : events_) {
    by_op[event.op].add(event);
    by_module[cut(event.module, module_depth)].add(event);
    total_seconds += event.seconds;
  }
  std::ostringstream out;
  print(out, "operation", by_op, total_seconds);
  out << "\n";
  print(out, "module", by_module, total_seconds);
  out << "\n" << std::fixed << std::setprecision(2) << 1e3 * total_seconds << " ms in all\n";
  return out.str();
}

std::string Profiler::chrome_trace() const {
  std::ostringstream out;
  out << "{\"document\": \"fer trace\", \"version\": 1, \"traceEvents\": [\n";
  for (std::size_t i = 0; i < events_.size(); ++i) {
    const Event& event = events_[i];
    out << (i ? ",\n" : "") << "{\"name\": " << quoted(event.op) << ", \"cat\": \"" << name_of(event.phase)
        << "\", \"ph\": \"X\", \"pid\": 1, \"tid\": 1, \"ts\": " << std::fixed << std::setprecision(3)
        << 1e6 * event.start << ", \"dur\": " << 1e6 * event.seconds
        << ", \"args\": {\"module\": " << quoted(event.module) << "}}";
  }
  out << "\n]}\n";
  return out.str();
}

}  // namespace fer
