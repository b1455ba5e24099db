// Finds identical and nearly identical pictures by a perceptual hash and a comparison of small copies,
// without comparing all pairs.
//
// Exact: the same extents and pixels, hashed to 128 bits; a grey picture counts as one channel.
// Near: the 32 x 32 cosine transform of the grey picture gives 64 bits, which say whether each of its lowest
// 63 frequencies lies above their median. Two pictures whose bits differ in at most six places are compared:
// their grey copies of 24 x 24 must correlate by at least 0.98. A mirrored copy counts, too. At most six
// differing bits leave one of seven groups of bits equal, so only pictures that share a group are compared.
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
  bool flat = false;  ///< hardly any contrast: not compared, because it would resemble every such picture
  std::array<std::uint8_t, small * small> copy{};
};
Fingerprint fingerprint_of(const Image& image);

/// The correlation of the small copies of `a` and `b`, or of `a` and the mirrored `b` if that is higher.
double similarity(const Fingerprint& a, const Fingerprint& b);

/// Groups of at least two, each in ascending order, ordered by their first number.
using Groups = std::vector<std::vector<std::int64_t>>;
Groups exact_duplicates(const std::vector<Fingerprint>& prints);
/// Groups linked by pairs of near duplicates, including their exact duplicates. Groups of only exact
/// duplicates are left out.
Groups near_duplicates(const std::vector<Fingerprint>& prints, const Groups& exact);

}  // namespace fer::detail
