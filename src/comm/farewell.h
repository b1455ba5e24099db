// Farewells: how a rank tells the others that it takes part in no further collective, and why.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "comm/transport.h"

namespace fer::comm {

/// The last message of a rank, to each other rank.
struct Farewell {
  enum class Kind : std::int32_t { ended, failed, timed_out };
  Kind kind = Kind::ended;
  std::int32_t missing_count = 0;
  std::int32_t missing[16] = {};  ///< timed_out: the ranks that the sender waits for; the first 16
  char why[512] = {};  ///< failed: what the others shall report, with the name of the rank that failed first

  void set_missing(const std::vector<int>& ranks);
  void set_why(const std::string& text);
};

class Farewells {
 public:
  explicit Farewells(Transport& transport);

  /// Looks for new messages; returns whether there are any.
  bool poll();
  /// Sends `mine` to all, and waits until all others have sent theirs, or `patience` is over. Returns whether
  /// they have.
  bool exchange(const Farewell& mine, std::chrono::milliseconds patience);

  bool heard_from(int rank) const { return heard_[static_cast<std::size_t>(rank)]; }
  const Farewell& from(int rank) const { return farewells_[static_cast<std::size_t>(rank)]; }

 private:
  Transport& transport_;
  Farewell mine_;
  std::vector<Farewell> farewells_;
  std::vector<Request> requests_;
  std::vector<bool> heard_;
};

}  // namespace fer::comm
