// DLPack: shares tensors with NumPy, PyTorch, JAX and others in the same process, without a copy.
//
//   fer::Tensor x = fer::from_dlpack(theirs);            // their memory; released with x and its last view
//   DLManagedTensorVersioned* out = fer::to_dlpack(x);   // our memory; they call out->deleter(out)
//
// The structures are DLPack's own; this header only declares the two that it uses. A program may also include
// <dlpack/dlpack.h>, or pass the pointers to Python in a PyCapsule ("dltensor_versioned", "dltensor").
//
// Tensors on the devices cpu and cuda can be shared, with any DType, contiguous and row-major. Each side sees
// what the other writes, but Tensor::version, which detects values changed before backward, does not count
// the other side's writes.
#pragma once

#include "fer/tensor/tensor.h"

struct DLManagedTensor;
struct DLManagedTensorVersioned;

namespace fer {

/// A tensor that views the producer's memory. It takes ownership of `managed` and calls its deleter when no
/// tensor views the memory any more. On a GPU, the producer's work on it must have finished. Read-only memory
/// cannot be written to (Tensor::is_read_only). Throws ConfigError for another major version of DLPack, and
/// TypeError, ShapeError or DeviceError for a type, layout or device that fer does not support; the caller
/// then still owns `managed`.
Tensor from_dlpack(DLManagedTensorVersioned* managed);
/// The structure of DLPack before its version 1.0.
Tensor from_dlpack(DLManagedTensor* managed);

/// Exports the tensor's memory, after waiting until the device has computed it. The consumer calls the
/// deleter of the result when done; the memory lives until then. DeviceError for a tensor on the device simt.
DLManagedTensorVersioned* to_dlpack(const Tensor& tensor);
/// The structure of DLPack before its version 1.0, for older consumers. TypeError for read-only memory, which
/// it cannot express.
DLManagedTensor* to_dlpack_unversioned(const Tensor& tensor);

}  // namespace fer
