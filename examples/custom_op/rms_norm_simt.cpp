// The kernels as the executor runs them: the same text, compiled as C++.
#include "rms_norm.cu"
