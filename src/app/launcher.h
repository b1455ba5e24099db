// --processes and --gpus: starts mpirun, which starts this program several times.
#pragma once

#include <string>

namespace fer::app {

/// Runs this program's command line, without --processes, in so many processes, and waits for them. Ctrl-C and
/// SIGTERM ask them to end in order; a second signal, a second later, ends them at once. Returns the exit code.
/// ConfigError if this build has no MPI; Error if mpirun cannot be started. Errors begin with `flag`, which asked for it.
int launch(int processes, const std::string& flag);

/// Whether launch() has started this process. It then tells of signals.
bool is_launched();

/// A process that launch() has started says that it has printed why the run ends.
void note_reported();

}  // namespace fer::app
