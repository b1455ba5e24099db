// Signs of life: each rank tells the others now and then that it lives, also while its program computes, and at
// last that it takes part in no further collective, and why. A rank without signs is lost: stopped, or cut off.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "comm/transport.h"

namespace fer::comm {

struct Sign {
  /// From `failed` on, `why` says why the sender fails. lost: ranks that it names are. device_late: the sender's device
  /// has waited in vain for others; a rank whose device keeps it waiting says so itself.
  enum class Kind : std::int32_t { alive, ended, failed, lost, device_late };
  Kind kind = Kind::ended;
  std::int32_t own = 0;  ///< whether `why` is the sender's own error; otherwise it names whose it is
  char why[2000] = {};

  bool is_failure() const { return kind >= Kind::failed; }

  void set_why(const std::string& text);
};

class Signs {
 public:
  using Duration = std::chrono::steady_clock::duration;

  explicit Signs(Transport& transport);

  /// Looks for new signs. `now`: on a clock of the caller's, which need not run while this process is stopped.
  void poll(Duration now);
  /// Sends Kind::alive to all.
  void say_alive();
  /// The last sign: sends `mine` to all, and waits until all others have sent theirs; no longer than `most`, nor
  /// for ranks without a sign for `silence`, nor for those for which `gone` is true. Returns whether all have.
  bool say_farewell(const Sign& mine, Duration silence, Duration most,
                    const std::function<bool(int rank)>& gone);

  /// Whether the last sign of `rank` has come.
  bool has_left(int rank) const { return at(rank).left; }
  const Sign& last(int rank) const { return at(rank).sign; }
  /// When the latest sign came; zero before the first.
  Duration heard(int rank) const { return at(rank).heard; }

 private:
  struct Peer {
    Sign sign;
    Duration heard{};
    bool left = false;
    Request incoming = 0, outgoing = 0;
    bool sends = false;
  };
  const Peer& at(int rank) const { return peers_[static_cast<std::size_t>(rank)]; }
  void send(const Sign& sign, int rank);

  Transport& transport_;
  Sign alive_, farewell_;
  std::vector<Peer> peers_;
};

}  // namespace fer::comm
