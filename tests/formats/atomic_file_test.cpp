// A file is written completely or stays as it was: full disks, unwritable folders, killed writers.
#include "fer/formats/atomic_file.h"

#include <signal.h>
#include <sys/wait.h>

#include "tests/formats/format_test.h"

namespace fer::test {
namespace {

TEST_CASE("atomic file: parts are written one after another, and replace what was there") {
  const TemporaryFolder folder;
  const auto path = folder / "a.bin";
  write_file_atomically(path, "first");
  CHECK(contents(path) == "first");
  const std::span<const std::byte> parts[] = {bytes_of("se"), bytes_of(""), bytes_of("cond")};
  write_file_atomically(path, parts);
  CHECK(contents(path) == "second");
  CHECK(folder.names() == std::vector<std::string>{"a.bin"});
}

TEST_CASE("read_file: refuses devices, and reads no more than its limit, from a file or a pipe") {
  const TemporaryFolder folder;
  CHECK_MESSAGE_OF(read_file("/dev/zero"), IoError, "cannot read '/dev/zero': it is a device, not a file");
  const auto path = folder.file("twelve", "twelve bytes");
  CHECK(read_file(path, 12).size() == 12);
  CHECK_MESSAGE_OF(read_file(path, 11), IoError,
                   concat("cannot read '", path.string(), "': it is larger than 11 bytes"));
  for (const std::size_t most : {std::size_t{12}, std::size_t{11}}) {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    REQUIRE(::write(ends[1], "twelve bytes", 12) == 12);
    ::close(ends[1]);
    const std::string pipe = concat("/proc/self/fd/", ends[0]);
    if (most == 12) {
      CHECK(read_file(pipe, most).size() == 12);
    } else {
      CHECK_MESSAGE_OF(read_file(pipe, most), IoError,
                       concat("cannot read '", pipe, "': it is larger than 11 bytes"));
    }
    ::close(ends[0]);
  }
}

TEST_CASE("atomic file: a symbolic link stays one") {
  const TemporaryFolder folder;
  folder.file("real", "old");
  std::filesystem::create_symlink("real", folder / "link");
  write_file_atomically(folder / "link", "new");
  CHECK(std::filesystem::is_symlink(folder / "link"));
  CHECK(contents(folder / "real") == "new");
}

TEST_CASE("atomic file: a full disk leaves the old file and nothing beside it") {
  const TemporaryFolder folder;
  const auto path = folder.file("weights", "the old weights");
  const std::string large(1 << 20, 'x');
  {
    const FullDisk disk(1 << 16);
    CHECK_MESSAGE_OF(write_file_atomically(path, large), IoError,
                     concat("cannot write '", path.string(), "': File too large"));
  }
  CHECK(contents(path) == "the old weights");
  CHECK(folder.names() == std::vector<std::string>{"weights"});
  write_file_atomically(path, large);
  CHECK(contents(path) == large);
}

TEST_CASE("atomic file: folders that do not exist, are not folders, or cannot be written") {
  const TemporaryFolder folder;
  folder.file("plain", "x");
  CHECK_MESSAGE_OF(write_file_atomically(folder / "none/a", "x"), IoError,
                   concat("cannot write '", (folder / "none/a").string(), "': No such file or directory"));
  CHECK_MESSAGE_OF(write_file_atomically(folder / "plain/a", "x"), IoError,
                   concat("cannot write '", (folder / "plain/a").string(), "': Not a directory"));
  std::filesystem::create_directory(folder / "sub");
  CHECK_MESSAGE_OF(
      write_file_atomically(folder / "sub", "x"), IoError,
      concat("cannot write '", (folder / "sub").string(), "': it exists and is not a regular file"));
  CHECK_MESSAGE_OF(write_file_atomically("/dev/null", "x"), IoError,
                   "cannot write '/dev/null': it exists and is not a regular file");
  // The check beforehand gives the same message.
  CHECK_MESSAGE_OF(require_writable_file(folder / "none/a"), IoError,
                   concat("cannot write '", (folder / "none/a").string(), "': No such file or directory"));
  CHECK_MESSAGE_OF(require_writable_file("/dev/null"), IoError,
                   "cannot write '/dev/null': it exists and is not a regular file");
  CHECK_NOTHROW(require_writable_file(folder / "plain"));
  CHECK_NOTHROW(require_writable_file(folder / "new"));
  CHECK(folder.names() == std::vector<std::string>{"plain", "sub"});
  CHECK(contents(folder / "plain") == "x");
  std::filesystem::permissions(folder / "sub",
                               std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  {
    const OrdinaryUser user;
    CHECK_MESSAGE_OF(write_file_atomically(folder / "sub/a", "x"), IoError,
                     concat("cannot write '", (folder / "sub/a").string(), "': Permission denied"));
  }
  std::filesystem::permissions(folder / "sub", std::filesystem::perms::owner_all);
}

TEST_CASE(
    "atomic file: what a killed writer left is cleared by the next one, a living writer's file is not") {
  const TemporaryFolder folder;
  const pid_t dead = ::fork();
  if (dead == 0) ::_exit(0);
  ::waitpid(dead, nullptr, 0);
  folder.file(concat("a.tmp.", dead), "half");
  folder.file(concat("a.tmp.", ::getppid()), "being written");
  folder.file("a.tmp.notes", "someone's own");
  folder.file(concat("b.tmp.", dead), "another file's");
  write_file_atomically(folder / "a", "whole");
  std::vector<std::string> expected{"a", concat("a.tmp.", ::getppid()), "a.tmp.notes",
                                    concat("b.tmp.", dead)};
  std::sort(expected.begin(), expected.end());
  CHECK(folder.names() == expected);
}

TEST_CASE("atomic file: a kill at any moment leaves the old file or the new one") {
  const TemporaryFolder folder;
  const auto path = folder / "a";
  const std::string old(1 << 20, 'o'), fresh(1 << 20, 'n');
  write_file_atomically(path, old);
  for (int delay = 0; delay < 20; ++delay) {
    const pid_t child = ::fork();
    if (child == 0) {
      for (;;) write_file_atomically(path, fresh), write_file_atomically(path, old);
    }
    ::usleep(static_cast<useconds_t>(500 + 700 * delay));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    const std::string found = contents(path);
    CHECK((found == old || found == fresh));
  }
  write_file_atomically(path, old);
  CHECK(folder.names() == std::vector<std::string>{"a"});
}

TEST_CASE("read_file: whole files, and the system's reason where there is none") {
  const TemporaryFolder folder;
  CHECK(read_file(folder.file("empty", "")).empty());
  CHECK(contents(folder.file("zeros", std::string(10000, '\0'))) == std::string(10000, '\0'));
  CHECK(!read_file("/proc/self/status").empty());  // its size is not known before it is read
  CHECK_MESSAGE_OF(read_file(folder / "none"), IoError,
                   concat("cannot read '", (folder / "none").string(), "': No such file or directory"));
  CHECK_MESSAGE_OF(read_file(folder.path()), IoError,
                   concat("cannot read '", folder.path().string(), "': Is a directory"));
}

}  // namespace
}  // namespace fer::test
