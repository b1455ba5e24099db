// Runs the built program as a user would, and returns its output and exit code.
#pragma once

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace app_test {

namespace fs = std::filesystem;

struct Result {
  int code = -1;  ///< exit code; -signal if it was killed
  std::string out, err;
};

/// A folder that is removed with the test.
struct Folder {
  fs::path path;
  explicit Folder(const std::string& name)
      : path(fs::temp_directory_path() / ("fer_app_" + name + "_" + std::to_string(::getpid()))) {
    fs::remove_all(path);
    fs::create_directories(path);
  }
  ~Folder() {
    std::error_code ignored;
    fs::permissions(path, fs::perms::owner_all, ignored);
    fs::remove_all(path, ignored);
  }
  std::string operator/(const std::string& name) const { return (path / name).string(); }
};

inline std::string read_all(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// The limits under which the program runs.
struct Limits {
  std::size_t file_bytes = 0;    ///< maximum size of a file, as on a full disk; 0: no limit
  std::size_t memory_bytes = 0;  ///< of address space, as by `ulimit -v`; 0: no limit
  bool no_threads = false;       ///< no further thread can be started
  bool permissions = false;      ///< permissions also apply to root
  int signal = SIGKILL;          ///< the signal that is sent after `kill_after`
  std::string program = FER_PROGRAM;

  void apply() const {
    if (file_bytes > 0) {
      const rlimit limit{file_bytes, file_bytes};
      ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    if (memory_bytes > 0) {
      const rlimit limit{memory_bytes, memory_bytes};
      ::setrlimit(RLIMIT_AS, &limit);
    }
    if (no_threads) {  // a thread's stack would not fit in the remaining memory
      const rlimit memory{std::size_t{3} << 30, std::size_t{3} << 30};
      ::setrlimit(RLIMIT_AS, &memory);
      const rlimit stack{std::size_t{4} << 30, std::size_t{4} << 30};
      ::setrlimit(RLIMIT_STACK, &stack);
      ::setenv("OMP_NUM_THREADS", "4", 1);
    }
    // Root may write everywhere by a capability, which can be dropped for the program that is run next.
    if (!permissions || ::geteuid() != 0) return;
    for (const int power : {CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH}) ::prctl(PR_CAPBSET_DROP, power, 0, 0, 0);
  }
};

/// A run of `fer` beside the test.
class Background {
 public:
  explicit Background(const std::vector<std::string>& arguments, const Limits& limits = {})
      : out_(output_ / "out"), err_(output_ / "err"), child_(::fork()) {
    if (child_ != 0) return;
    ::dup2(::open(out_.c_str(), O_WRONLY | O_CREAT, 0600), STDOUT_FILENO);
    ::dup2(::open(err_.c_str(), O_WRONLY | O_CREAT, 0600), STDERR_FILENO);
    ::setenv("OMP_WAIT_POLICY", "passive", 1);
    limits.apply();
    std::vector<char*> argv{const_cast<char*>("fer")};
    for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
    argv.push_back(nullptr);
    ::execv(limits.program.c_str(), argv.data());
    ::_exit(127);
  }
  ~Background() {
    if (child_ <= 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  void send(int signal) const { ::kill(child_, signal); }
  /// Whether the program ends within `seconds`. It can still be waited for.
  bool ends_within(double seconds) const {
    for (double waited = 0; waited < seconds; waited += 0.01) {
      siginfo_t ended{};
      if (::waitid(P_PID, static_cast<id_t>(child_), &ended, WEXITED | WNOHANG | WNOWAIT) != 0 ||
          ended.si_pid == child_)
        return true;
      ::usleep(10000);
    }
    return false;
  }
  /// Waits until the program's messages contain `text`; false if they do not within a minute.
  bool has_said(const std::string& text) const {
    for (int i = 0; i < 6000; ++i) {
      if (read_all(err_).find(text) != std::string::npos) return true;
      ::usleep(10000);
    }
    return false;
  }
  Result wait() {
    int status = 0;
    ::waitpid(child_, &status, 0);
    child_ = 0;
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    return {code, read_all(out_), read_all(err_)};
  }

 private:
  const Folder output_ = Folder(unique_name());
  std::string out_, err_;
  pid_t child_;

  static std::string unique_name() {
    static int number = 0;
    return "output" + std::to_string(++number);
  }
};

/// Runs `fer` with `arguments`. If `kill_after` (milliseconds) is positive, sends it a signal after that
/// time.
inline Result run(const std::vector<std::string>& arguments, int kill_after = 0, const Limits& limits = {}) {
  Background program(arguments, limits);
  if (kill_after > 0) {
    ::usleep(static_cast<useconds_t>(kill_after) * 1000);
    program.send(limits.signal);
  }
  return program.wait();
}

/// Flags of a run that takes seconds.
inline std::vector<std::string> short_training(const std::string& folder) {
  return {"train", "--preset",
          "tiny",  "--run-dir",
          folder,  "--train-identities",
          "8",     "--test-identities",
          "2",     "--faces-per-identity",
          "7",     "--epochs",
          "2",     "--landmark-epochs",
          "1",     "--batch-size",
          "8",     "--landmark-batch-size",
          "8",     "--save-every",
          "1",     "--validation",
          "0.2",   "--quiet"};
}

}  // namespace app_test
