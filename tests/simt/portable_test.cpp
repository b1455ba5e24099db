// The portable kernels as the host compiler makes them for use.
#include "tests/simt/portable_checks.h"
