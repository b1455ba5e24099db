// The two containers of a checkpoint.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "fer/formats/pytorch.h"

namespace fer::detail {

/// torch.save since 1.6: a zip file with data.pkl and one record per storage. Messages call the file `what`.
PytorchFile read_pytorch_zip(std::span<const std::byte> bytes, const std::string& what);
/// Before 1.6: three small pickles, the pickle of the value, a pickled list of storage keys, the storages. A
/// pickle that torch.save did not write is read on its own.
PytorchFile read_pytorch_legacy(std::span<const std::byte> bytes, const std::string& what);

/// Detects the format from the first bytes of a file. FormatError, naming `what`, if fer cannot read it.
FileFormat detect_format(std::span<const std::byte> head, const std::string& what);

}  // namespace fer::detail
