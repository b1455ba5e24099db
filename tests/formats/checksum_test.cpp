// Checksums against published values, and errors for files that cannot be read.
#include "fer/formats/checksum.h"

#include <sys/stat.h>

#include "tests/formats/format_test.h"

namespace fer::test {
namespace {

TEST_CASE("SHA-256 of files") {
  const TemporaryFolder folder;
  CHECK(file_sha256(folder.file("empty", "")) ==
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(file_sha256(folder.file("abc", "abc")) ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  // Longer than one read.
  CHECK(file_sha256(folder.file("large", std::string(3 << 20, 'a'))) ==
        "6f850bc94ae6f7de14297c01616c36d712d22864497b28a63b81d776b035e656");
  CHECK_MESSAGE_OF(file_sha256(folder / "none"), IoError,
                   concat("cannot read '", (folder / "none").string(), "': No such file or directory"));
  CHECK_MESSAGE_OF(file_sha256(folder.path()), IoError,
                   concat("cannot read '", folder.path().string(), "': Is a directory"));
  CHECK_MESSAGE_OF(file_sha256("/dev/zero"), IoError, "cannot read '/dev/zero': it is a device, not a file");
  const std::string pipe = (folder / "pipe").string();
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK_MESSAGE_OF(file_sha256(pipe), IoError, concat("cannot read '", pipe, "': it is a pipe, not a file"));
}

TEST_CASE("CRC-32, at once and in parts") {
  CHECK(crc32(bytes_of("123456789")) == 0xCBF43926u);
  CHECK(crc32(bytes_of("")) == 0);
  CHECK(crc32({}, 0xCBF43926u) == 0xCBF43926u);
  CHECK(crc32(bytes_of("56789"), crc32(bytes_of("1234"))) == 0xCBF43926u);
}

}  // namespace
}  // namespace fer::test
