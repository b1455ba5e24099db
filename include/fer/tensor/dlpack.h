// DLPack: tensors shared with NumPy, PyTorch, JAX and others in the same process, without a copy.
//
//   fer::Tensor x = fer::from_dlpack(theirs);            // their memory; given back when x and its views end
//   DLManagedTensorVersioned* out = fer::to_dlpack(x);   // our memory; they call out->deleter(out)
//
// The structures are DLPack's own, of which this header names only what it passes on: a program may include
// <dlpack/dlpack.h> beside it, or hand the pointers to Python in a PyCapsule ("dltensor_versioned",
// "dltensor").
//
// Shared are the types of DType on the devices cpu and cuda, as whole elements in row-major order. Both sides
// see what the other writes; fer's guard against values changed before backward (Tensor::version) does not
// see theirs.
#pragma once

#include "fer/tensor/tensor.h"

struct DLManagedTensor;
struct DLManagedTensorVersioned;

namespace fer {

/// A tensor of the producer's memory. It takes `managed` over, and calls its deleter when no tensor views the
/// memory any more. On a GPU, the producer's work on it must have ended. Read-only memory cannot be written
/// to (Tensor::is_read_only). ConfigError, TypeError, ShapeError or DeviceError for another major version of
/// DLPack, a type, a layout or a device that fer does not have; `managed` still belongs to the caller then.
Tensor from_dlpack(DLManagedTensorVersioned* managed);
/// The structure of DLPack before its version 1.0.
Tensor from_dlpack(DLManagedTensor* managed);

/// The tensor's memory for a consumer, who calls the deleter of the result when done with it; the memory
/// lives until then. Waits until the device has computed it. DeviceError for a tensor of the device simt.
DLManagedTensorVersioned* to_dlpack(const Tensor& tensor);
/// The structure of DLPack before its version 1.0, for consumers who know no other. TypeError for read-only
/// memory, which it cannot express.
DLManagedTensor* to_dlpack_unversioned(const Tensor& tensor);

}  // namespace fer
