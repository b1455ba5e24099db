// The two containers of a checkpoint.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "fer/formats/pytorch.h"

namespace fer::detail {

/// torch.save since 1.6: a zip file of data.pkl and a record a storage. `what` stands for the file.
PytorchFile read_pytorch_zip(std::span<const std::byte> bytes, const std::string& what);
/// Before: three small pickles, the pickle of the value, a pickled list of storage keys, the storages. A
/// pickle that torch.save did not write is read by itself.
PytorchFile read_pytorch_legacy(std::span<const std::byte> bytes, const std::string& what);

/// By the first bytes of a file; FormatError, naming `what`, if it is no format that fer reads.
FileFormat detect_format(std::span<const std::byte> head, const std::string& what);

}  // namespace fer::detail
