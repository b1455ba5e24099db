// The executor's options; the environment gives their initial values.
#include <omp.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string_view>

#include "fer/simt/executor.h"
#include "simt/device_heap.h"

namespace fer::simt {
namespace {

template <typename Number>
bool parse(std::string_view text, Number* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

Options options_from_environment() {
  Options options;
  if (const char* value = std::getenv("FER_SIMT_ORDER")) {
    const std::string_view order = value;
    constexpr std::string_view with_seed = "shuffled:";
    if (order == "forward") {
      options.order = LaneOrder::forward;
    } else if (order == "reverse") {
      options.order = LaneOrder::reverse;
    } else {
      options.order = LaneOrder::shuffled;
      require<ConfigError>(
          order == "shuffled" ||
              (order.starts_with(with_seed) && parse(order.substr(with_seed.size()), &options.seed)),
          "FER_SIMT_ORDER is '", order, "'; it may be forward, reverse, shuffled or shuffled:<seed>");
    }
  }
  if (const char* value = std::getenv("FER_SIMT_ASYNC_COPY")) {
    const std::string_view mode = value;
    require<ConfigError>(mode == "early" || mode == "late", "FER_SIMT_ASYNC_COPY is '", mode,
                         "'; it may be early or late");
    options.async_copy = mode == "early" ? AsyncCopy::early : AsyncCopy::late;
  }
  if (const char* value = std::getenv("FER_SIMT_THREADS")) {
    require<ConfigError>(parse(std::string_view(value), &options.threads) && options.threads >= 1,
                         "FER_SIMT_THREADS is '", value, "'; it must be a number of threads");
  }
  if (const char* value = std::getenv("FER_SIMT_SHARED_LIMIT")) {
    std::size_t kibibytes = 0;
    require<ConfigError>(parse(std::string_view(value), &kibibytes) && kibibytes >= 1 && kibibytes <= 1024,
                         "FER_SIMT_SHARED_LIMIT is '", value, "'; it must be a number of KiB, 1 to 1024");
    options.shared_limit = kibibytes * 1024;
  }
  if (const char* value = std::getenv("FER_SIMT_TIME_LIMIT")) {
    require<ConfigError>(parse(std::string_view(value), &options.time_limit) && options.time_limit >= 0 &&
                             options.time_limit <= 1e6,
                         "FER_SIMT_TIME_LIMIT is '", value,
                         "'; it must be a number of seconds, 0 (no limit) to 1000000");
  }
  return options;
}

namespace {

std::mutex mutex;
Options& current() {
  static Options options = options_from_environment();
  return options;
}

}  // namespace

Options options() {
  const std::lock_guard lock(mutex);
  return current();
}

void set_options(const Options& options) {
  const std::lock_guard lock(mutex);
  current() = options;
}

DeviceMemory device_memory() {
  const detail::DeviceHeap& heap = detail::DeviceHeap::instance();
  return {heap.live(), heap.peak(), options().memory_limit};
}

void reset_peak_device_memory() {
  detail::DeviceHeap::instance().reset_peak();
}

bool is_device_pointer(const void* data) {
  return detail::DeviceHeap::instance().find(data).data != nullptr;
}

std::string description() {
  const Options o = options();
  const char* orders[] = {"forward", "reverse", "shuffled"};
  const int threads = o.threads > 0 ? o.threads : omp_get_max_threads();
  return concat(orders[static_cast<int>(o.order)], " lane order, ",
                o.async_copy == AsyncCopy::late ? "late" : "early", " cp.async, ", threads,
                threads == 1 ? " thread" : " threads");
}

}  // namespace fer::simt
