// A thread of its own sends and receives all messages, so that collectives go on while the program computes,
// and a rank that is lost is noticed.
#include "comm/message_communicator.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "comm/collective.h"
#include "comm/neighbours.h"
#include "comm/operands.h"
#include "comm/signs.h"
#include "fer/tensor/backend.h"
#include "fer/tensor/device_runtime.h"

namespace fer::comm {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds farewell_patience{1000};  // for ranks to say what they see, once one is lost
constexpr milliseconds error_patience{3000};     // for an error that may be that of all ranks
constexpr milliseconds look_interval{100};       // between looks at the other ranks

/// Ranks died, or give no sign of life.
struct LostRanks : CommunicationError {
  using CommunicationError::CommunicationError;
};

struct Job {
  Collective collective;
  bool done = false;
};

class MessageCommunicator final : public Communicator {
 public:
  MessageCommunicator(std::unique_ptr<Transport> transport, std::string_view kind,
                      const CommunicatorOptions& options)
      : transport_(std::move(transport)),
        kind_(kind),
        rank_(transport_->rank()),
        size_(transport_->size()),
        library_(transport_->library()),
        limit_(options.time_limit),
        on_lost_(options.on_lost),
        exceptions_(std::uncaught_exceptions()),
        beat_(std::min<milliseconds>(limit_ / 5, milliseconds(5000))),
        signs_(std::make_unique<Signs>(*transport_)) {
    hosts_.resize(static_cast<std::size_t>(size_));
    messenger_ = std::thread([this] { exchange_messages(); });
    try {
      exchange_names();
    } catch (...) {
      close();
      throw;
    }
  }
  ~MessageCommunicator() override {
    if (std::uncaught_exceptions() > exceptions_) leave("an error ended it");
    close();
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::string_view kind() const override { return kind_; }
  std::string describe() const override {
    return concat("rank ", rank_, " of ", size_, " on ", host_of(rank_), " (", kind_, ": ", library_, ")");
  }
  std::string host_of(int rank) const override {
    check_rank(rank, size_);
    return hosts_[static_cast<std::size_t>(rank)];
  }

  std::unique_ptr<Transfer> start_all_reduce(Tensor x, Reduction reduction) override {
    check_reduction(x, reduction);
    return std::make_unique<JobTransfer>(*this, start({CollectiveKind::all_reduce, x.dtype(),
                                                       static_cast<std::uint8_t>(reduction), 0, x.numel(), 1},
                                                      x));
  }
  Tensor all_gather(const Tensor& x, std::vector<std::int64_t>* rows) override {
    check_rows(x);
    std::int64_t row_size = 1;
    for (int i = 1; i < x.rank(); ++i) row_size *= x.dim(i);
    const auto job = start({CollectiveKind::all_gather, x.dtype(), 0, 0, x.dim(0), row_size}, x);
    wait(*job);
    if (rows) *rows = job->collective.rows;
    return job->collective.gathered;
  }
  void broadcast(Tensor& x, int root) override {
    check_rank(root, size_);
    require<ShapeError>(x.defined(), "[broadcast] of an undefined tensor");
    wait(*start({CollectiveKind::broadcast, x.dtype(), 0, root, x.numel(), 1}, x));
  }
  void barrier() override { wait(*start({}, {})); }
  double seconds_waiting() const override { return seconds_waiting_; }

  std::string leave(const std::string& why) noexcept override {
    std::unique_lock lock(mutex_);
    const bool own = why != failure_;
    if (failure_.empty()) {
      leaving_ = why.empty() ? "it left" : why;
      wake_.notify_all();
    }
    if (!changed_.wait_for(lock, 2 * error_patience, [&] { return stopped_; }))
      return why;  // MPI does not answer
    lock.unlock();
    std::string report = what_to_report(why, own);
    reports_ = !report.empty();
    return report;
  }
  void end_all(int code) noexcept override {
    std::unique_lock lock(mutex_);
    const bool left = !failure_.empty();
    lock.unlock();
    if (!left) leave("it ended the run");
    if (!reports_) std::this_thread::sleep_for(2 * farewell_patience);  // the rank that reports ends this one
    transport_->abort(code);
  }

 private:
  struct JobTransfer final : Transfer {
    JobTransfer(MessageCommunicator& owner_, std::shared_ptr<Job> job_)
        : owner(owner_), job(std::move(job_)) {}
    void wait() override { owner.wait(*job); }
    MessageCommunicator& owner;
    std::shared_ptr<Job> job;
  };

  // --- the program's thread ---------------------------------------------------------------------------

  std::shared_ptr<Job> start(const CollectiveHeader& header, const Tensor& x) {
    if (x.defined()) {
      require<TypeError>(computes_on_host(x.device()), "[", kind_, "] cannot reach the memory of device ",
                         x.device());
      backend(x.device()).synchronize();
    }
    const std::lock_guard lock(mutex_);
    require<CommunicationError>(failure_.empty(), failure_);
    auto job = std::make_shared<Job>(Job{Collective(*transport_, next_++, header, x)});
    jobs_.push_back(job);
    wake_.notify_all();
    return job;
  }

  void wait(Job& job) {
    const Clock::time_point begin = Clock::now();
    std::unique_lock lock(mutex_);
    // Gives up by itself only if MPI does not return to the messenger. Looks stand still while this process does.
    std::int64_t seen = -1;
    int looks = 0;
    while (!changed_.wait_for(lock, look_interval, [&] { return job.done || !failure_.empty(); })) {
      looks = rounds_ == seen ? looks + 1 : 0;
      seen = rounds_;
      require<CommunicationError>(looks * look_interval < 2 * limit_ + 5 * farewell_patience, "[",
                                  job.collective.describe(), "] MPI does not answer");
    }
    seconds_waiting_ += std::chrono::duration<double>(Clock::now() - begin).count();
    require<CommunicationError>(job.done, failure_);
  }

  /// The text of each rank.
  std::vector<std::string> gather(const std::string& mine) {
    std::vector<std::int64_t> lengths;
    const Tensor all = all_gather(
        Tensor::from<std::uint8_t>({static_cast<std::int64_t>(mine.size())}, {mine.begin(), mine.end()}),
        &lengths);
    const std::vector<std::uint8_t> text = all.to_vector<std::uint8_t>();
    std::vector<std::string> texts;
    for (auto at = text.begin(); const std::int64_t length : lengths) {
      texts.emplace_back(at, at + length);
      at += length;
    }
    return texts;
  }

  void exchange_names() {
    std::vector<std::string> hosts = gather(transport_->host());
    auto neighbours = std::make_unique<Neighbours>(gather(Neighbours::own_card()), rank_);
    const std::lock_guard lock(mutex_);
    hosts_ = std::move(hosts);
    neighbours_ = std::move(neighbours);
  }

  /// What this rank prints of an error after which all have left: nothing if a rank before it does.
  std::string what_to_report(const std::string& why, bool own) {
    bool all_alike = own;
    Sign mine;
    mine.set_why(why);
    for (int peer = 0; peer < size_; ++peer) {
      if (peer == rank_) continue;
      const Sign& sign = signs_->last(peer);
      const bool failed = signs_->has_left(peer) && sign.kind == Sign::Kind::failed;
      // A rank that others found silent, and that wakes when the launcher ends it, has nothing to add.
      if (failed && (peer < rank_ || (!sign.own && ran_ < stopped_until_))) return "";
      all_alike = all_alike && failed && sign.own && std::string_view(sign.why) == mine.why;
    }
    return own && !all_alike ? concat(name_of_rank(rank_), " failed: ", why) : why;
  }

  void close() {
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
      wake_.notify_all();
    }
    if (messenger_.joinable()) messenger_.join();
    if (gave_up_) (void)signs_.release();  // as give_up() says
  }

  // --- the messenger's thread -------------------------------------------------------------------------

  void exchange_messages() {
    try {
      while (const auto work = next_work()) exchange_once(*work);
    } catch (const LostRanks& error) {
      fail(error.what(), error.what(), false);
      if (on_lost_) {
        const std::string report = what_to_report(error.what(), false);
        on_lost_(report);
        if (report.empty()) std::this_thread::sleep_for(2 * farewell_patience);
        transport_->abort(1);
      }
    } catch (const CommunicationError& error) {
      fail(error.what(), error.what(), false);
    } catch (const std::exception& error) {
      fail(concat(name_of_rank(rank_), " failed: ", error.what()), error.what(), true);
    }
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }

  /// The collectives under way, after a pause if there are none; null if the communicator stops.
  std::unique_ptr<std::vector<std::shared_ptr<Job>>> next_work() {
    std::unique_lock lock(mutex_);
    const auto busy = [&] { return closing_ || !leaving_.empty() || !jobs_.empty(); };
    wake_.wait_for(lock, std::min<milliseconds>(look_interval, beat_), busy);
    if (!leaving_.empty()) {
      const std::string why = leaving_;
      lock.unlock();
      fail(concat("this rank has left: ", why), why, true);
      return nullptr;
    }
    if (closing_ && jobs_.empty()) {
      lock.unlock();
      // Others may still have work to do without this rank.
      const bool all = signs_->say_farewell({}, limit_, Clock::duration::max(), gone());
      if (!all || any_failed()) give_up();
      return nullptr;
    }
    return std::make_unique<std::vector<std::shared_ptr<Job>>>(jobs_.begin(), jobs_.end());
  }

  void exchange_once(const std::vector<std::shared_ptr<Job>>& jobs) {
    keep_time();
    // A rank says farewell after its last message, so what it has sent is looked for after the farewell.
    signs_->poll(ran_);
    std::vector<std::shared_ptr<Job>> finished;
    for (const auto& job : jobs)
      if (job->collective.advance([this](int rank) { return name_of_rank(rank); })) finished.push_back(job);
    if (!finished.empty()) {
      idle_rounds_ = 0;
      const std::lock_guard lock(mutex_);
      for (const auto& job : finished) {
        job->done = true;
        jobs_.erase(std::find(jobs_.begin(), jobs_.end(), job));
      }
      changed_.notify_all();
      return;
    }
    check_left(jobs);
    if (ran_ >= next_look_) {
      check_lost(jobs);
      next_look_ = ran_ + look_interval;
    }
    if (jobs.empty()) return;  // next_work() pauses
    if (++idle_rounds_ < 200)
      std::this_thread::yield();
    else
      std::this_thread::sleep_for(std::chrono::microseconds(50));
  }

  /// The time for which this process ran. While it is stopped, and all others perhaps, too, nothing times out.
  void keep_time() {
    const Clock::time_point now = Clock::now();
    if (now - last_round_ > limit_) stopped_until_ = ran_ + std::chrono::seconds(5);
    ran_ += std::min<Clock::duration>(now - last_round_, 2 * look_interval);
    last_round_ = now;
    ++rounds_;
    if (ran_ < next_beat_) return;
    signs_->say_alive();
    next_beat_ = ran_ + beat_;
  }

  /// Fails if a rank has left without which the collectives cannot end.
  void check_left(const std::vector<std::shared_ptr<Job>>& jobs) {
    for (int peer = 0; peer < size_; ++peer) {
      if (peer == rank_ || !signs_->has_left(peer) || jobs.empty()) continue;
      const Sign& sign = signs_->last(peer);
      if (sign.kind == Sign::Kind::failed)
        throw CommunicationError(sign.own ? concat(name_of_rank(peer), " failed: ", sign.why) : sign.why);
      const Collective& oldest = jobs.front()->collective;
      require<CommunicationError>(oldest.has_arrived(peer), name_of_rank(peer),
                                  " has ended and does not take part in ", oldest.describe());
    }
  }

  /// Fails if a rank is dead, or gives no sign of life.
  void check_lost(const std::vector<std::shared_ptr<Job>>& jobs) {
    const std::string during = jobs.empty() ? "" : concat("[", jobs.front()->collective.describe(), "] ");
    std::string silent;
    for (int peer = 0; peer < size_; ++peer) {
      if (peer == rank_ || signs_->has_left(peer)) continue;
      if (gone()(peer)) {
        for (int i = 0; i < 100 && !signs_->has_left(peer); ++i) {  // its farewell may still be on its way
          signs_->poll(ran_);
          std::this_thread::sleep_for(milliseconds(1));
        }
        require<LostRanks>(signs_->has_left(peer), during, name_of_rank(peer), " was killed, or has crashed");
      } else if (ran_ - signs_->heard(peer) > limit_) {
        silent += (silent.empty() ? "" : ", ") + name_of_rank(peer);
      }
    }
    require<LostRanks>(silent.empty(), during, silent, " has not answered for ",
                       static_cast<double>(limit_.count()) / 1000, " s");
  }

  /// Whether the process of a rank is known to have ended.
  std::function<bool(int rank)> gone() {
    const std::lock_guard lock(mutex_);
    return [neighbours = neighbours_.get()](int rank) { return neighbours && neighbours->has_ended(rank); };
  }

  void fail(const std::string& failure, const std::string& why_for_others, bool own) {
    Sign mine;
    mine.kind = Sign::Kind::failed;
    mine.own = own;
    mine.set_why(why_for_others);
    const milliseconds patience = own ? error_patience : farewell_patience;
    try {
      signs_->say_farewell(mine, patience, patience, gone());
    } catch (const std::exception&) {  // what MPI says of messages that no longer matter
    }
    give_up();
    const std::lock_guard lock(mutex_);
    failure_ = failure;
    changed_.notify_all();
  }

  bool any_failed() const {
    for (int peer = 0; peer < size_; ++peer)
      if (peer != rank_ && signs_->last(peer).kind == Sign::Kind::failed) return true;
    return false;
  }

  /// MPI may still write to the memory of messages that never ended, so it is never freed.
  void give_up() noexcept {
    transport_->give_up();
    const std::lock_guard lock(mutex_);
    new std::deque<std::shared_ptr<Job>>(jobs_);
    gave_up_ = true;
  }

  std::string name_of_rank(int rank) {
    const std::lock_guard lock(mutex_);
    const std::string& host = hosts_[static_cast<std::size_t>(rank)];
    return host.empty() ? concat("rank ", rank) : concat("rank ", rank, " (", host, ")");
  }

  std::unique_ptr<Transport> transport_;
  std::string kind_;
  int rank_, size_;
  std::string library_;
  milliseconds limit_;
  std::function<void(const std::string& report)> on_lost_;
  int exceptions_;
  milliseconds beat_;  // between signs of life
  std::vector<std::string> hosts_;
  std::unique_ptr<Neighbours> neighbours_;
  double seconds_waiting_ = 0;
  bool reports_ = true;  // this rank prints what ended the run

  // The messenger's.
  std::unique_ptr<Signs> signs_;
  bool gave_up_ = false;
  int idle_rounds_ = 0;
  Clock::duration ran_{}, next_beat_{}, next_look_{}, stopped_until_{};
  Clock::time_point last_round_ = Clock::now();
  std::atomic<std::int64_t> rounds_ = 0;

  std::mutex mutex_;  // guards what follows
  std::condition_variable wake_, changed_;
  std::deque<std::shared_ptr<Job>> jobs_;  // under way, oldest first
  std::int64_t next_ = 0;
  std::string leaving_, failure_;  // why; empty: not so
  bool closing_ = false, stopped_ = false;
  std::thread messenger_;
};

}  // namespace

std::unique_ptr<Communicator> make_message_communicator(std::unique_ptr<Transport> transport,
                                                        std::string_view kind,
                                                        const CommunicatorOptions& options) {
  return std::make_unique<MessageCommunicator>(std::move(transport), kind, options);
}

}  // namespace fer::comm
