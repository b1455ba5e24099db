// The portable kernels, compiled by the host compiler as in production.
#include "tests/simt/portable_checks.h"
