// The kernels for the executor: the same source, compiled as C++.
#include "rms_norm.cu"
