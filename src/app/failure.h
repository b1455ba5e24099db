// How an error ends the program.
#pragma once

#include <exception>

namespace fer::app {

/// Prints "fer: " and what the error says, and advice where there is some; returns the exit code.
/// `training`: whether the command trains a network.
int report_failure(const std::exception& error, bool training);

}  // namespace fer::app
