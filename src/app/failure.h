// How an error ends the program.
#pragma once

#include <exception>
#include <string>

namespace fer::app {

/// What the error says, and advice where there is some. `training`: whether the command trains a network.
std::string failure_text(const std::exception& error, bool training);
/// The program's exit code after the error.
int failure_code(const std::exception& error);
/// Prints "fer: " and the text; returns the exit code.
int report_failure(const std::exception& error, bool training);

}  // namespace fer::app
