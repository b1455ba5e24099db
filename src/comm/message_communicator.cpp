// A thread of its own sends and receives all messages, so that collectives go on while the program computes,
// and a rank that is lost is noticed. It sleeps while no collective is under way.
#include "comm/message_communicator.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "comm/collective.h"
#include "comm/farewell.h"
#include "comm/operands.h"
#include "fer/tensor/backend.h"
#include "fer/tensor/device_runtime.h"

namespace fer::comm {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds farewell_patience{1000};  // for ranks to say what they see, once one is lost

struct Job {
  Collective collective;
  Clock::time_point deadline;
  std::function<DeviceProgress()> look = {};  // of a collective between devices
  bool arrived = false;                       // collective.advance() has nothing left to do
  bool begun = true;                          // on this rank's device, if it has one
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
        exceptions_(std::uncaught_exceptions()),
        farewells_(std::make_unique<Farewells>(*transport_)) {
    hosts_.resize(static_cast<std::size_t>(size_));
    messenger_ = std::thread([this] { exchange_messages(); });
    try {
      exchange_hosts(transport_->host());
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

  void leave(const std::string& why) noexcept override {
    std::unique_lock lock(mutex_);
    if (!failure_.empty()) return;
    leaving_ = why.empty() ? "it left" : why;
    wake_.notify_all();
    changed_.wait(lock, [&] { return stopped_; });
  }
  void end_all(int code) noexcept override {
    leave("it ended the run");
    close();
    std::this_thread::sleep_for(farewell_patience);  // the others print what they know
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
    auto job = std::make_shared<Job>(
        Job{Collective(*transport_, next_++, header, x), Clock::now() + limit_, std::move(look)});
    jobs_.push_back(job);
    wake_.notify_all();
    return job;
  }

  void wait(Job& job, bool Job::*what = &Job::done) {
    const Clock::time_point begin = Clock::now();
    std::unique_lock lock(mutex_);
    // Longer than the messenger takes to give up, in case MPI itself does not return to it.
    const bool answered = changed_.wait_for(lock, 2 * limit_ + 5 * farewell_patience,
                                            [&] { return job.*what || !failure_.empty(); });
    seconds_waiting_ += std::chrono::duration<double>(Clock::now() - begin).count();
    require<CommunicationError>(answered, "[", job.collective.describe(), "] MPI does not answer");
    require<CommunicationError>(job.*what, failure_);
  }

  void exchange_hosts(const std::string& host) {
    std::vector<std::uint8_t> name(host.begin(), host.end());
    std::vector<std::int64_t> lengths;
    const Tensor names =
        all_gather(Tensor::from<std::uint8_t>({static_cast<std::int64_t>(name.size())}, name), &lengths);
    const std::vector<std::uint8_t> text = names.to_vector<std::uint8_t>();
    auto at = text.begin();
    const std::lock_guard lock(mutex_);
    for (std::size_t rank = 0; rank < hosts_.size(); ++rank) {
      hosts_[rank].assign(at, at + lengths[rank]);
      at += lengths[rank];
    }
  }

  void close() {
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
      wake_.notify_all();
    }
    if (messenger_.joinable()) messenger_.join();
  }

  // --- the messenger's thread -------------------------------------------------------------------------

  void exchange_messages() {
    try {
      while (const auto work = next_work()) exchange_once(*work);
    } catch (const CommunicationError& error) {
      fail(error.what(), error.what());
    } catch (const std::exception& error) {
      fail(error.what(), concat(name_of_rank(rank_), " failed: ", error.what()));
    }
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }

  /// The collectives under way, once there are any; none if the communicator stops.
  std::unique_ptr<std::vector<std::shared_ptr<Job>>> next_work() {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [&] { return closing_ || !leaving_.empty() || !jobs_.empty(); });
    if (!leaving_.empty()) {
      const std::string why = leaving_;
      lock.unlock();
      fail(concat("this rank has left: ", why), concat(name_of_rank(rank_), " failed: ", why));
      return nullptr;
    }
    if (jobs_.empty()) {
      lock.unlock();
      if (!farewells_->exchange({}, limit_) || any_failed()) give_up();
      return nullptr;
    }
    return std::make_unique<std::vector<std::shared_ptr<Job>>>(jobs_.begin(), jobs_.end());
  }

  void exchange_once(const std::vector<std::shared_ptr<Job>>& jobs) {
    // A rank says farewell after its last message, so what it has sent is looked for after the farewell.
    const bool news = farewells_->poll();
    bool progress = false;
    for (const auto& job : jobs) progress = advance(job) || progress;
    if (progress) {
      idle_rounds_ = 0;
      return;
    }
    if (news) idle_rounds_ = 0;
    check_lost(jobs);
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
    if (arrives && job->look) job->deadline = Clock::now() + limit_;
    const DeviceProgress device = job->look ? job->look() : DeviceProgress::done;
    job->begun = device != DeviceProgress::not_begun;
    if (!job->begun) job->deadline = Clock::now() + limit_;
    const bool done = device == DeviceProgress::done;
    if (!arrives && !done) return false;
    if (done) job->look = {};
    const std::lock_guard lock(mutex_);
    job->arrived = true;
    job->done = done;
    if (done) jobs_.erase(std::find(jobs_.begin(), jobs_.end(), job));
    changed_.notify_all();
    return true;
  }

  /// Fails if a rank on which a job waits is lost.
  void check_lost(const std::vector<std::shared_ptr<Job>>& jobs) {
    const Job& oldest = *jobs.front();
    for (int peer = 0; peer < size_; ++peer) {
      if (peer == rank_ || !farewells_->heard_from(peer)) continue;
      const Farewell& farewell = farewells_->from(peer);
      switch (farewell.kind) {
        case Farewell::Kind::failed:
          throw CommunicationError(farewell.why);  // names the rank that failed first
        case Farewell::Kind::timed_out:
          require<CommunicationError>(oldest.begun, late(oldest, {rank_}));
          return time_out(oldest);
        case Farewell::Kind::ended:
          require<CommunicationError>(oldest.collective.has_arrived(peer), name_of_rank(peer),
                                      " has ended and does not take part in ", oldest.collective.describe());
      }
    }
    for (const auto& job : jobs)
      if (Clock::now() > job->deadline) time_out(*job);
  }

  /// Ranks that still answer are not those that are lost: they wait for the same ones.
  [[noreturn]] void time_out(const Job& job) {
    const Collective& collective = job.collective;
    Farewell mine;
    mine.kind = Farewell::Kind::timed_out;
    std::vector<int> missing = collective.missing();
    if (job.arrived)  // all have; between devices, it shows who is lost that a rank no longer answers
      for (int peer = 0; peer < size_; ++peer)
        if (peer != rank_) missing.push_back(peer);
    mine.set_missing(missing);
    said_farewell_ = true;
    farewells_->exchange(mine, farewell_patience);
    std::vector<int> lost = missing;
    for (int peer = 0; peer < size_; ++peer)
      if (peer != rank_ && farewells_->heard_from(peer)) {
        const Farewell& theirs = farewells_->from(peer);
        require<CommunicationError>(theirs.kind != Farewell::Kind::failed, theirs.why);
        lost.insert(lost.end(), theirs.missing, theirs.missing + theirs.missing_count);
      }
    std::sort(lost.begin(), lost.end());
    lost.erase(std::unique(lost.begin(), lost.end()), lost.end());
    std::erase_if(lost, [&](int rank) { return rank == rank_ || farewells_->heard_from(rank); });
    if (lost.empty()) lost = missing;
    if (lost.empty())
      throw CommunicationError(
          concat("[", collective.describe(), "] the other ranks did not wait for this one"));
    throw CommunicationError(late(job, lost));
  }

  std::string late(const Job& job, const std::vector<int>& ranks) {
    std::string names;
    for (const int rank : ranks) names += (names.empty() ? "" : ", ") + name_of_rank(rank);
    return concat("[", job.collective.describe(), "] ", names, " did not arrive within ",
                  static_cast<double>(limit_.count()) / 1000, " s");
  }

  void fail(const std::string& failure, const std::string& why_for_others) {
    if (!said_farewell_) {
      Farewell mine;
      mine.kind = Farewell::Kind::failed;
      mine.set_why(why_for_others);
      try {
        farewells_->exchange(mine, farewell_patience);
      } catch (const std::exception&) {  // what MPI says of messages that no longer matter
      }
    }
    give_up();
    std::function<void()> stop;
    {
      const std::lock_guard lock(mutex_);
      failure_ = failure;  // before the device is stopped: who then reads its memory finds this
      changed_.notify_all();
      stop = std::move(on_failure_);
    }
    if (stop) stop();
  }

  bool any_failed() const {
    for (int peer = 0; peer < size_; ++peer)
      if (peer != rank_ && farewells_->from(peer).kind != Farewell::Kind::ended) return true;
    return false;
  }

  /// MPI may still write to the memory of messages that never ended, so it is never freed.
  void give_up() noexcept {
    transport_->give_up();
    const std::lock_guard lock(mutex_);
    new std::deque<std::shared_ptr<Job>>(jobs_);
    (void)farewells_.release();
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
  int exceptions_;
  std::vector<std::string> hosts_;
  double seconds_waiting_ = 0;

  // The messenger's.
  std::unique_ptr<Farewells> farewells_;
  bool said_farewell_ = false;
  int idle_rounds_ = 0;

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
