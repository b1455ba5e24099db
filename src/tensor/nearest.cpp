#include "fer/nearest.h"

#include <algorithm>

#include "fer/error.h"

namespace fer {

namespace {

/// The number of letters to change, delete, insert or swap with their neighbour.
std::size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    before.swap(last);
    last.swap(row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row.back();
}

/// Makes a name, which may come from a file, fit for a message: replaces control characters and shortens it.
std::string shown(std::string_view name) {
  constexpr std::size_t most = 80;
  std::string text(name.substr(0, most));
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; }, '?');
  return name.size() > most ? text + "..." : text;
}

}  // namespace

std::string nearest(const std::string& word, const std::vector<std::string>& known) {
  std::string best;
  constexpr std::size_t longest = 100;  // the time grows with the product of the lengths
  if (word.empty() || word.size() > longest) return best;
  // Two edits of a four-letter word make a different word.
  std::size_t best_distance = (word.size() <= 4 ? 1 : std::max<std::size_t>(2, word.size() / 3)) + 1;
  for (const std::string& candidate : known) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance >= best_distance) continue;
    best_distance = distance;
    best = candidate;
  }
  return best;
}

std::string advice(std::string_view name, const std::vector<std::string>& known) {
  const std::string near = nearest(std::string(name), known);
  return near.empty() ? "" : concat("; did you mean '", near, "'?");
}

std::string unknown_name(std::string_view what, std::string_view name,
                         const std::vector<std::string>& known) {
  std::string list;
  for (const std::string& word : known) list += (list.empty() ? "" : ", ") + word;
  return concat("unknown ", what, " '", shown(name), "'; known are ", list, advice(name, known));
}

}  // namespace fer
