// The portable kernels under the checker of accesses: correct kernels raise no alarm.
#include "tests/simt/portable_checks.h"
