// Several ranks as threads of the test program: the communicator that runs over MPI, over messages in memory.
//
//   const auto sums = on_ranks(3, [&](Communicator& ranks) { ...; return sum; });  // one result per rank
#pragma once

#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <type_traits>
#include <vector>

#include "comm/message_communicator.h"
#include "fer/error.h"

namespace fer::test {

/// The messages between all ranks. The k-th receive of a rank from another, with some tag, gets the k-th
/// message sent so.
class Mailboxes {
 public:
  using Address = std::tuple<int, int, int>;  ///< from, to, tag

  void send(const Address& address, std::string message) {
    const std::lock_guard lock(mutex_);
    if (std::get<0>(address) == cut_off_) return;
    Box& box = boxes_[address];
    box.messages[box.sent++] = std::move(message);
  }
  /// From now on, the others hear nothing of this rank, as if it had been killed.
  void cut_off(int rank) {
    const std::lock_guard lock(mutex_);
    cut_off_ = rank;
  }
  std::uint64_t expect(const Address& address) {
    const std::lock_guard lock(mutex_);
    return boxes_[address].expected++;
  }
  std::optional<std::string> take(const Address& address, std::uint64_t number) {
    const std::lock_guard lock(mutex_);
    auto& messages = boxes_[address].messages;
    const auto found = messages.find(number);
    if (found == messages.end()) return {};
    std::string message = std::move(found->second);
    messages.erase(found);
    return message;
  }

 private:
  struct Box {
    std::uint64_t sent = 0, expected = 0;
    std::map<std::uint64_t, std::string> messages;
  };
  std::mutex mutex_;
  std::map<Address, Box> boxes_;
  int cut_off_ = -1;
};

class ThreadTransport final : public comm::Transport {
 public:
  ThreadTransport(std::shared_ptr<Mailboxes> mailboxes, int rank, int size, std::function<void()> on_abort)
      : mailboxes_(std::move(mailboxes)), rank_(rank), size_(size), on_abort_(std::move(on_abort)) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::string host() const override { return "thread"; }
  std::string library() const override { return "threads of one process"; }

  comm::Request send(const void* data, std::size_t bytes, int to, int tag) override {
    mailboxes_->send({rank_, to, tag}, std::string(static_cast<const char*>(data), bytes));
    return 0;
  }
  comm::Request receive(void* data, std::size_t bytes, int from, int tag) override {
    const Mailboxes::Address address{from, rank_, tag};
    receives_.push_back({address, mailboxes_->expect(address), data, bytes});
    return receives_.size();
  }
  bool test(comm::Request& request) override {
    if (request == 0) return true;
    const Receive& receive = receives_[request - 1];
    const std::optional<std::string> message = mailboxes_->take(receive.address, receive.number);
    if (!message) return false;
    require<CommunicationError>(message->size() == receive.bytes, "a message of ", message->size(),
                                " bytes, not ", receive.bytes);
    if (receive.bytes > 0) std::memcpy(receive.data, message->data(), receive.bytes);
    return true;
  }

  void give_up() noexcept override {}
  void abort(int) noexcept override { on_abort_(); }

 private:
  struct Receive {
    Mailboxes::Address address;
    std::uint64_t number;
    void* data;
    std::size_t bytes;
  };
  std::shared_ptr<Mailboxes> mailboxes_;
  int rank_, size_;
  std::function<void()> on_abort_;
  std::vector<Receive> receives_;
};

/// Calls body(rank) in a thread for each of `size` ranks. Returns the results in the order of the ranks. If a rank
/// throws, throws the first error that is not about the loss of another rank.
template <typename Body>
auto in_threads(int size, const Body& body) {
  using Result = std::invoke_result_t<Body, int>;
  std::vector<Result> results(static_cast<std::size_t>(size));
  std::vector<std::exception_ptr> errors(results.size()), lost(results.size());
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank, at = static_cast<std::size_t>(rank)] {
      try {
        results[at] = body(rank);
      } catch (const CommunicationError&) {
        lost[at] = std::current_exception();
      } catch (...) {
        errors[at] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& all : {errors, lost})
    for (const std::exception_ptr& error : all)
      if (error) std::rethrow_exception(error);
  return results;
}

inline std::unique_ptr<comm::HostCommunicator> thread_communicator(
    std::shared_ptr<Mailboxes> mailboxes, int rank, int size, const CommunicatorOptions& options,
    std::function<void()> on_abort = std::abort) {
  return comm::make_message_communicator(
      std::make_unique<ThreadTransport>(std::move(mailboxes), rank, size, std::move(on_abort)), "threads",
      options);
}

/// The same with a communicator between the threads: body(communicator).
template <typename Body>
auto on_ranks(int size, const Body& body) {
  const auto mailboxes = std::make_shared<Mailboxes>();
  return in_threads(size, [&](int rank) {
    return body(*thread_communicator(mailboxes, rank, size, {std::chrono::seconds(60)}));
  });
}

}  // namespace fer::test
