// MacCounter: counts the multiply-adds of products and convolutions, by module, while it is alive.
//
//   fer::MacCounter counter;
//   model.forward(image);
//   counter.under("attention");  // multiply-adds of everything below that module
//
// Layers report what they run, so savings (a block computed for one token, channels left out) are counted as
// what they are. Norms, activations and sums are not counted, as is the custom.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace fer {

class MacCounter {
 public:
  MacCounter();
  ~MacCounter();
  MacCounter(const MacCounter&) = delete;
  MacCounter& operator=(const MacCounter&) = delete;

  /// Of the whole.
  std::int64_t total() const;
  /// Of the module at `path` and all below it.
  std::int64_t under(std::string_view path) const;
  /// Of each module that computed something itself.
  const std::map<std::string, std::int64_t>& by_module() const { return macs_; }

  /// Adds `macs` to the module now running, if this thread has a counter.
  static void add(std::int64_t macs);

 private:
  MacCounter* before_;
  std::map<std::string, std::int64_t> macs_;
};

}  // namespace fer
