// dlib's object detector, without what of dlib needs LAPACK: the filters are factored by a singular value
// decomposition of 10 x 10 matrices, for which dlib has code of its own. So fer is linked with nothing that
// would have to be loaded at each start.
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
