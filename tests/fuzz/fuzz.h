// Helpers of the fuzz targets. The library's own errors are expected. Any other exception, a sanitizer's
// report, more than 2 GiB of memory or more than ten seconds is a finding.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

#include "fer/error.h"

namespace fer::fuzz {

inline std::span<const std::byte> bytes_of(const std::uint8_t* data, std::size_t size) {
  return std::as_bytes(std::span(data, size));
}

inline std::string text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

template <typename Body>
void answer_or_error(Body body) {
  try {
    body();
  } catch (const Error&) {
  }
}

/// The path of an in-memory file with these bytes; valid until the next call.
inline const char* file_of(const std::uint8_t* data, std::size_t size) {
  static const int descriptor = ::memfd_create("fuzz", 0);
  static const std::string path = "/proc/self/fd/" + std::to_string(descriptor);
  const bool written =
      ::ftruncate(descriptor, 0) == 0 && ::pwrite(descriptor, data, size, 0) == static_cast<ssize_t>(size);
  if (!written) std::abort();
  return path.c_str();
}

}  // namespace fer::fuzz
