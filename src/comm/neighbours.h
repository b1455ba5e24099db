// The ranks on this rank's machine, watched through the system: MPI does not tell that one of them was killed.
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

namespace fer::comm {

class Neighbours {
 public:
  /// Describes this process to the others. Text without line breaks.
  static std::string own_card();

  /// Watches those processes whose ids mean the same here. `cards`: those of all ranks.
  Neighbours(const std::vector<std::string>& cards, int own_rank);
  /// Whether the process of `rank` has ended; false if this cannot be seen from here.
  bool has_ended(int rank) const;

 private:
  struct Process {
    pid_t id = 0;  ///< 0: not watched
    std::string started;
  };
  std::vector<Process> processes_;  // by rank
};

}  // namespace fer::comm
