// Event files: checksums against published test vectors, and records byte by byte.
#include "fer/report/tensorboard.h"

#include <doctest/doctest.h>

#include <cmath>

#include <filesystem>
#include <fstream>

#include "fer/error.h"

namespace {

namespace fs = std::filesystem;

std::string contents(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::uint64_t number(const std::string& bytes, std::size_t at, std::size_t count) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < count; ++i) {
    value |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  }
  return value;
}

/// The records of a TFRecord file, each checked.
std::vector<std::string> records(const std::string& bytes) {
  std::vector<std::string> all;
  for (std::size_t at = 0; at < bytes.size();) {
    REQUIRE(at + 12 <= bytes.size());
    const std::uint64_t length = number(bytes, at, 8);
    CHECK(number(bytes, at + 8, 4) == fer::masked_crc32c(bytes.substr(at, 8)));
    REQUIRE(at + 16 + length <= bytes.size());
    all.push_back(bytes.substr(at + 12, length));
    CHECK(number(bytes, at + 12 + length, 4) == fer::masked_crc32c(all.back()));
    at += 16 + length;
  }
  return all;
}

}  // namespace

TEST_CASE("CRC-32C by the vectors of RFC 3720") {
  CHECK(fer::crc32c("123456789") == 0xE3069283u);
  CHECK(fer::crc32c(std::string(32, '\0')) == 0x8A9136AAu);
  CHECK(fer::crc32c(std::string(32, '\xff')) == 0x62A8AB43u);
  CHECK(fer::crc32c("") == 0);
}

TEST_CASE("an event file: version, then scalars") {
  const fs::path folder = fs::temp_directory_path() / "fer_events";
  fs::remove_all(folder);
  fs::path path;
  {
    fer::EventFile file(folder, 1.5);
    path = file.path();
    file.scalar("loss", 0.5, 300, 2.0);
    file.scalar("undefined", std::nan(""), 301, 2.0);
    fer::EventFile second(folder, 1.5);
    CHECK(second.path() != path);
  }
  const auto all = records(contents(path));
  REQUIRE(all.size() == 2);
  // wall_time 1.5 (field 1, eight bytes), file_version (field 3).
  CHECK(all[0] == std::string("\x09\0\0\0\0\0\0\xf8\x3f\x1a\x0d", 11) + "brain.Event:2");
  // wall_time 2, step 300 (varint ac 02), summary with one value: tag and simple_value 0.5.
  CHECK(all[1] ==
        std::string("\x09\0\0\0\0\0\0\0\x40\x10\xac\x02\x2a\x0d\x0a\x0b\x0a\x04loss\x15\0\0\0\x3f", 27));
  fs::remove_all(folder);
}

TEST_CASE("a folder that cannot be created is an error") {
  const fs::path file = fs::temp_directory_path() / "fer_events_file";
  std::ofstream(file) << "x";
  CHECK_THROWS_AS(fer::EventFile(file / "below", 0), fer::IoError);
  fs::remove(file);
}
