// Tools for planted bugs: device arrays, runs in every lane order, and the message of the expected error.
#pragma once

#include <doctest/doctest.h>

#include <cstddef>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include "fer/simt/gpu.h"
#include "tests/paths.h"

namespace fer::simt::test {

/// An array in device memory that the host can read and write.
template <typename T>
class Array {
 public:
  explicit Array(std::size_t count) : count_(count), data_(static_cast<T*>(gpu::malloc(count * sizeof(T)))) {}
  explicit Array(const std::vector<T>& values) : Array(values.size()) {
    gpu::memcpy_async(data_, values.data(), bytes(), gpu::CopyKind::host_to_device, nullptr);
  }
  ~Array() { gpu::free(data_); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  T* data() const { return data_; }
  std::size_t bytes() const { return count_ * sizeof(T); }
  std::vector<T> host() const {
    std::vector<T> values(count_);
    gpu::memcpy_async(values.data(), data_, bytes(), gpu::CopyKind::device_to_host, nullptr);
    return values;
  }

 private:
  std::size_t count_;
  T* data_;
};

template <typename T>
std::vector<T> counting(std::size_t count, T start = T(0)) {
  std::vector<T> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<T>(start + static_cast<T>(i));
  return values;
}

/// Runs `body` in every order of lanes and blocks.
template <typename Body>
void in_every_order(Body body) {
  for (const LaneOrder order : {LaneOrder::forward, LaneOrder::reverse, LaneOrder::shuffled}) {
    Options o = options();
    o.order = order;
    o.seed = 7;
    const OptionsScope scope(o);
    CAPTURE(static_cast<int>(order));
    body();
  }
}

/// The message of the CheckError that `body` throws; empty if it throws none.
template <typename Body>
std::string message_of(Body body) {
  try {
    body();
  } catch (const CheckError& error) {
    return error.what();
  }
  return {};
}

/// A message without line breaks and without what changes from build to build: source locations and
/// addresses.
inline std::string lasting(const std::string& message) {
  const std::string text = std::regex_replace(message, std::regex(R"(:\d+(?=[:,)]))"), "");
  const std::string placeless =
      std::regex_replace(text, std::regex(R"(\s\(\w+(\.cpp|\+0x[0-9a-f.]+)\))"), "");
  const std::string without = std::regex_replace(placeless, std::regex(R"(0x[0-9a-f]{9,})"), "0x...");
  return std::regex_replace(without, std::regex(R"(\s+)"), " ");
}

/// docs/kernels/planted.md, which quotes the report of every planted bug verbatim.
inline const std::string& documented_reports() {
  static const std::string text = [] {
    std::ifstream file(fer::test::source_folder() / "docs/kernels/planted.md");
    return lasting({std::istreambuf_iterator<char>(file), {}});
  }();
  return text;
}

/// Checks that `body` is caught in every order, with a message that contains all `parts`, and that the
/// documentation shows the message of the forward order.
template <typename Body>
void must_catch(std::initializer_list<const char*> parts, Body body) {
  in_every_order([&] {
    const std::string message = message_of(body);
    INFO("message: ", message);
    CHECK(!message.empty());
    if (options().order == LaneOrder::forward) {
      CHECK_MESSAGE(documented_reports().find(lasting(message)) != std::string::npos,
                    "docs/kernels/planted.md does not show: ", lasting(message));
    }
    for (const char* part : parts) {
      CAPTURE(std::string(part));
      CHECK(message.find(part) != std::string::npos);
    }
  });
}

/// Checks that `body`, the corrected kernel, raises no error in any order.
template <typename Body>
void must_pass(Body body) {
  in_every_order([&] { CHECK(message_of(body) == ""); });
}

}  // namespace fer::simt::test
