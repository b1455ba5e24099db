// Errors of the library. Every exception that fer throws derives from fer::Error; the library never prints,
// exits or aborts. A message says what was wrong, with names and shapes, and where (the module path).
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace fer {

/// Base of all errors. The path of the module being run, if any, is appended to the message.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message);
};

/// Shapes, ranks or sizes that do not fit together.
struct ShapeError : Error {
  using Error::Error;
};
/// An element type or device that an operation cannot take.
struct TypeError : Error {
  using Error::Error;
};
/// A device that is absent, out of memory or failing.
struct DeviceError : Error {
  using Error::Error;
};
/// A file whose contents violate its format.
struct FormatError : Error {
  using Error::Error;
};
/// A file or folder that cannot be opened, read or written.
struct IoError : Error {
  using Error::Error;
};
/// A configuration value, command line flag or API argument that is out of range.
struct ConfigError : Error {
  using Error::Error;
};
/// A data set whose contents contradict its description.
struct DataError : Error {
  using Error::Error;
};
/// A loss that is not finite.
struct NumericError : Error {
  using Error::Error;
};
/// Misuse of an autograd graph: it was freed, a value was changed in place before backward, and so on.
struct AutogradError : Error {
  using Error::Error;
};
/// A function that cannot be traced into a graph, or a graph that a pass or an executor does not understand.
struct GraphError : Error {
  using Error::Error;
};
/// Processes of one run that cannot find, or have lost, each other.
struct CommunicationError : Error {
  using Error::Error;
};

/// Joins all parts into one string, with operator<<.
template <typename... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

/// Throws E, with the joined parts as its message, unless `ok`.
template <typename E = Error, typename... Parts>
void require(bool ok, const Parts&... parts) {
  if (!ok) [[unlikely]]
    throw E(concat(parts...));
}

/// While alive, `name` is one component of the module path that errors report ("attention.blocks.0.q_lm").
class ModuleScope {
 public:
  explicit ModuleScope(std::string_view name);
  ~ModuleScope();
  ModuleScope(const ModuleScope&) = delete;
  ModuleScope& operator=(const ModuleScope&) = delete;

  /// The components of this thread's path joined by dots; empty outside of any module.
  static std::string path();
};

}  // namespace fer
