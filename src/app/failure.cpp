#include "app/failure.h"

#include <filesystem>
#include <iostream>
#include <new>

#include "app/interrupt.h"
#include "fer/error.h"
#include "fer/stop.h"

namespace fer::app {

std::string failure_text(const std::exception& error, bool training) {
  if (dynamic_cast<const std::bad_alloc*>(&error))
    return concat("out of memory", training ? "; training needs less with a smaller --batch-size or with "
                                              "--checkpointing"
                                            : "");
  if (const auto* missing = dynamic_cast<const std::filesystem::filesystem_error*>(&error))
    return concat("cannot read '", missing->path1().string(), "': ", missing->code().message());
  return error.what();
}

int failure_code(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error)) return 1;
  if (stop_requested() != 0) return exit_code_of(stop_requested());
  return dynamic_cast<const ConfigError*>(&error) ? 2 : 1;
}

int report_failure(const std::exception& error, bool training) {
  std::cerr << "fer: " << failure_text(error, training) << std::endl;
  return failure_code(error);
}

}  // namespace fer::app
