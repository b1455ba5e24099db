// Suggestions for mistyped names.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fer {

/// The word of `known` nearest to `word` by edit distance, or "" if none is near.
std::string nearest(const std::string& word, const std::vector<std::string>& known);

/// "; did you mean 'cuda'?", or "" if none of `known` is near.
std::string advice(std::string_view name, const std::vector<std::string>& known);

/// "unknown device 'cdua'; known are cpu, simt, cuda; did you mean 'cuda'?"
std::string unknown_name(std::string_view what, std::string_view name, const std::vector<std::string>& known);

}  // namespace fer
