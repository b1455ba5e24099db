#include "fer/nearest.h"

#include <algorithm>

#include "fer/error.h"

namespace fer {

std::string nearest(const std::string& word, const std::vector<std::string>& known) {
  std::string best;
  // Of three letters, two that differ are another word.
  std::size_t best_distance = (word.size() <= 3 ? 1 : std::max<std::size_t>(2, word.size() / 3)) + 1;
  for (const std::string& candidate : known) {
    std::vector<std::size_t> row(candidate.size() + 1);
    for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= word.size(); ++i) {
      std::size_t diagonal = row[0];
      row[0] = i;
      for (std::size_t j = 1; j <= candidate.size(); ++j) {
        const std::size_t change = diagonal + (word[i - 1] != candidate[j - 1]);
        diagonal = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = candidate;
    }
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
  return concat("unknown ", what, " '", name, "'; known are ", list, advice(name, known));
}

}  // namespace fer
