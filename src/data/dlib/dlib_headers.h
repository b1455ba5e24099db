// dlib's object detector without the parts of dlib that need LAPACK. The filters are factored by a singular
// value decomposition of 10 x 10 matrices, for which dlib has its own code. So fer needs no library that
// would be loaded at each start.
#pragma once

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#include <dlib/assert.h>
#include <dlib/test_for_odr_violations.h>
#undef DLIB_USE_BLAS
#undef DLIB_USE_LAPACK
#include <dlib/image_processing.h>
#pragma GCC diagnostic pop
