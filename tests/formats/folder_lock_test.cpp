// A folder has one writer at a time, and the lock of a dead process is released.
#include "fer/formats/folder_lock.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>

#include "tests/formats/format_test.h"

namespace fer::test {
namespace {

TEST_CASE("folder lock: one holder at a time, and nothing is left behind") {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / "run";
  std::filesystem::create_directory(path);
  const std::string held = concat("another fer is writing in the folder '", path.string(),
                                  "'; wait until it has ended, or name another folder");
  std::optional<FolderLock> first(path);
  CHECK(first->missing().empty());
  CHECK_MESSAGE_OF(FolderLock(path), IoError, held);
  std::optional<FolderLock> moved(std::move(*first));
  first.reset();
  CHECK_MESSAGE_OF(FolderLock(path), IoError, held);
  moved.reset();
  CHECK_NOTHROW(FolderLock{path});
  CHECK(std::filesystem::is_empty(path));
  CHECK_MESSAGE_OF(
      FolderLock(folder / "none"), IoError,
      concat("cannot open the folder '", (folder / "none").string(), "': No such file or directory"));
}

TEST_CASE("folder lock: a killed holder holds it no longer") {
  const TemporaryFolder folder;
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const FolderLock lock(folder / ".");
    [[maybe_unused]] const auto written = ::write(ready[1], "x", 1);
    ::pause();
    ::_exit(0);
  }
  char byte = 0;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  CHECK_THROWS_AS(FolderLock{folder / "."}, IoError);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  CHECK_NOTHROW(FolderLock{folder / "."});
  ::close(ready[0]);
  ::close(ready[1]);
}

}  // namespace
}  // namespace fer::test
