#include "data/duplicates.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <numbers>
#include <numeric>
#include <unordered_map>
#include <utility>

#include "data/sets/dataset_parts.h"

namespace fer::detail {
namespace {

constexpr int most_bits_apart = 6, bands = most_bits_apart + 1;
constexpr double least_correlation = 0.98;
constexpr double least_contrast = 3;  // standard deviation of the small copy, on a scale of 255
constexpr int wave_side = 32, waves = 8;

/// Two multiplicative hashes over words of eight bytes.
std::array<std::uint64_t, 2> hash_of(const Image& image) {
  std::array<std::uint64_t, 2> hash{0x9E3779B97F4A7C15ull, 0xC2B2AE3D27D4EB4Full};
  const auto mix = [&hash](std::uint64_t word) {
    hash[0] = std::rotl((hash[0] ^ word) * 0xD6E8FEB86659FD93ull, 29);
    hash[1] = std::rotl((hash[1] + word) * 0xA0761D6478BD642Full, 37) ^ (word >> 7);
  };
  mix(static_cast<std::uint64_t>(image.height) << 32 | static_cast<std::uint32_t>(image.width));
  for (std::size_t i = 0; i < image.pixels.size(); i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, &image.pixels[i], std::min<std::size_t>(8, image.pixels.size() - i));
    mix(word);
  }
  mix(static_cast<std::uint64_t>(image.channels));
  return hash;
}

/// The lowest frequencies of the cosine transform, indexed [vertical][horizontal].
std::array<std::array<double, waves>, waves> low_frequencies(const Image& grey) {
  static const auto cosine = [] {
    std::array<std::array<double, wave_side>, waves> table{};
    for (int k = 0; k < waves; ++k) {
      for (int x = 0; x < wave_side; ++x)
        table[k][x] = std::cos(std::numbers::pi * k * (2 * x + 1) / (2 * wave_side));
    }
    return table;
  }();
  std::array<std::array<double, waves>, waves> out{};
  for (int y = 0; y < wave_side; ++y) {
    for (int v = 0; v < waves; ++v) {
      double sum = 0;
      for (int x = 0; x < wave_side; ++x) sum += cosine[v][x] * grey.at(y, x);
      for (int u = 0; u < waves; ++u) out[u][v] += cosine[u][y] * sum;
    }
  }
  return out;
}

std::uint64_t bits_of(const std::array<std::array<double, waves>, waves>& frequencies, bool mirrored) {
  std::array<double, waves * waves> values{};
  for (int u = 0; u < waves; ++u) {
    for (int v = 0; v < waves; ++v)
      values[u * waves + v] = frequencies[u][v] * (mirrored && v % 2 == 1 ? -1 : 1);
  }
  values[0] = 0;  // drop the mean brightness, which carries no information
  auto sorted = values;
  std::nth_element(sorted.begin(), sorted.begin() + sorted.size() / 2, sorted.end());
  const double median = sorted[sorted.size() / 2];
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < values.size(); ++i) bits |= std::uint64_t{values[i] > median} << i;
  return bits;
}

struct Moments {
  double mean = 0, deviation = 0;
};
Moments moments_of(const Fingerprint& print) {
  std::int64_t sum = 0, squares = 0;
  for (std::int64_t value : print.copy) {
    sum += value;
    squares += value * value;
  }
  const auto n = static_cast<double>(print.copy.size());
  const double mean = static_cast<double>(sum) / n;
  return {mean, std::sqrt(std::max(0.0, static_cast<double>(squares) / n - mean * mean))};
}

/// Union-find; the smallest number of a group is its root.
class UnionFind {
 public:
  explicit UnionFind(std::size_t n) : parent_(n) {
    std::iota(parent_.begin(), parent_.end(), std::size_t{0});
  }
  std::size_t root(std::size_t i) const {
    while (parent_[i] != i) i = parent_[i];
    return i;
  }
  void join(std::size_t a, std::size_t b) {
    const std::size_t x = root(a), y = root(b);
    parent_[std::max(x, y)] = std::min(x, y);
    for (std::size_t i : {a, b}) {  // path compression
      while (parent_[i] != std::min(x, y)) i = std::exchange(parent_[i], std::min(x, y));
    }
  }
  Groups groups() const {
    std::map<std::size_t, std::vector<std::int64_t>> members;
    for (std::size_t i = 0; i < parent_.size(); ++i) members[root(i)].push_back(static_cast<std::int64_t>(i));
    Groups result;
    for (auto& [root, group] : members) {
      if (group.size() > 1) result.push_back(std::move(group));
    }
    return result;
  }

 private:
  std::vector<std::size_t> parent_;
};

/// Looks up fingerprints by each of seven groups of their bits.
class BitIndex {
 public:
  void add(std::size_t i, std::uint64_t bits) {
    for (int band = 0; band < bands; ++band) buckets_[band][key(bits, band)].push_back({bits, i});
  }
  /// Calls visit(i) for each fingerprint near `bits`; for some of them more than once.
  template <typename Visit>
  void near(std::uint64_t bits, Visit&& visit) const {
    for (int band = 0; band < bands; ++band) {
      const auto bucket = buckets_[band].find(key(bits, band));
      if (bucket == buckets_[band].end()) continue;
      for (const Entry& entry : bucket->second) {
        if (std::popcount(entry.bits ^ bits) <= most_bits_apart) visit(entry.index);
      }
    }
  }

 private:
  struct Entry {
    std::uint64_t bits;
    std::size_t index;
  };
  static std::uint64_t key(std::uint64_t bits, int band) {
    const int from = 64 * band / bands, to = 64 * (band + 1) / bands;
    return bits >> from & ((std::uint64_t{1} << (to - from)) - 1);
  }
  std::array<std::unordered_map<std::uint64_t, std::vector<Entry>>, bands> buckets_;
};

/// The near duplicates of one picture among the earlier ones; one per group is enough.
class Neighbours {
 public:
  Neighbours(const std::vector<Fingerprint>& prints, const UnionFind& groups, std::size_t i)
      : prints_(prints), groups_(groups), print_(prints[i]) {}

  void visit(std::size_t j) {
    const std::size_t root = groups_.root(j);
    if (std::find(roots_.begin(), roots_.end(), root) != roots_.end()) return;
    if (similarity(print_, prints_[j]) < least_correlation) return;
    roots_.push_back(root);
    found.push_back(j);
    represented = represented || prints_[j].bits == print_.bits;
  }

  std::vector<std::size_t> found;
  bool represented = false;  ///< another picture with the same bits is in the index

 private:
  const std::vector<Fingerprint>& prints_;
  const UnionFind& groups_;
  const Fingerprint& print_;
  std::vector<std::size_t> roots_;
};

}  // namespace

Fingerprint fingerprint_of(const Image& image) {
  Fingerprint print;
  const Image grey = to_grey(image);
  const bool same = image.channels == 3 && to_rgb(grey).pixels == image.pixels;
  print.exact = hash_of(same ? grey : image);
  const Image small = resize(grey, Fingerprint::small, Fingerprint::small);
  std::copy(small.pixels.begin(), small.pixels.end(), print.copy.begin());
  print.flat = moments_of(print).deviation < least_contrast;
  const auto frequencies = low_frequencies(resize(grey, wave_side, wave_side));
  print.bits = bits_of(frequencies, false);
  print.mirrored_bits = bits_of(frequencies, true);
  return print;
}

double similarity(const Fingerprint& a, const Fingerprint& b) {
  constexpr int side = Fingerprint::small;
  std::int64_t straight = 0, mirrored = 0;
  for (int y = 0; y < side; ++y) {
    const std::uint8_t *p = &a.copy[y * side], *q = &b.copy[y * side];
    for (int x = 0; x < side; ++x) {
      straight += p[x] * q[x];
      mirrored += p[x] * q[side - 1 - x];
    }
  }
  const Moments m = moments_of(a), n = moments_of(b);
  const double product = static_cast<double>(std::max(straight, mirrored)) / (side * side) - m.mean * n.mean;
  return product / std::max(1e-9, m.deviation * n.deviation);
}

Groups exact_duplicates(const std::vector<Fingerprint>& prints) {
  std::map<std::array<std::uint64_t, 2>, std::size_t> first;
  UnionFind groups(prints.size());
  for (std::size_t i = 0; i < prints.size(); ++i) {
    const auto [at, is_new] = first.emplace(prints[i].exact, i);
    if (!is_new) groups.join(at->second, i);
  }
  return groups.groups();
}

Groups near_duplicates(const std::vector<Fingerprint>& prints, const Groups& exact) {
  constexpr std::size_t block = 128;
  UnionFind groups(prints.size());
  std::vector<bool> skipped(prints.size());
  for (const auto& group : exact) {  // the first of a group stands for all of it
    for (std::size_t k = 1; k < group.size(); ++k) {
      groups.join(static_cast<std::size_t>(group[0]), static_cast<std::size_t>(group[k]));
      skipped[static_cast<std::size_t>(group[k])] = true;
    }
  }
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < prints.size(); ++i) {
    if (!skipped[i] && !prints[i].flat) order.push_back(i);
  }
  std::vector<bool> linked(prints.size());
  BitIndex index;
  for (std::size_t begin = 0; begin < order.size(); begin += block) {
    const std::size_t n = std::min(block, order.size() - begin);
    std::vector<Neighbours> neighbours;
    for (std::size_t k = 0; k < n; ++k) neighbours.emplace_back(prints, groups, order[begin + k]);
    parallel_rows(static_cast<std::int64_t>(n), [&](std::int64_t k) {
      const Fingerprint& print = prints[order[begin + static_cast<std::size_t>(k)]];
      Neighbours& mine = neighbours[static_cast<std::size_t>(k)];
      const auto visit = [&mine](std::size_t j) { mine.visit(j); };
      index.near(print.bits, visit);
      index.near(print.mirrored_bits, visit);
      for (std::size_t other = begin; other < begin + static_cast<std::size_t>(k); ++other) {
        const std::uint64_t bits = prints[order[other]].bits;
        if (std::min(std::popcount(bits ^ print.bits), std::popcount(bits ^ print.mirrored_bits)) <=
            most_bits_apart)
          visit(order[other]);
      }
    });
    for (std::size_t k = 0; k < n; ++k) {
      const std::size_t i = order[begin + k];
      for (std::size_t j : neighbours[k].found) {
        linked[groups.root(i)] = linked[groups.root(j)] = true;
        groups.join(i, j);
        linked[groups.root(i)] = true;
      }
      if (!neighbours[k].represented) index.add(i, prints[i].bits);
    }
  }
  Groups result = groups.groups();
  std::erase_if(result,
                [&](const auto& group) { return !linked[groups.root(static_cast<std::size_t>(group[0]))]; });
  return result;
}

}  // namespace fer::detail
