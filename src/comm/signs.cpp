#include "comm/signs.h"

#include <algorithm>
#include <cstring>
#include <thread>

namespace fer::comm {

constexpr int sign_tag = 0;

void Sign::set_why(const std::string& text) {
  const std::size_t most = sizeof why - 4;
  std::memcpy(why, text.data(), std::min(text.size(), most));
  if (text.size() > most) std::memcpy(why + most, "...", 3);
}

Signs::Signs(Transport& transport)
    : transport_(transport), peers_(static_cast<std::size_t>(transport.size())) {
  alive_.kind = Sign::Kind::alive;
  for (int rank = 0; rank < transport_.size(); ++rank) {
    Peer& peer = peers_[static_cast<std::size_t>(rank)];
    if (rank == transport_.rank())
      peer.left = true;
    else
      peer.incoming = transport_.receive(&peer.sign, sizeof peer.sign, rank, sign_tag);
  }
}

void Signs::poll(Duration now) {
  for (int rank = 0; rank < transport_.size(); ++rank) {
    Peer& peer = peers_[static_cast<std::size_t>(rank)];
    if (peer.sends) peer.sends = !transport_.test(peer.outgoing);
    while (!peer.left && transport_.test(peer.incoming)) {
      peer.heard = now;
      peer.left = peer.sign.kind != Sign::Kind::alive;
      if (!peer.left) peer.incoming = transport_.receive(&peer.sign, sizeof peer.sign, rank, sign_tag);
    }
  }
}

void Signs::send(const Sign& sign, int rank) {
  Peer& peer = peers_[static_cast<std::size_t>(rank)];
  peer.outgoing = transport_.send(&sign, sizeof sign, rank, sign_tag);
  peer.sends = true;
}

void Signs::say_alive() {
  for (int rank = 0; rank < transport_.size(); ++rank)
    if (rank != transport_.rank() && !at(rank).sends)
      send(alive_, rank);  // else it has not read the one before
}

bool Signs::say_farewell(const Sign& mine, Duration silence, Duration most,
                         const std::function<bool(int rank)>& gone) {
  const auto start = std::chrono::steady_clock::now();
  farewell_ = mine;
  std::vector<bool> told(peers_.size(), false);
  for (Peer& peer : peers_) peer.heard = {};
  for (int round = 0;; ++round) {
    const Duration passed = std::chrono::steady_clock::now() - start;
    poll(passed);
    bool all = true, waits = false;
    for (int rank = 0; rank < transport_.size(); ++rank) {
      const auto r = static_cast<std::size_t>(rank);
      if (rank == transport_.rank()) continue;
      if (!told[r] && !at(rank).sends) {
        send(farewell_, rank);
        told[r] = true;
      }
      if (at(rank).left && told[r] && !at(rank).sends) continue;
      all = false;
      const bool silent = passed - at(rank).heard > silence;
      waits = waits || !(silent || (round % 500 == 0 && gone(rank)));
    }
    if (all || !waits || passed > most) return all;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
}

}  // namespace fer::comm
