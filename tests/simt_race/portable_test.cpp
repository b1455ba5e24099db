// The portable kernels under the access checker: correct kernels cause no reports.
#include "tests/simt/portable_checks.h"
