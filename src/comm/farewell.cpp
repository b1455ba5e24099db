#include "comm/farewell.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <thread>

namespace fer::comm {

constexpr int farewell_tag = 0;

void Farewell::set_missing(const std::vector<int>& ranks) {
  missing_count = static_cast<std::int32_t>(std::min(ranks.size(), std::size(missing)));
  std::copy_n(ranks.begin(), missing_count, missing);
}

void Farewell::set_why(const std::string& text) {
  std::memcpy(why, text.data(), std::min(text.size(), sizeof why - 1));
}

Farewells::Farewells(Transport& transport)
    : transport_(transport),
      farewells_(static_cast<std::size_t>(transport.size())),
      requests_(farewells_.size()),
      heard_(farewells_.size(), false) {
  for (int peer = 0; peer < transport_.size(); ++peer) {
    const auto p = static_cast<std::size_t>(peer);
    if (peer == transport_.rank())
      heard_[p] = true;
    else
      requests_[p] = transport_.receive(&farewells_[p], sizeof(Farewell), peer, farewell_tag);
  }
}

bool Farewells::poll() {
  bool any = false;
  for (std::size_t peer = 0; peer < heard_.size(); ++peer)
    if (!heard_[peer] && transport_.test(requests_[peer])) {
      heard_[peer] = true;
      any = true;
    }
  return any;
}

bool Farewells::exchange(const Farewell& mine, std::chrono::milliseconds patience) {
  mine_ = mine;
  std::vector<Request> sends;
  for (int peer = 0; peer < transport_.size(); ++peer)
    if (peer != transport_.rank()) sends.push_back(transport_.send(&mine_, sizeof mine_, peer, farewell_tag));
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (true) {
    poll();
    sends.erase(std::remove_if(sends.begin(), sends.end(), [&](Request& r) { return transport_.test(r); }),
                sends.end());
    if (sends.empty() && std::find(heard_.begin(), heard_.end(), false) == heard_.end()) return true;
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
}

}  // namespace fer::comm
