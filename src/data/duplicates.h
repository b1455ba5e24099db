// Pictures that are the same, and pictures that are nearly the same: what a perceptual hash and a comparison
// of small copies find, without comparing all with all.
//
// Exact: the same extents and pixels, hashed to 128 bits; a grey picture counts as one channel.
// Near: the 32 x 32 cosine transform of the grey picture gives 64 bits, whether each of its lowest 63
// frequencies lies above their median. Two pictures whose bits differ in at most six places are compared:
// their grey copies of 24 x 24 must correlate by at least 0.98. A mirrored copy counts, too. Of seven groups
// of bits one is then the same, so only pictures that share one are looked at.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "fer/data/image.h"

namespace fer::detail {

struct Fingerprint {
  static constexpr int small = 24;

  std::array<std::uint64_t, 2> exact{};
  std::uint64_t bits = 0, mirrored_bits = 0;
  bool flat = false;  ///< hardly any contrast: it resembles every other such picture, and is not compared
  std::array<std::uint8_t, small * small> copy{};
};
Fingerprint fingerprint_of(const Image& image);

/// Correlation of the small copies, of `a` with `b` or, if that is more, with its mirror image.
double similarity(const Fingerprint& a, const Fingerprint& b);

/// Groups of at least two, each in ascending order, ordered by their first number.
using Groups = std::vector<std::vector<std::int64_t>>;
Groups exact_duplicates(const std::vector<Fingerprint>& prints);
/// Groups linked by pairs of near duplicates, and their exact duplicates; groups of exact duplicates alone
/// are left out.
Groups near_duplicates(const std::vector<Fingerprint>& prints, const Groups& exact);

}  // namespace fer::detail
