// Helpers of the data set tests: they put pictures into folders, and return the message of a data set that
// fails to open.
#pragma once

#include "fer/data/dataset.h"
#include "tests/data/helpers.h"

namespace fer::test {

inline void put_picture(const fs::path& path) {
  static const auto bytes = bytes_of(fixture("pixel.png"));
  write_bytes(path, bytes);
}

inline std::shared_ptr<const Dataset> open(const std::string& name, const fs::path& folder,
                                           Split split = Split::train, double validation = 0,
                                           LabelMode mode = LabelMode::majority) {
  DatasetOptions options;
  options.name = name;
  options.folder = folder;
  options.split = split;
  options.validation_fraction = validation;
  options.label_mode = mode;
  return open_dataset(options);
}

template <typename E>
std::string open_error(const std::string& name, const fs::path& folder, Split split = Split::train) {
  return message_of<E>([&] { open(name, folder, split); });
}

}  // namespace fer::test
