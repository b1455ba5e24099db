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
  std::function<DeviceProgress()> look = {};  // of a collective between devices
  Clock::duration waits_since{};  // for all devices: when this rank's has begun, and the ranks have arrived
  bool arrived = false;           // collective.advance() has nothing left to do
  bool begun = true;              // on this rank's device, if it has one
  bool done = false;
};

class MessageCommunicator final : public HostCommunicator {
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
    return std::make_unique<JobTransfer>(
        *this, start({CollectiveKind::all_reduce, x.dtype(), static_cast<std::uint8_t>(reduction), false, 0,
                      x.numel(), 1},
                     x));
  }
  Tensor all_gather(const Tensor& x, std::vector<std::int64_t>* rows) override {
    check_rows(x);
    std::int64_t row_size = 1;
    for (int i = 1; i < x.rank(); ++i) row_size *= x.dim(i);
    const auto job = start({CollectiveKind::all_gather, x.dtype(), 0, false, 0, x.dim(0), row_size}, x);
    wait(*job);
    if (rows) *rows = job->collective.rows;
    return job->collective.gathered;
  }
  void broadcast(Tensor& x, int root) override {
    check_rank(root, size_);
    require<ShapeError>(x.defined(), "[broadcast] of an undefined tensor");
    wait(*start({CollectiveKind::broadcast, x.dtype(), 0, false, root, x.numel(), 1}, x));
  }
  void barrier() override { wait(*start({}, {})); }
  std::unique_ptr<Announcement> announce(const CollectiveHeader& header,
                                         std::function<DeviceProgress()> look) override {
    return std::make_unique<JobAnnouncement>(*this, start(header, {}, std::move(look)));
  }
  void on_failure(std::function<void()> stop) override {
    const std::lock_guard lock(mutex_);
    on_failure_ = std::move(stop);
  }
  std::string failure() override {
    const std::lock_guard lock(mutex_);
    return failure_;
  }
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
  struct JobAnnouncement final : Announcement {
    JobAnnouncement(MessageCommunicator& owner_, std::shared_ptr<Job> job_)
        : owner(owner_), job(std::move(job_)) {}
    void wait_for_ranks() override { owner.wait(*job, &Job::arrived); }
    void wait_for_device() override { owner.wait(*job); }
    const std::vector<std::int64_t>& rows() const override { return job->collective.rows; }
    MessageCommunicator& owner;
    std::shared_ptr<Job> job;
  };

  // --- the program's thread ---------------------------------------------------------------------------

  std::shared_ptr<Job> start(const CollectiveHeader& header, const Tensor& x,
                             std::function<DeviceProgress()> look = {}) {
    if (x.defined()) {
      require<TypeError>(computes_on_host(x.device()), "[", kind_, "] cannot reach the memory of device ",
                         x.device());
      backend(x.device()).synchronize();
    }
    const std::lock_guard lock(mutex_);
    require<CommunicationError>(failure_.empty(), failure_);
    auto job = std::make_shared<Job>(Job{Collective(*transport_, next_++, header, x), std::move(look)});
    jobs_.push_back(job);
    wake_.notify_all();
    return job;
  }

  void wait(Job& job, bool Job::*what = &Job::done) {
    const Clock::time_point begin = Clock::now();
    std::unique_lock lock(mutex_);
    // Gives up by itself only if MPI does not return to the messenger. Looks stand still while this process does.
    std::int64_t seen = -1;
    int looks = 0;
    while (!changed_.wait_for(lock, look_interval, [&] { return job.*what || !failure_.empty(); })) {
      looks = rounds_ == seen ? looks + 1 : 0;
      seen = rounds_;
      require<CommunicationError>(looks * look_interval < 2 * limit_ + 5 * farewell_patience, "[",
                                  job.collective.describe(), "] MPI does not answer");
    }
    seconds_waiting_ += std::chrono::duration<double>(Clock::now() - begin).count();
    require<CommunicationError>(job.*what, failure_);
  }

  void exchange_names() {
    std::vector<std::string> hosts = share_all(transport_->host());
    auto neighbours = std::make_unique<Neighbours>(share_all(Neighbours::own_card()), rank_);
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
      const bool failed = signs_->has_left(peer) && sign.is_failure();
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
      fail(error.what(), error.what(), Sign::Kind::lost);
      if (on_lost_) {
        const std::string report = what_to_report(error.what(), false);
        on_lost_(report);
        if (report.empty()) std::this_thread::sleep_for(2 * farewell_patience);
        transport_->abort(1);
      }
    } catch (const CommunicationError& error) {
      fail(error.what(), error.what());
    } catch (const std::exception& error) {
      fail(concat(name_of_rank(rank_), " failed: ", error.what()), error.what(), Sign::Kind::failed, true);
    }
    std::function<void()> stop_device;
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
      changed_.notify_all();
      if (!failure_.empty()) stop_device = std::move(on_failure_);
    }
    if (stop_device) stop_device();  // who then reads its memory finds the failure
  }

  /// The collectives under way, after a pause if there are none; null if the communicator stops.
  std::unique_ptr<std::vector<std::shared_ptr<Job>>> next_work() {
    std::unique_lock lock(mutex_);
    const auto busy = [&] { return closing_ || !leaving_.empty() || !jobs_.empty(); };
    wake_.wait_for(lock, std::min<milliseconds>(look_interval, beat_), busy);
    if (!leaving_.empty()) {
      const std::string why = leaving_;
      lock.unlock();
      fail(concat("this rank has left: ", why), why, Sign::Kind::failed, true);
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
    bool progress = false;
    for (const auto& job : jobs) progress = advance(job) || progress;
    if (progress) {
      idle_rounds_ = 0;
      return;
    }
    check_left(jobs);
    check_devices(jobs);
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

  /// Returns whether the job has come further, so that others may wait for it no longer.
  bool advance(const std::shared_ptr<Job>& job) {
    const bool arrives =
        !job->arrived && job->collective.advance([this](int rank) { return name_of_rank(rank); });
    if (!job->arrived && !arrives) return false;
    const DeviceProgress device = job->look ? job->look() : DeviceProgress::done;
    job->begun = device != DeviceProgress::not_begun;
    if (arrives || !job->begun) job->waits_since = ran_;
    const bool done = device == DeviceProgress::done;
    if (!arrives && !done) return false;
    const std::lock_guard lock(mutex_);
    if (done && job->look)
      for (const auto& later : jobs_) later->waits_since = ran_;  // it was behind this one on the device
    if (done) job->look = {};
    job->arrived = true;
    job->done = done;
    if (done) jobs_.erase(std::find(jobs_.begin(), jobs_.end(), job));
    changed_.notify_all();
    return true;
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
      if (peer == rank_ || !signs_->has_left(peer)) continue;
      const Sign& sign = signs_->last(peer);
      if (sign.kind == Sign::Kind::device_late) time_out(jobs, sign.why);
      require<LostRanks>(sign.kind != Sign::Kind::lost, sign.why);
      if (jobs.empty()) continue;
      require<CommunicationError>(!sign.is_failure(), failure_of(peer));
      const Collective& oldest = jobs.front()->collective;
      require<CommunicationError>(oldest.has_arrived(peer), name_of_rank(peer),
                                  " has ended and does not take part in ", oldest.describe());
    }
  }

  /// Fails if this rank's device has waited for others for too long: ranks that answer may have devices that do not.
  void check_devices(const std::vector<std::shared_ptr<Job>>& jobs) {
    for (const auto& job : jobs)
      if (job->arrived && job->begun && ran_ - job->waits_since > limit_)
        time_out(jobs, concat("[", job->collective.describe(), "] the devices have", not_answered()));
  }

  /// Fails with the name of the rank whose device is late: one that has not begun says so itself. `why`: if none does.
  [[noreturn]] void time_out(const std::vector<std::shared_ptr<Job>>& jobs, const std::string& why) {
    for (const auto& job : jobs)
      require<LostRanks>(job->begun, "[", job->collective.describe(), "] the device of ", name_of_rank(rank_),
                         " has", not_answered());
    Sign mine;
    mine.kind = Sign::Kind::device_late;
    mine.set_why(why);
    said_farewell_ = true;
    signs_->say_farewell(mine, farewell_patience, farewell_patience, gone());
    std::vector<int> silent;
    for (int peer = 0; peer < size_; ++peer) {
      if (peer == rank_) continue;
      const Sign& sign = signs_->last(peer);
      if (!signs_->has_left(peer))
        silent.push_back(peer);
      else
        require<LostRanks>(!sign.is_failure() || sign.kind == Sign::Kind::device_late, failure_of(peer));
    }
    require<LostRanks>(silent.empty(), during(jobs), names_of(silent), " has", not_answered());
    throw LostRanks(why);
  }

  /// Fails if a rank is dead, or gives no sign of life.
  void check_lost(const std::vector<std::shared_ptr<Job>>& jobs) {
    std::vector<int> silent;
    for (int peer = 0; peer < size_; ++peer) {
      if (peer == rank_ || signs_->has_left(peer)) continue;
      if (gone()(peer)) {
        for (int i = 0; i < 100 && !signs_->has_left(peer); ++i) {  // its farewell may still be on its way
          signs_->poll(ran_);
          std::this_thread::sleep_for(milliseconds(1));
        }
        require<LostRanks>(signs_->has_left(peer), during(jobs), name_of_rank(peer),
                           " was killed, or has crashed");
      } else if (ran_ - signs_->heard(peer) > limit_) {
        silent.push_back(peer);
      }
    }
    require<LostRanks>(silent.empty(), during(jobs), names_of(silent), " has", not_answered());
  }

  /// Which collective an error interrupts.
  static std::string during(const std::vector<std::shared_ptr<Job>>& jobs) {
    return jobs.empty() ? "" : concat("[", jobs.front()->collective.describe(), "] ");
  }
  std::string not_answered() const {
    return concat(" not answered for ", static_cast<double>(limit_.count()) / 1000, " s");
  }
  std::string names_of(const std::vector<int>& ranks) {
    std::string names;
    for (const int rank : ranks) names += (names.empty() ? "" : ", ") + name_of_rank(rank);
    return names;
  }
  /// What a rank says that has failed.
  std::string failure_of(int peer) {
    const Sign& sign = signs_->last(peer);
    return sign.own ? concat(name_of_rank(peer), " failed: ", sign.why) : sign.why;
  }

  /// Whether the process of a rank is known to have ended.
  std::function<bool(int rank)> gone() {
    const std::lock_guard lock(mutex_);
    return [neighbours = neighbours_.get()](int rank) { return neighbours && neighbours->has_ended(rank); };
  }

  void fail(const std::string& failure, const std::string& why_for_others,
            Sign::Kind kind = Sign::Kind::failed, bool own = false) {
    Sign mine;
    mine.kind = kind;
    mine.own = own;
    mine.set_why(why_for_others);
    const milliseconds patience = own ? error_patience : farewell_patience;
    try {
      if (!said_farewell_) signs_->say_farewell(mine, patience, patience, gone());
    } catch (const std::exception&) {  // what MPI says of messages that no longer matter
    }
    give_up();
    const std::lock_guard lock(mutex_);
    failure_ = failure;
    changed_.notify_all();
  }

  bool any_failed() const {
    for (int peer = 0; peer < size_; ++peer)
      if (peer != rank_ && signs_->last(peer).is_failure()) return true;
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
  bool said_farewell_ = false, gave_up_ = false;
  int idle_rounds_ = 0;
  Clock::duration ran_{}, next_beat_{}, next_look_{}, stopped_until_{};
  Clock::time_point last_round_ = Clock::now();
  std::atomic<std::int64_t> rounds_ = 0;

  std::mutex mutex_;  // guards what follows
  std::condition_variable wake_, changed_;
  std::deque<std::shared_ptr<Job>> jobs_;  // under way, oldest first
  std::int64_t next_ = 0;
  std::string leaving_, failure_;  // why; empty: not so
  std::function<void()> on_failure_;
  bool closing_ = false, stopped_ = false;
  std::thread messenger_;
};

}  // namespace

std::unique_ptr<HostCommunicator> make_message_communicator(std::unique_ptr<Transport> transport,
                                                            std::string_view kind,
                                                            const CommunicatorOptions& options) {
  return std::make_unique<MessageCommunicator>(std::move(transport), kind, options);
}

}  // namespace fer::comm
