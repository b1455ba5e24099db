// Numbers as text, for tables, figures and the terminal.
#pragma once

#include <cmath>
#include <cstdio>
#include <string>

namespace fer::detail {

/// `value` by a format of printf; "-" if it is not finite.
inline std::string formatted(const char* format, double value) {
  if (!std::isfinite(value)) return "-";
  char text[48];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

/// "94.3 %".
inline std::string percent(double share, int decimals = 1) {
  return formatted(decimals == 0 ? "%.0f %%" : decimals == 1 ? "%.1f %%" : "%.2f %%", 100 * share);
}

}  // namespace fer::detail
